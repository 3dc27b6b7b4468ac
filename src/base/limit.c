#include "base/limit.h"

#include <assert.h>
#include <stdatomic.h>

static atomic_uint_least64_t hits[LIMIT_KIND_COUNT];

static const char *const names[LIMIT_KIND_COUNT] = {
    [LIMIT_KIND_ARENA] = "arena",
    [LIMIT_KIND_BUFFER] = "buffer",
    [LIMIT_KIND_ROUNDS] = "rounds",
    [LIMIT_KIND_PROBES] = "probes",
    [LIMIT_KIND_TIMERS] = "timers",
    [LIMIT_KIND_SPOOL] = "spool",
    [LIMIT_KIND_SSE_CLIENTS] = "sse_clients",
    [LIMIT_KIND_SSE_QUEUE] = "sse_queue",
    [LIMIT_KIND_SESSIONS] = "sessions",
    [LIMIT_KIND_REQUEST] = "request",
    [LIMIT_KIND_RESOLVE] = "resolve",
    [LIMIT_KIND_KNOWN_PATHS] = "known_paths",
    [LIMIT_KIND_NAMES] = "names",
    [LIMIT_KIND_PROBE_MODES] = "probe_modes",
};

void limit_hit(enum limit_kind kind)
{
    assert(kind < LIMIT_KIND_COUNT);
    atomic_fetch_add_explicit(&hits[kind], 1, memory_order_relaxed);
}

uint64_t limit_hits(enum limit_kind kind)
{
    assert(kind < LIMIT_KIND_COUNT);
    return atomic_load_explicit(&hits[kind], memory_order_relaxed);
}

const char *limit_name(enum limit_kind kind)
{
    assert(kind < LIMIT_KIND_COUNT);
    return names[kind];
}
