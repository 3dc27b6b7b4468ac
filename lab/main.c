/*
 * oculi-lab: runs a simulated internet behind TUN devices, one network namespace for each vantage point, and tells the
 * truth about it. oculi-lab(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "lab/facts.h"
#include "lab/history.h"
#include "lab/model.h"
#include "lab/pump.h"
#include "lab/scenario.h"
#include "lab/truth.h"

#define STATE_DIR "/run/oculi-lab"
#define EXIT_USAGE 2
#define NICE_UNSET INT64_MAX
#define GRACE_S 5 /* a command that was told to end gets so long */

static const char usage[] =
    "oculi-lab: a simulated internet that knows the truth\n"
    "\n"
    "  oculi-lab run SCENARIO [options] [-- COMMAND...]   run it, and COMMAND inside the first vantage's namespace\n"
    "  oculi-lab exec PREFIX-VANTAGE COMMAND...           run a command in a vantage of a running lab\n"
    "  oculi-lab clean PREFIX                             remove what a killed lab left behind\n"
    "  oculi-lab check SCENARIO                           read it and say what it contains\n"
    "  oculi-lab paths SCENARIO                           the true ways from each vantage to each target\n"
    "  oculi-lab vantages SCENARIO                        name, address, latitude, longitude, country, place\n"
    "  oculi-lab targets SCENARIO                         name and address of each host\n"
    "  oculi-lab hosts SCENARIO                           names in the form of /etc/hosts\n"
    "  oculi-lab facts SCENARIO                           networks, places and names of addresses as MMDB file\n"
    "  oculi-lab history SCENARIO --vantage V --state-dir DIR [--hours H] [--seed N]\n"
    "                                                     measure an agent's plan in simulated time, up to now\n"
    "\n"
    "Options of run:\n"
    "  --prefix P        namespaces are called P-VANTAGE (default oc)\n"
    "  --in VANTAGE      where COMMAND runs (default: the first)\n"
    "  --truth FILE      write the truth as JSON at the end and on SIGUSR1\n"
    "  --hosts FILE      write the names in the form of /etc/hosts\n"
    "  --seed N          of every random draw (default: the scenario's)\n"
    "  --probes N        probes remembered one by one in the truth (default 1000000)\n"
    "  --mtu N           of the devices (default 1500)\n"
    "  --spin US         watch the clock so long before a packet is due (default 60)\n"
    "  --busy            never sleep: the most exact, and one core at 100 %\n"
    "  --no-stamps       take no stamps of what is sent: less exact, but the sender does not pay for them\n"
    "  --nice N          ordinary scheduling at this priority (default: real-time, or -15 with --busy)\n"
    "  --ready-fd FD     write a line to this descriptor when packets flow (else \"ready\" on standard output\n"
    "                    when there is no COMMAND)\n";

struct run_options {
    const char *scenario, *prefix, *in, *truth, *hosts;
    int64_t seed, probes, mtu, spin_us, nice, ready_fd;
    bool is_busy, is_unstamped;
    char **command;
};

static int complain(const struct error *err)
{
    char text[700];
    (void)fprintf(stderr, "oculi-lab: %s\n", error_format(err, text, sizeof text));
    return 1;
}

static int complain_usage(const char *what, const char *word)
{
    (void)fprintf(stderr, "oculi-lab: %s%s%s\n`oculi-lab --help` tells more\n", what, word ? " " : "",
                  word ? word : "");
    return EXIT_USAGE;
}

/* --- commands that only read ------------------------------------------------------------------------------------------ */

static int print(struct buf *buf)
{
    struct error err = {0};
    int rc = file_write_all(STDOUT_FILENO, buf_str(buf), buf->size, "standard output", &err);
    buf_done(buf);
    return rc < 0 ? complain(&err) : 0;
}

static void put_host_names(const struct lab_scenario *s, struct buf *buf)
{
    char addr[LAB_ADDR_TEXT_BYTES];
    buf_puts(buf, "127.0.0.1\tlocalhost\n::1\tlocalhost\n");
    for (uint32_t i = 0; i < s->name_count; i++) {
        const struct lab_node *node = &s->nodes[s->names[i].node];
        buf_printf(buf, "%s\t%s%s%s\n", lab_addr_text(&s->names[i].addr, addr, sizeof addr),
                   node->rdns ? node->rdns : node->name, node->rdns ? " " : "", node->rdns ? node->name : "");
    }
}

