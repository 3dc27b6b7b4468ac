/*
 * The privileged page of the agent. It opens the raw sockets, gives up every privilege for good, and keeps a worker
 * running that has none either; it parses no network byte.
 *
 * The sockets are opened once, with whatever the process may do at its start (CAP_NET_RAW; CAP_SYS_ADMIN for another
 * network namespace; CAP_NET_ADMIN for large buffers). The parent keeps them open without ever reading from them, and
 * each worker inherits them. So after the first moment no process of the agent holds any capability, and a worker
 * that dies is replaced at once.
 */
#ifndef OCULI_AGENT_PARENT_H
#define OCULI_AGENT_PARENT_H

#include <sys/types.h>

#include "base/error.h"
#include "probe/open.h"

struct lookup;

struct parent_settings {
    const char *netns; /* where to measure: a name under /run/netns or a path; NULL = here */
    const char *interface;   /* to measure from, in that namespace; NULL = the system's choice */
    const char *dns_servers; /* for lookup.h */
    const char *user;  /* whom to become when started as root; NULL = the owner of the state directory */
    const char *state_dir; /* exists */
};

/* What took privileges to open. */
struct parent_opened {
    struct probe_sockets sockets;
    int netlink;           /* of the namespace it measures from: net.h */
    struct lookup *lookup; /* NULL = the system's way */
};

/* A worker ends with one of these; anything else, a signal included, is a death after which another one starts. */
enum parent_exit {
    PARENT_EXIT_STOPPED = 0, /* it was asked to */
    PARENT_EXIT_FATAL = 2    /* another one would fail in the same way; it has said why */
};

/* The worker: owns copies of what was opened; returns an enum parent_exit. */
typedef int parent_worker_fn(void *user);

/* What is started in place of this program on SIGUSR2. */
struct parent_program {
    const char *path; /* of its file: a new one may lie there by then */
    char *const *argv;
};

/* Opens the sockets and gives up all privileges: the process cannot get them back. -E_PERMISSION says what to do. What a
 * program before this one handed over (handover.h) is taken instead.
 * The strings of settings outlive what was opened. */
int parent_prepare(const struct parent_settings *settings, struct parent_opened *ret_opened, struct error *err);

/* Runs workers until SIGTERM or SIGINT or a fatal end. Returns the exit status of the program. On SIGUSR2 the worker
 * finishes its rounds and ends, and the program is started in place of this one. */
int parent_run(const struct parent_opened *opened, const struct parent_program *program, parent_worker_fn *worker,
               void *user);

#endif
