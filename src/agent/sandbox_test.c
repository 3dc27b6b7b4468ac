/* Checks of the worker's sandbox: what it needs goes on, what nobody of good will does ends the process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sandbox.h"

/* What fn returns in a process of its own, inside the sandbox; or minus the signal that ended it. */
static int inside(enum sandbox_mode mode, int (*fn)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSYS, SIG_DFL);
        _exit(sandbox_enter(mode, NULL) ? 99 : fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int start_program(void)
{
    (void)execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int make_process(void)
{
    return fork() < 0 ? 1 : 0;
}

static int open_raw(void)
{
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0 ? 1 : errno == EPERM ? 0 : 2;
}

static int open_packet(void)
{
    return socket(AF_PACKET, SOCK_DGRAM, 0) >= 0 ? 1 : errno == EPERM ? 0 : 2;
}

static int make_code(void)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return 2;
    return mprotect(map, 4096, PROT_READ | PROT_EXEC) == 0 ? 1 : errno == EPERM ? 0 : 3;
}

static int trace_itself(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 1 : 0;
}

static int raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 2;
    limit.rlim_cur--;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 1 : errno == EPERM ? 0 : 3;
}

static void *do_nothing(void *user)
{
    return user;
}

static int work(void)
{
    pthread_t thread;
    struct addrinfo *list = NULL;
    char path[] = "/tmp/agent-sandbox-XXXXXX";
    int file = mkstemp(path), udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_good = file >= 0 && write(file, "x", 1) == 1 && fdatasync(file) == 0 && unlink(path) == 0;
    is_good = is_good && (udp >= 0 || errno == EAFNOSUPPORT) && pthread_create(&thread, NULL, do_nothing, NULL) == 0 &&
              pthread_join(thread, NULL) == 0;
    is_good = is_good && getaddrinfo("localhost", NULL, NULL, &list) == 0;
    return is_good ? 0 : 1;
}

static void hostile_calls_end_the_process(void **state)
{
    (void)state;
    if (inside(SANDBOX_ON, start_program) == 0) {
        print_message("# this build has a sanitizer, and so no sandbox\n");
        skip();
    }
    assert_int_equal(inside(SANDBOX_ON, start_program), -SIGSYS);
    assert_int_equal(inside(SANDBOX_ON, trace_itself), -SIGSYS);
    assert_int_equal(inside(SANDBOX_ON, make_process), 1);
    assert_int_equal(inside(SANDBOX_ON, open_raw), 0);
    assert_int_equal(inside(SANDBOX_ON, open_packet), 0);
    assert_int_equal(inside(SANDBOX_ON, make_code), 0);
    assert_int_equal(inside(SANDBOX_ON, raise_limit), 0);
    assert_int_equal(inside(SANDBOX_STRICT, open_packet), -SIGSYS);
    assert_int_equal(inside(SANDBOX_STRICT, make_process), -SIGSYS);
    assert_int_equal(inside(SANDBOX_OFF, raise_limit), 1);
}

static void work_goes_on(void **state)
{
    (void)state;
    assert_int_equal(inside(SANDBOX_ON, work), 0);
    assert_int_equal(inside(SANDBOX_STRICT, work), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_calls_end_the_process),
        cmocka_unit_test(work_goes_on),
    };
    return cmocka_run_group_tests_name("agent_sandbox", tests, NULL, NULL);
}
