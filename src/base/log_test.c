/* Checks of log.h and service.h: what a line looks like to people, programs, the journal and the service manager. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/service.h"
#include "base/str.h"

/* Standard error goes into a pipe meanwhile. */
static int pipe_fds[2], saved_stderr;

static void begin(void)
{
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
}

static void end(char *text, size_t size)
{
    ssize_t n = read(pipe_fds[0], text, size - 1);
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    (void)close(saved_stderr);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    text[n > 0 ? n : 0] = 0;
}

static void name_journal(bool is_ours)
{
    struct stat st;
    char text[64];
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + !is_ours);
    (void)setenv("JOURNAL_STREAM", text, 1);
}

static void text_is_one_line(void **state)
{
    (void)state;
    char text[8192];
    begin();
    log_open("x", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_warning("area", "two\nlines \x1b[31m and %d", 7);
    log_debug("area", "not asked for");
    end(text, sizeof text);
    assert_non_null(strstr(text, "Z warning area: two lines  [31m and 7\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void the_journal_gets_levels(void **state)
{
    (void)state;
    char text[8192];
    begin();
    name_journal(true);
    log_open("x", LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_error("a", "e");
    log_warning("a", "w");
    log_info("a", "i");
    log_debug("a", "d");
    log_open("x", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("a", "j");
    name_journal(false); /* the variable was inherited, but standard error is somewhere else */
    log_open("x", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_info("a", "elsewhere");
    (void)unsetenv("JOURNAL_STREAM");
    end(text, sizeof text);
    static const char begins[] = "<3>a: e\n<4>a: w\n<6>a: i\n<7>a: d\n<6>{\"time\":\"";
    assert_memory_equal(text, begins, sizeof begins - 1);
    assert_non_null(strstr(text, "Z info    a: elsewhere\n"));
}

static void json_is_one_object(void **state)
{
    (void)state;
    char text[8192], expected[512];
    begin();
    log_open("prog", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    const struct log_fact facts[] = {{"status", NULL, 404}, {"path", "/a\"b\\c\n\xc3\xa9\xff", 0}};
    log_write_facts(LOG_LEVEL_INFO, "access", facts, 2, "%s", "text");
    end(text, sizeof text);
    const char *level = strstr(text, ",\"level\"");
    assert_non_null(level);
    (void)snprintf(expected, sizeof expected,
                   ",\"level\":\"info\",\"program\":\"prog\",\"pid\":%d,\"area\":\"access\",\"message\":\"text\","
                   "\"status\":404,\"path\":\"/a\\\"b\\\\c\\u000a\xc3\xa9\\ufffd\"}\n",
                   (int)getpid());
    assert_string_equal(level, expected);
    assert_true(str_starts(text, "{\"time\":\"20"));
    assert_int_equal(level - text, (int)strlen("{\"time\":\"2026-11-21T02:30:00.000000Z\""));
}

static void what_is_too_long_stays_an_object(void **state)
{
    (void)state;
    static char text[16384], longer[6000];
    memset(longer, '\\', sizeof longer - 1); /* each byte becomes two */
    begin();
    log_open("prog", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    const struct log_fact facts[] = {{"first", NULL, 1}, {"path", longer, 0}, {"last", NULL, 2}};
    log_write_facts(LOG_LEVEL_INFO, "a", facts, 3, "%s", longer);
    end(text, sizeof text);
    size_t size = strlen(text);
    assert_true(size < LOG_LINE_BYTES);
    assert_non_null(strstr(text, "\\\\\",\"first\":1,\"last\":2}\n"));
    assert_ptr_equal(strchr(text, '\n'), text + size - 1);
}

static void the_manager_is_told(void **state)
{
    (void)state;
    char text[600] = "";
    (void)unsetenv("NOTIFY_SOCKET");
    assert_false(service_tell("READY=1"));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    (void)snprintf(name, sizeof name, "@oculi-log-test-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name + 1));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
    (void)setenv("NOTIFY_SOCKET", name, 1);
    assert_true(service_tell("READY=1\nSTATUS=%s", "serving"));
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    assert_true(n > 0);
    assert_string_equal(text, "READY=1\nSTATUS=serving");
    assert_true(service_tell_reloading());
    memset(text, 0, sizeof text);
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_true(str_starts(text, "RELOADING=1\nMONOTONIC_USEC="));
    (void)setenv("NOTIFY_SOCKET", "relative", 1);
    assert_false(service_tell("READY=1"));
    (void)unsetenv("NOTIFY_SOCKET");
    (void)close(fd);
}

static void the_watchdog_has_a_time(void **state)
{
    (void)state;
    char pid[32];
    assert_int_equal(service_watchdog_ns(), 0);
    (void)setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(service_watchdog_ns(), 15 * CLOCK_S);
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(service_watchdog_ns(), 0); /* another process's */
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    (void)setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(service_watchdog_ns(), 15 * CLOCK_S);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(service_watchdog_ns(), 0);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_one_line),
        cmocka_unit_test(the_journal_gets_levels),
        cmocka_unit_test(json_is_one_object),
        cmocka_unit_test(what_is_too_long_stays_an_object),
        cmocka_unit_test(the_manager_is_told),
        cmocka_unit_test(the_watchdog_has_a_time),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