static int do_hosts(const struct lab_scenario *s, struct buf *buf)
{
    put_host_names(s, buf);
    return print(buf);
}

static int do_facts(const struct lab_scenario *s, struct buf *buf)
{
    struct error err = {0};
    if (lab_facts_write(s, buf, &err) < 0)
        return complain(&err);
    return print(buf);
}

static int do_vantages(const struct lab_scenario *s, struct buf *buf)
{
    char addr[LAB_ADDR_TEXT_BYTES];
    for (uint32_t i = 0; i < s->vantage_count; i++) {
        const struct lab_node *node = &s->nodes[s->vantages[i]];
        bool is_v4 = node->prefix4.bits > 0;
        buf_printf(buf, "%s\t%s\t%.6g\t%.6g\t%s\t%s\n", node->name,
                   lab_addr_text(is_v4 ? &node->v4 : &node->v6, addr, sizeof addr), node->latitude, node->longitude,
                   node->country ? node->country : "-", node->place ? node->place : node->name);
    }
    return print(buf);
}

static int do_targets(const struct lab_scenario *s, struct buf *buf)
{
    char addr[LAB_ADDR_TEXT_BYTES];
    for (uint32_t i = 0; i < s->node_count; i++) {
        const struct lab_node *node = &s->nodes[i];
        if (node->kind != LAB_HOST)
            continue;
        const char *name = node->rdns ? node->rdns : node->name;
        if (node->prefix4.bits > 0 || node->prefix6.bits == 0)
            buf_printf(buf, "%s\t%s\n", name, lab_addr_text(&node->v4, addr, sizeof addr));
        if (node->prefix6.bits > 0)
            buf_printf(buf, "%s\t%s\n", name, lab_addr_text(&node->v6, addr, sizeof addr));
    }
    return print(buf);
}

static int do_check(const struct lab_scenario *s, struct buf *buf)
{
    unsigned kinds[LAB_BLOCK + 1] = {0};
    for (uint32_t i = 0; i < s->node_count; i++)
        kinds[s->nodes[i].kind]++;
    buf_printf(buf, "%s: %u vantages, %u routers, %u hosts, %u blocks, %u links, %u tunnels, %u faults\n", s->title,
               kinds[LAB_VANTAGE], kinds[LAB_ROUTER], kinds[LAB_HOST], kinds[LAB_BLOCK], s->link_count,
               s->tunnel_count, s->fault_count);
    return print(buf);
}

static int do_paths(const struct lab_scenario *s, struct buf *buf)
{
    struct lab_net *net = lab_net_new(s, &(struct lab_options){.packets = 16, .truth_probes = 16, .truth_streams = 16});
    lab_net_set_wall_offset(net, clock_wall_ns(&clock_real));
    lab_net_step(net, 0);
    lab_truth_write_paths(net, buf);
    lab_net_free(net);
    return print(buf);
}

static int do_reading(int argc, char **argv)
{
    static const struct {
        const char *word;
        int (*run)(const struct lab_scenario *s, struct buf *buf);
    } commands[] = {{"check", do_check},   {"paths", do_paths}, {"vantages", do_vantages},
                    {"targets", do_targets}, {"hosts", do_hosts}, {"facts", do_facts}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].word) != 0)
            continue;
        if (argc != 3)
            return complain_usage("give one scenario file to", argv[1]);
        struct lab_scenario *s;
        struct error err = {0};
        if (lab_scenario_load(argv[2], &s, &err) < 0)
            return complain(&err);
        struct buf buf;
        buf_init(&buf, LAB_TRUTH_BYTES);
        int status = commands[i].run(s, &buf);
        lab_scenario_free(s);
        return status;
    }
    return complain_usage("unknown command", argv[1]);
}

/* --- commands inside a vantage ---------------------------------------------------------------------------------------- */

/* Gives this process its own /etc/hosts, so that the lab's names resolve. */
static void bind_hosts(const char *hosts)
{
    struct stat there;
    if (stat(hosts, &there) < 0 || unshare(CLONE_NEWNS) < 0)
        return;
    if (mount("", "/", "none", MS_SLAVE | MS_REC, NULL) == 0)
        (void)mount(hosts, "/etc/hosts", "none", MS_BIND, NULL);
}

