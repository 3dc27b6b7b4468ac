/* The screen of oculi mtr on a pseudo-terminal: drawn whole, obedient to keys and sizes, and given back whatever ends
 * it. Argument: oculi. Only the loopback is probed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "harness.h"

#define PATIENCE_NS (20 * CLOCK_S)

static const char *oculi;

struct screen {
    pid_t pid;
    int fd, tty;           /* our side; the terminal itself, to look at its settings */
    struct buf text;       /* all that was written */
    struct termios before;
};

static void open_screen(struct screen *screen, unsigned columns, unsigned lines, const char *const *argv)
{
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)lines};
    buf_init(&screen->text, 16u << 20);
    assert_int_equal(openpty(&screen->fd, &screen->tty, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(screen->tty, &screen->before), 0);
    screen->pid = fork();
    assert_true(screen->pid >= 0);
    if (screen->pid == 0) {
        setsid();
        ioctl(screen->tty, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(screen->tty, fd);
        setenv("TERM", "xterm", 1);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
}

/* Reads until text has come after the first `from` bytes; returns where it ends. */
static size_t wait_for(struct screen *screen, size_t from, const char *text)
{
    int64_t deadline = clock_mono_ns(&clock_real) + PATIENCE_NS;
    for (;;) {
        const char *found = from <= screen->text.size ? strstr(buf_str(&screen->text) + from, text) : NULL;
        if (found)
            return (size_t)(found - buf_str(&screen->text)) + strlen(text);
        struct pollfd poller = {.fd = screen->fd, .events = POLLIN};
        if (clock_mono_ns(&clock_real) > deadline)
            fail_msg("\"%s\" did not come: %s", text, buf_str(&screen->text) + from);
        char bytes[4096];
        if (poll(&poller, 1, 100) <= 0)
            continue;
        ssize_t got = read(screen->fd, bytes, sizeof bytes);
        if (got > 0)
            buf_put(&screen->text, bytes, (size_t)got);
    }
}

static void type(struct screen *screen, const char *keys)
{
    assert_int_equal(write(screen->fd, keys, strlen(keys)), strlen(keys));
}

static int wait_status(struct screen *screen, int options)
{
    int status = 0;
    int64_t deadline = clock_mono_ns(&clock_real) + PATIENCE_NS;
    while (waitpid(screen->pid, &status, options | WNOHANG) == 0) {
        assert_true(clock_mono_ns(&clock_real) < deadline);
        struct pollfd poller = {.fd = screen->fd, .events = POLLIN};
        char bytes[4096];
        ssize_t got = poll(&poller, 1, 20) > 0 ? read(screen->fd, bytes, sizeof bytes) : 0;
        if (got > 0)
            buf_put(&screen->text, bytes, (size_t)got);
    }
    return status;
}

static bool is_as_before(const struct screen *screen)
{
    struct termios now;
    assert_int_equal(tcgetattr(screen->tty, &now), 0);
    return now.c_lflag == screen->before.c_lflag && now.c_iflag == screen->before.c_iflag &&
           now.c_oflag == screen->before.c_oflag;
}

static void close_screen(struct screen *screen)
{
    close(screen->fd);
    close(screen->tty);
    buf_done(&screen->text);
}

#define ENTER "\033[?1049h"
#define LEAVE "\033[?1049l"
#define ARGV ((const char *const[]){oculi, "mtr", "-n", "-i", "0.2", "127.0.0.1", NULL})

static void keys_are_obeyed(void **state)
{
    (void)state;
    struct screen screen;
    open_screen(&screen, 80, 24, ARGV);
    size_t at = wait_for(&screen, 0, ENTER);
    at = wait_for(&screen, at, "127.0.0.1         0.0%");
    assert_false(is_as_before(&screen)); /* keys come one by one */
    type(&screen, "d");
    at = wait_for(&screen, at, "median ms");
    type(&screen, "p");
    at = wait_for(&screen, at, "PAUSED");
    type(&screen, "r");
    at = wait_for(&screen, at, "round 0  PAUSED");
    type(&screen, " ");
    at = wait_for(&screen, at, "round 2");
    type(&screen, "n\033[A"); /* names; an arrow means nothing */
    at = wait_for(&screen, at, "localhost (127.0.0.1)");
    type(&screen, "q");
    at = wait_for(&screen, at, LEAVE);
    wait_for(&screen, at, "target"); /* the table stays behind */
    int status = wait_status(&screen, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(is_as_before(&screen));
    close_screen(&screen);
}

static void ended_by(int signo)
{
    struct screen screen;
    open_screen(&screen, 80, 24, ARGV);
    size_t at = wait_for(&screen, 0, "round 1");
    kill(screen.pid, signo);
    int status = wait_status(&screen, 0);
    wait_for(&screen, at, LEAVE);
    bool is_fatal = signo == SIGSEGV || signo == SIGABRT;
    assert_true(is_fatal ? WIFSIGNALED(status) && WTERMSIG(status) == signo : WIFEXITED(status));
    assert_true(is_as_before(&screen));
    close_screen(&screen);
}

static void the_terminal_is_given_back(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        ended_by(signals[i]);
}

static void a_stop_gives_it_back_for_a_while(void **state)
{
    (void)state;
    struct screen screen;
    open_screen(&screen, 80, 24, ARGV);
    size_t at = wait_for(&screen, 0, "round 1");
    kill(screen.pid, SIGTSTP);
    int status = wait_status(&screen, WUNTRACED);
    assert_true(WIFSTOPPED(status));
    at = wait_for(&screen, at, LEAVE);
    assert_true(is_as_before(&screen));
    kill(screen.pid, SIGCONT);
    at = wait_for(&screen, at, ENTER);
    at = wait_for(&screen, at, "hop  address");
    type(&screen, "q");
    status = wait_status(&screen, 0);
    assert_true(WIFEXITED(status) && is_as_before(&screen));
    close_screen(&screen);
}

/* No line of the screen is longer than the terminal is wide; what follows the last frame is not looked at. */
static void expect_width(const struct screen *screen, size_t from, size_t to, size_t columns)
{
    const char *text = (const char *)screen->text.data;
    size_t length = 0;
    for (size_t i = from; i < to; i++) {
        if (text[i] == '\033') { /* "\033[?25l": up to its letter */
            while (i + 1 < to && !(text[i] >= '@' && text[i] != '['))
                i++;
        } else if (text[i] == '\n' || text[i] == '\r') {
            length = 0;
        } else if (++length > columns) {
            fail_msg("a line has more than %zu characters: %.*s", columns, 60, text + i - length + 1);
        }
    }
}

static void sizes_are_respected(void **state)
{
    (void)state;
    struct screen screen;
    open_screen(&screen, 20, 8, ARGV);
    size_t begin = wait_for(&screen, 0, ENTER), at = wait_for(&screen, begin, "  1  ");
    at = wait_for(&screen, at, "\033[H");
    expect_width(&screen, begin, at, 20);
    struct winsize wide = {.ws_col = 120, .ws_row = 30};
    assert_int_equal(ioctl(screen.fd, TIOCSWINSZ, &wide), 0); /* the kernel sends SIGWINCH */
    at = wait_for(&screen, at, "worst ms");
    struct winsize tiny = {.ws_col = 1, .ws_row = 1};
    assert_int_equal(ioctl(screen.fd, TIOCSWINSZ, &tiny), 0);
    at = wait_for(&screen, at, "\033[H");
    at = wait_for(&screen, at, "\033[H");
    type(&screen, "q");
    int status = wait_status(&screen, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_screen(&screen);
}

/* A table that fills in where it stands, and stays. */
static void a_trace_fills_in(void **state)
{
    (void)state;
    struct screen screen;
    open_screen(&screen, 80, 24, (const char *const[]){oculi, "trace", "-n", "127.0.0.1", NULL});
    wait_for(&screen, 0, "reached the target in 1 hop");
    int status = wait_status(&screen, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_null(strstr(buf_str(&screen.text), ENTER));
    close_screen(&screen);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_obeyed),     cmocka_unit_test(the_terminal_is_given_back),
        cmocka_unit_test(a_stop_gives_it_back_for_a_while), cmocka_unit_test(sizes_are_respected),
        cmocka_unit_test(a_trace_fills_in),
    };
    if (geteuid() != 0 || argc < 2)
        return harness_skip("needs root and the program to check");
    (void)signal(SIGHUP, SIG_DFL); /* whoever runs this under nohup ignores it, and the program would obey that */
    oculi = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
