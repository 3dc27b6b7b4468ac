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

struct parent_settings {
    const char *netns; /* where to measure: a name under /run/netns or a path; NULL = here */
    const char *user;  /* whom to become when started as root; NULL = the owner of the state directory */
    const char *state_dir; /* exists */
};

/* A worker ends with one of these; anything else, a signal included, is a death after which another one starts. */
enum parent_exit {
    PARENT_EXIT_STOPPED = 0, /* it was asked to */
    PARENT_EXIT_FATAL = 2    /* another one would fail in the same way; it has said why */
};

/* The worker: owns copies of the sockets; returns an enum parent_exit. */
typedef int parent_worker_fn(void *user, struct probe_sockets *sockets);

/* Opens the sockets and gives up all privileges: the process cannot get them back. -E_PERMISSION says what to do. */
int parent_prepare(const struct parent_settings *settings, struct probe_sockets *ret_sockets, struct error *err);

/* Runs workers until SIGTERM or SIGINT or a fatal end. Returns the exit status of the program. */
int parent_run(struct probe_sockets *sockets, parent_worker_fn *worker, void *user);

#endif