static int run_command(const char *namespace, const char *hosts, char **command)
{
    struct error err = {0};
    if (lab_tun_enter(namespace, &err) < 0)
        return complain(&err);
    bind_hosts(hosts);
    (void)execvp(command[0], command);
    (void)fprintf(stderr, "oculi-lab: %s: %s\n", command[0], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}

static void hosts_path(const char *prefix, char *path, size_t size)
{
    (void)snprintf(path, size, STATE_DIR "/%s.hosts", prefix);
}

static void pid_path(const char *prefix, char *path, size_t size)
{
    (void)snprintf(path, size, STATE_DIR "/%s.pid", prefix);
}

/* The prefix of a running lab is not written in its namespaces' names, which may contain '-': the longest that has
 * left its names counts. */
static int do_exec(int argc, char **argv)
{
    if (argc < 4)
        return complain_usage("give a namespace and a command to", "exec");
    char **command = argv + 3, prefix[128], path[192] = "/nonexistent";
    if (strcmp(command[0], "--") == 0 && !*++command)
        return complain_usage("give a command to", "exec");
    (void)str_copy(prefix, sizeof prefix, argv[2]);
    for (char *dash; (dash = strrchr(prefix, '-')) != NULL;) {
        *dash = '\0';
        hosts_path(prefix, path, sizeof path);
        if (access(path, R_OK) == 0)
            break;
    }
    return run_command(argv[2], path, command);
}

/* --- run -------------------------------------------------------------------------------------------------------------- */

struct lab {
    struct run_options options;
    struct lab_scenario *s;
    struct lab_net *net;
    struct lab_tun *tuns;
    unsigned tun_count;
    struct lab_pump pump;
    pid_t child; /* 0 = none */
    int child_status;
    bool has_pid_file;
};

static int write_truth(struct lab *lab)
{
    if (!lab->options.truth)
        return 0;
    struct error err = {0};
    struct buf json, machine;
    buf_init(&json, LAB_TRUTH_BYTES);
    buf_init(&machine, 1u << 20);
    lab_pump_report(&lab->pump, &machine);
    lab_truth_write(lab_net_truth(lab->net), buf_str(&machine), &json);
    int rc = json.is_overflowed
                 ? error_set(&err, E_LIMIT, lab->options.truth, "the truth is too large: use a smaller --probes")
                 : file_write(lab->options.truth, json.data, json.size, 0644, &err);
    buf_done(&json);
    buf_done(&machine);
    return rc < 0 ? complain(&err) : 0;
}

static int write_hosts(struct lab *lab, struct error *err)
{
    char path[192];
    struct buf text;
    buf_init(&text, 16u << 20);
    put_host_names(lab->s, &text);
    hosts_path(lab->options.prefix, path, sizeof path);
    int rc = file_write(path, text.data, text.size, 0644, err);
    if (rc == 0 && lab->options.hosts)
        rc = file_write(lab->options.hosts, text.data, text.size, 0644, err);
    buf_done(&text);
    return rc;
}

/* The process of an earlier lab of this prefix, or 0. */
static pid_t owner_of(const char *prefix)
{
    char path[192];
    int64_t pid = 0;
    struct buf text;
    pid_path(prefix, path, sizeof path);
    buf_init(&text, 64);
    if (file_read(path, &text, NULL) < 0 || str_to_i64(buf_str(&text), 1, INT32_MAX, &pid) < 0)
        pid = 0;
    buf_done(&text);
    return pid > 0 && kill((pid_t)pid, 0) == 0 ? (pid_t)pid : 0;
}

static int claim_prefix(struct lab *lab, struct error *err)
{
    char path[192], text[32], name[128];
    pid_t owner = owner_of(lab->options.prefix);
    if (owner > 0 && owner != getpid())
        return error_set(err, E_EXISTS, lab->options.prefix, "a lab of this prefix is running (process %d)",
                         (int)owner);
    int rc = file_make_dir(STATE_DIR, 0755, err);
    pid_path(lab->options.prefix, path, sizeof path);
    /* A lab that was killed could not tidy up: its namespaces are worth nothing without it. */
    for (unsigned i = 0; access(path, F_OK) == 0 && i < lab->s->vantage_count; i++) {
        (void)snprintf(name, sizeof name, "%.60s-%.64s", lab->options.prefix,
                       lab->s->nodes[lab->s->vantages[i]].name);
        lab_tun_remove(name);
    }
    (void)snprintf(text, sizeof text, "%d", (int)getpid());
    if (rc == 0)
        rc = file_write(path, text, strlen(text), 0644, err);
    lab->has_pid_file = rc == 0;
    return rc;
}

static int open_tuns(struct lab *lab, struct error *err)
{
    if (geteuid() != 0)
        return error_set(err, E_PERMISSION, "", "running a lab needs root: it makes network namespaces and TUN devices");
    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        return error_sys(err, errno, "/dev/net/tun", "this machine has no TUN driver for us (modprobe tun)");
    int rc = claim_prefix(lab, err);
    lab->tuns = mem_alloc_array(lab->s->vantage_count, sizeof *lab->tuns);
    for (uint32_t i = 0; i < lab->s->vantage_count && rc == 0; i++) {
        rc = lab_tun_open(&lab->tuns[i], lab->options.prefix, &lab->s->nodes[lab->s->vantages[i]],
                          (uint16_t)lab->options.mtu, !lab->options.is_unstamped, err);
        if (rc == 0)
            lab->tun_count++;
    }
    return rc < 0 ? rc : write_hosts(lab, err);
}

static void close_lab(struct lab *lab)
{
    char path[192];
    for (unsigned i = 0; i < lab->tun_count; i++)
        lab_tun_close(&lab->tuns[i]);
    if (lab->has_pid_file) {
        pid_path(lab->options.prefix, path, sizeof path);
        (void)unlink(path);
        hosts_path(lab->options.prefix, path, sizeof path);
        (void)unlink(path);
    }
    lab_pump_done(&lab->pump);
    mem_free(lab->tuns);
    lab_net_free(lab->net);
    lab_scenario_free(lab->s);
}

/* As exact as we are allowed to be. None of it is needed to work. Real-time scheduling is not for a process that never
 * sleeps: it would starve the rest of the machine. */
static void raise_priority(const struct run_options *options)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    if (options->nice == NICE_UNSET && !options->is_busy &&
        sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) == 0)
        return;
    (void)setpriority(PRIO_PROCESS, 0, options->nice == NICE_UNSET ? -15 : (int)options->nice);
}

