#include "agent/parent.h"

#include <errno.h>
#include <grp.h>
#include <net/if.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/handover.h"
#include "agent/lookup.h"
#include "agent/net.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/service.h"

#define PARENT_DELAY_MIN_S 1
#define PARENT_DELAY_MAX_S 60
#define PARENT_STOP_S 18 /* after which a worker that does not stop is killed */

/* --- giving up privileges ----------------------------------------------------------------------------------------- */

static int find_user(const struct parent_settings *settings, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
    if (settings->user) {
        errno = 0;
        const struct passwd *entry = getpwnam(settings->user);
        if (!entry)
            return error_set(err, E_NOT_FOUND, "--user", "there is no user \"%s\"", settings->user);
        *ret_uid = entry->pw_uid;
        *ret_gid = entry->pw_gid;
        return 0;
    }
    struct stat st;
    if (stat(settings->state_dir, &st) != 0)
        return error_sys(err, errno, settings->state_dir, "cannot look at");
    *ret_uid = st.st_uid;
    *ret_gid = st.st_gid;
    return 0;
}

static int become_user(const struct parent_settings *settings, struct error *err)
{
    uid_t uid = 0;
    gid_t gid = 0;
    int rc = find_user(settings, &uid, &gid, err);
    if (rc)
        return rc;
    if (uid == geteuid() && gid == getegid())
        return 0;
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return error_sys(err, errno, "--user", "cannot become user %u", (unsigned)uid);
    return 0;
}

static int give_up_capabilities(struct error *err)
{
    cap_t none = cap_init();
    int rc = none && cap_set_proc(none) == 0 ? 0 : error_sys(err, errno, "", "cannot give up capabilities");
    (void)cap_free(none);
    if (!rc && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        rc = error_sys(err, errno, "", "cannot give up new privileges");
    return rc;
}

static int give_up(void *user, struct error *err)
{
    /* The bounding set needs CAP_SETPCAP, which only root has; without it there is nothing to gain by exec either. */
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    int rc = geteuid() == 0 ? become_user(user, err) : 0;
    return rc ? rc : give_up_capabilities(err);
}

/* Both ways: what comes in by another interface is no answer to what went out by this one. */
static int bind_interface(const struct probe_sockets *sockets, const char *name, struct error *err)
{
    for (size_t i = 0; i < 2; i++) {
        const int fds[] = {sockets->send[i], sockets->icmp[i], sockets->tcp[i], sockets->udp[i], sockets->route[i]};
        for (size_t j = 0; j < sizeof fds / sizeof fds[0]; j++) {
            if (fds[j] >= 0 && setsockopt(fds[j], SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) != 0)
                return error_sys(err, errno, "--interface", "Cannot use the selected interface %s", name);
        }
    }
    return 0;
}

int parent_prepare(const struct parent_settings *settings, struct parent_opened *ret_opened, struct error *err)
{
    struct parent_opened opened = {.netlink = -1};
    struct lookup_settings lookup = {
        .servers = settings->dns_servers, .netns = settings->netns, .settle = give_up, .user = (void *)(uintptr_t)settings};
    int rc;
    if (handover_take(settings->dns_servers, ret_opened, &rc, err))
        return rc;
    rc = probe_open(settings->netns, PROBE_QUIET_PORTS, &opened.sockets, err);
    if (rc == -E_PERMISSION && err) {
        size_t used = strlen(err->text);
        (void)strncat(err->text,
                      ". Its systemd unit gives it; so does: setcap cap_net_raw+ep oculi-agent",
                      sizeof err->text - used - 1);
    }
    if (rc)
        return rc;
    rc = settings->interface ? bind_interface(&opened.sockets, settings->interface, err) : 0;
    if (!rc)
        rc = net_socket(settings->netns, &opened.netlink, err);
    if (!rc)
        rc = lookup_open(&lookup, &opened.lookup, err);
    if (!rc)
        rc = give_up((void *)(uintptr_t)settings, err);
    if (rc) {
        lookup_close(opened.lookup);
        if (opened.netlink >= 0)
            (void)close(opened.netlink);
        probe_close(&opened.sockets);
        return rc;
    }
    *ret_opened = opened;
    return 0;
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

static sigset_t watched_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (!loop_is_nohup())
        (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGUSR2);
    (void)sigaddset(&set, SIGCHLD);
    return set;
}

static pid_t start_worker(parent_worker_fn *worker, void *user)
{
    pid_t self = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); /* without its parent a worker stops */
    sigset_t set = watched_signals();
    (void)sigdelset(&set, SIGCHLD);
    if (getppid() != self)
        (void)raise(SIGTERM); /* the parent died before it could be noticed; blocked until the loop looks */
    (void)signal(SIGUSR2, SIG_IGN); /* the parent's affair, also when it is sent to the whole group */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGUSR2);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    exit(worker(user));
}

