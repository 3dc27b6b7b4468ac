/*
 * Names to addresses without blocking a loop: the system's resolver (which only blocks) on a few threads.
 *
 * A resolver belongs to one loop; everything but the lookup itself happens on the loop's thread. Threads start when
 * they are needed, up to LIMIT_RESOLVE_THREADS; a lookup waits for one when all are busy. A lookup that was cancelled
 * is forgotten: its thread finishes it in vain.
 */
#ifndef OCULI_BASE_RESOLVE_H
#define OCULI_BASE_RESOLVE_H

#include "base/error.h"
#include "base/loop.h"
#include "base/sock.h"

struct resolver;
struct resolve_job;

/* rc and err as from sock_resolve: 0, -E_UNRESOLVED or -E_LIMIT. addr is valid during the call. */
typedef void resolve_fn(void *user, int rc, const union sock_addr *addr, const struct error *err);

/* Looks one name up, blocking, on a thread of a resolver: like sock_resolve, which is what a resolver uses otherwise. */
typedef int resolve_lookup_fn(void *user, const char *host, enum sock_family family, union sock_addr *ret_addr,
                              struct error *err);

int resolver_new(struct loop *loop, struct resolver **ret_resolver, struct error *err);
/* Before the first lookup. user must live as long as the process, since threads outlive their resolver. */
void resolver_set_lookup(struct resolver *resolver, resolve_lookup_fn *fn, void *user);
/* Cancels what runs. Never waits for a thread. */
void resolver_free(struct resolver *resolver);

/* fn is called once, later, on the loop's thread, unless the job is cancelled; the job is gone when it returns.
 * NULL only at the ceiling of waiting lookups. */
struct resolve_job *resolve_start(struct resolver *resolver, const char *host, enum sock_family family, resolve_fn *fn,
                                  void *user);
void resolve_cancel(struct resolve_job *job);

#endif