static int start_command(struct lab *lab, const sigset_t *signals, struct error *err)
{
    const char *in = lab->options.in ? lab->options.in : lab_net_vantage_name(lab->net, 0);
    int vantage = lab_net_vantage_index(lab->net, in);
    if (vantage < 0)
        return error_set(err, E_UNKNOWN, "--in", "there is no vantage '%s'", in);
    if (!lab->options.command)
        return 0;
    char hosts[192];
    hosts_path(lab->options.prefix, hosts, sizeof hosts);
    pid_t child = fork();
    if (child < 0)
        return error_sys(err, errno, lab->options.command[0], "cannot start a process");
    if (child == 0) {
        (void)sigprocmask(SIG_UNBLOCK, signals, NULL);
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        _exit(run_command(lab->tuns[vantage].name, hosts, lab->options.command));
    }
    lab->child = child;
    return 0;
}

static void tell_ready(const struct run_options *options)
{
    int fd = options->ready_fd >= 0 ? (int)options->ready_fd : STDOUT_FILENO;
    if (options->ready_fd >= 0 || !options->command)
        (void)file_write_all(fd, "ready\n", 6, "the ready descriptor", NULL);
}

/* True when the child is gone. */
static bool reap(struct lab *lab)
{
    int status;
    if (lab->child <= 0 || waitpid(lab->child, &status, WNOHANG) != lab->child)
        return false;
    lab->child_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    lab->child = 0;
    return true;
}