/* Waits for a signal, at most seconds (-1 = for ever); 0 when the time is over. */
static int wait_signal(int64_t seconds)
{
    sigset_t set = watched_signals();
    struct timespec time = {.tv_sec = seconds};
    for (;;) {
        int signo = seconds < 0 ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &time);
        if (signo > 0)
            return signo;
        if (errno != EINTR)
            return 0;
    }
}

static int stop_worker(pid_t pid)
{
    int status;
    (void)kill(pid, SIGTERM);
    int64_t until_ns = clock_mono_ns(&clock_real) + PARENT_STOP_S * CLOCK_S;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int64_t left_s = (until_ns - clock_mono_ns(&clock_real) + CLOCK_S - 1) / CLOCK_S;
        if (left_s > 0) {
            (void)wait_signal(left_s);
            continue;
        }
        log_error("agent", "the worker does not stop: killed");
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Returns when the new program cannot be started. */
static void replace_program(const struct parent_opened *opened, const struct parent_program *program)
{
    struct error err;
    char text[600];
    log_info("agent", "starting %s in place of this program", program->path);
    (void)handover_exec(program->path, program->argv, opened, &err);
    log_error("agent", "%s; the program that ran goes on", error_format(&err, text, sizeof text));
}

/* Runs one worker to its end. True when the program is to end with *ret_status, or with *ret_is_replaced to be replaced. */
static bool run_worker(pid_t pid, pid_t lookup, int *ret_status, bool *ret_is_replaced)
{
    for (;;) {
        int signo = wait_signal(-1), status;
        if (signo == SIGUSR2) {
            (void)service_tell_reloading();
            *ret_status = stop_worker(pid);
            *ret_is_replaced = true;
            return true;
        }
        if (signo == SIGTERM || signo == SIGINT || signo == SIGHUP) {
            (void)service_tell("STOPPING=1");
            *ret_status = stop_worker(pid);
            return true;
        }
        if (lookup && waitpid(lookup, &status, WNOHANG) == lookup) {
            log_error("agent", "the process that looks up names in the network namespace ended; it takes a new start");
            (void)stop_worker(pid);
            *ret_status = 1;
            return true;
        }
        if (waitpid(pid, &status, WNOHANG) != pid)
            continue;
        if (WIFEXITED(status) && (WEXITSTATUS(status) == PARENT_EXIT_STOPPED ||
                                  WEXITSTATUS(status) == PARENT_EXIT_FATAL)) {
            *ret_status = WEXITSTATUS(status);
            return true;
        }
        if (WIFSIGNALED(status))
            log_error("agent", "the worker was ended by signal %d (%s)", WTERMSIG(status),
                      strsignal(WTERMSIG(status)));
        else
            log_error("agent", "the worker ended with status %d", WEXITSTATUS(status));
        return false;
    }
}

int parent_run(const struct parent_opened *opened, const struct parent_program *program, parent_worker_fn *worker,
               void *user)
{
    sigset_t set = watched_signals();
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int64_t delay_s = PARENT_DELAY_MIN_S;
    for (;;) {
        int64_t began_ns = clock_mono_ns(&clock_real);
        pid_t pid = start_worker(worker, user);
        int status = 1;
        bool is_replaced = false;
        (void)service_tell("READY=1");
        if (pid < 0)
            log_error("agent", "cannot start a worker: %s", strerror(errno));
        else if (run_worker(pid, lookup_process(opened->lookup), &status, &is_replaced) && !is_replaced)
            return status;
        if (is_replaced) {
            replace_program(opened, program);
            continue;
        }
        if (clock_mono_ns(&clock_real) - began_ns > PARENT_DELAY_MAX_S * CLOCK_S)
            delay_s = PARENT_DELAY_MIN_S;
        log_warning("agent", "another worker starts in %d s", (int)delay_s);
        int signo = wait_signal(delay_s);
        if (signo == SIGTERM || signo == SIGINT || signo == SIGHUP)
            return PARENT_EXIT_STOPPED;
        if (signo == SIGUSR2)
            replace_program(opened, program);
        delay_s = delay_s * 2 < PARENT_DELAY_MAX_S ? delay_s * 2 : PARENT_DELAY_MAX_S;
    }
}
