/*
 * PAC files: scripts of somebody else's that say which proxy leads to a URL. They are evaluated by libpacparser (loaded
 * when it is there; without it -E_NOT_SUPPORTED) in a process of its own for each question, because a script may loop
 * for ever, eat all memory or crash its interpreter: such a process has PAC_SECONDS, PAC_MEMORY_BYTES and no file to
 * write to, and the kernel ends it when they are used up.
 *
 * The processes are made by a helper that is forked before the agent has threads and does nothing else.
 */
#ifndef OCULI_AGENT_PAC_H
#define OCULI_AGENT_PAC_H

#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

#define PAC_SECONDS 5
#define PAC_MEMORY_BYTES (128u << 20)
#define PAC_SCRIPT_BYTES (1u << 20)
#define PAC_ANSWER_BYTES 4096

struct pac;
struct pac_job;

/* Forks the helper: to be called while the process has one thread. It ends with the process that made it. */
int pac_open(struct pac **ret_pac, struct error *err);
void pac_close(struct pac *pac); /* NULL is fine; no job may be open */

/* rc 0: what FindProxyForURL returned, for proxy_parse_pac. -E_TIMEOUT, -E_INVALID (the script), -E_NOT_SUPPORTED. */
typedef void pac_fn(void *user, int rc, const char *answer, const struct error *err);

/* fn is called once, later, on the loop's thread, unless the job is cancelled. The script is copied. */
struct pac_job *pac_start(struct pac *pac, struct loop *loop, const char *script, size_t size, const char *url,
                          const char *host, pac_fn *fn, void *user);
void pac_cancel(struct pac_job *job);

#endif