/* Pumps until the command ends or we are told to end; the exit status. */
static int pump_until_done(struct lab *lab)
{
    bool has_command = lab->child > 0;
    for (;;) {
        int signo = lab_pump_run(&lab->pump);
        if (signo == SIGUSR1) {
            (void)write_truth(lab);
        } else if (signo == SIGCHLD) {
            if (reap(lab))
                return lab->child_status;
        } else if (signo == SIGALRM) {
            if (lab->child > 0)
                (void)kill(lab->child, SIGKILL);
        } else if (!has_command) {
            return 0;
        } else if (lab->child > 0) {
            (void)kill(lab->child, signo);
            (void)alarm(GRACE_S);
        }
    }
}

static int run_lab(struct lab *lab)
{
    struct error err = {0};
    sigset_t signals;
    (void)sigemptyset(&signals);
    static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        (void)sigaddset(&signals, taken[i]);
    int rc = open_tuns(lab, &err);
    int64_t offset = clock_wall_ns(&clock_real) - clock_mono_ns(&clock_real);
    lab->net = lab_net_new(lab->s, &(struct lab_options){.seed = (uint64_t)lab->options.seed,
                                                        .wall_offset_ns = offset,
                                                        .truth_probes = (uint32_t)lab->options.probes});
    if (rc == 0)
        rc = lab_pump_init(&lab->pump, lab->net, lab->tuns, lab->tun_count, &signals, &err);
    if (rc == 0)
        rc = start_command(lab, &signals, &err);
    if (rc < 0)
        return complain(&err);
    raise_priority(&lab->options);
    lab->pump.spin_ns = lab->options.spin_us * CLOCK_US;
    lab->pump.is_busy = lab->options.is_busy;
    tell_ready(&lab->options);
    int status = pump_until_done(lab);
    return write_truth(lab) != 0 && status == 0 ? 1 : status;
}

static int read_options(int argc, char **argv, struct run_options *o)
{
    const struct {
        const char *word;
        const char **text;
        int64_t *number;
        int64_t low, high;
        bool *flag;
    } known[] = {
        {"--prefix", &o->prefix, NULL, 0, 0, NULL},
        {"--in", &o->in, NULL, 0, 0, NULL},
        {"--truth", &o->truth, NULL, 0, 0, NULL},
        {"--hosts", &o->hosts, NULL, 0, 0, NULL},
        {"--seed", NULL, &o->seed, 1, INT64_MAX, NULL},
        {"--probes", NULL, &o->probes, 1, 20000000, NULL},
        {"--mtu", NULL, &o->mtu, 68, 9216, NULL},
        {"--spin", NULL, &o->spin_us, 0, 100000, NULL},
        {"--nice", NULL, &o->nice, -20, 19, NULL},
        {"--ready-fd", NULL, &o->ready_fd, 0, 1000000, NULL},
        {"--busy", NULL, NULL, 0, 0, &o->is_busy},
        {"--no-stamps", NULL, NULL, 0, 0, &o->is_unstamped},
    };
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            o->command = argv + i + 1;
            return *o->command ? 0 : complain_usage("no command after", "--");
        }
        if (argv[i][0] != '-') {
            if (o->scenario)
                return complain_usage("one scenario only; a command comes after --:", argv[i]);
            o->scenario = argv[i];
            continue;
        }
        size_t k = 0, count = sizeof known / sizeof *known;
        while (k < count && strcmp(argv[i], known[k].word) != 0)
            k++;
        if (k == count)
            return complain_usage("unknown option", argv[i]);
        if (known[k].flag) {
            *known[k].flag = true;
        } else if (++i == argc) {
            return complain_usage("no value after", known[k].word);
        } else if (known[k].text) {
            *known[k].text = argv[i];
        } else if (str_to_i64(argv[i], known[k].low, known[k].high, known[k].number) < 0) {
            return complain_usage("not a number in range for", known[k].word);
        }
    }
    return o->scenario ? 0 : complain_usage("which scenario?", NULL);
}

static int do_run(int argc, char **argv)
{
    struct lab lab = {.options = {.prefix = "oc", .probes = 1000000, .mtu = 1500, .spin_us = 60, .nice = NICE_UNSET,
                                  .ready_fd = -1},
                      .pump = {.epoll_fd = -1, .signal_fd = -1}};
    int status = read_options(argc, argv, &lab.options);
    if (status != 0)
        return status;
    if (strlen(lab.options.prefix) > 40 || strchr(lab.options.prefix, '/') || lab.options.prefix[0] == '\0')
        return complain_usage("--prefix has 1 to 40 bytes and no '/'", NULL);
    struct error err = {0};
    if (lab_scenario_load(lab.options.scenario, &lab.s, &err) < 0)
        return complain(&err);
    status = run_lab(&lab);
    close_lab(&lab);
    return status;
}

static int do_clean(int argc, char **argv)
{
    if (argc != 3)
        return complain_usage("give a prefix to", "clean");
    char path[192], pattern[64], line[512];
    if (owner_of(argv[2]) > 0)
        return complain_usage("a lab of this prefix is still running:", argv[2]);
    (void)snprintf(pattern, sizeof pattern, "%.60s-", argv[2]);
    /* The mounts tell which namespaces there are. */
    FILE *mounts = fopen("/proc/self/mounts", "re");
    while (mounts && fgets(line, sizeof line, mounts)) {
        char *at = strstr(line, LAB_TUN_DIR "/");
        char *name = at ? at + strlen(LAB_TUN_DIR "/") : NULL;
        if (!name || !str_starts(name, pattern))
            continue;
        name[strcspn(name, " ")] = '\0';
        lab_tun_remove(name);
    }
    if (mounts)
        (void)fclose(mounts);
    pid_path(argv[2], path, sizeof path);
    (void)unlink(path);
    hosts_path(argv[2], path, sizeof path);
    (void)unlink(path);
    return 0;
}

/* --- a past ------------------------------------------------------------------------------------------------------------- */

#define HISTORY_HOURS_MAX 720 /* the server takes rounds of the last 30 days */

static int make_history(const char *scenario, struct lab_history *history, double hours)
{
    struct lab_scenario *s;
    struct error err = {0};
    if (lab_scenario_load(scenario, &s, &err) < 0)
        return complain(&err);
    int64_t began_ns = clock_mono_ns(&clock_real);
    uint64_t rounds = 0;
    history->until_s = clock_wall_ns(&clock_real) / CLOCK_S;
    history->from_s = history->until_s - (int64_t)(hours * 3600);
    int rc = lab_history_make(s, history, &rounds, &err);
    lab_scenario_free(s);
    if (rc < 0)
        return complain(&err);
    (void)printf("%" PRIu64 " rounds: %g h in %.1f s\n", rounds, hours,
                 (double)(clock_mono_ns(&clock_real) - began_ns) / (double)CLOCK_S);
    return 0;
}

static int do_history(int argc, char **argv)
{
    struct lab_history history = {0};
    const char *scenario = NULL;
    double hours = 1;
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-') {
            if (scenario)
                return complain_usage("one scenario is enough:", word);
            scenario = word;
            continue;
        }
        const char *value = argv[++i];
        if (!value)
            return complain_usage("a value is missing after", word);
        int rc = 0;
        if (strcmp(word, "--vantage") == 0)
            history.vantage = value;
        else if (strcmp(word, "--state-dir") == 0)
            history.state_dir = value;
        else if (strcmp(word, "--hours") == 0)
            rc = str_to_f64(value, &hours) || hours <= 0 || hours > HISTORY_HOURS_MAX ? -1 : 0;
        else if (strcmp(word, "--seed") == 0)
            rc = str_to_u64(value, UINT64_MAX, &history.seed);
        else
            return complain_usage("unknown option", word);
        if (rc)
            return complain_usage("no sense can be made of the value of", word);
    }
    if (!scenario || !history.vantage || !history.state_dir)
        return complain_usage("history needs a scenario, --vantage and --state-dir", NULL);
    return make_history(scenario, &history, hours);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return complain_usage("what shall I do?", NULL);
    bool is_help = strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0;
    if (is_help || (argc == 3 && strcmp(argv[2], "--help") == 0))
        return fputs(usage, stdout) < 0;
    if (strcmp(argv[1], "--version") == 0)
        return puts("oculi-lab " OCULI_VERSION) < 0;
    if (strcmp(argv[1], "run") == 0)
        return do_run(argc, argv);
    if (strcmp(argv[1], "exec") == 0)
        return do_exec(argc, argv);
    if (strcmp(argv[1], "clean") == 0)
        return do_clean(argc, argv);
    if (strcmp(argv[1], "history") == 0)
        return do_history(argc, argv);
    return do_reading(argc, argv);
}
