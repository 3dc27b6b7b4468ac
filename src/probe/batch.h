/*
 * A batch: the same measurement of many targets, with ceilings on what goes on at once.
 *
 * Every target gets a stream (ping.h), path traces (trace.h), or both side by side. Targets are begun in their order,
 * as soon as both ceilings allow it:
 *
 * - fewer than `most_targets` are being measured, and
 * - no more packets have been sent than `most_pps` allows for the time since the batch began. A target is charged with
 *   what it will probably send when it is begun, and with what it did send when it is over; so the mean rate is kept
 *   from the start on, while the stream of each target keeps the gaps of its own settings.
 *
 * When the engine has no room for another round the batch waits until it has. Each target's memory is used again for
 * a later one, so that a batch of a million targets takes what `most_targets` take (probe_batch_bytes).
 *
 *     probe_batch_defaults(&settings);
 *     probe_ping_defaults(&ping);
 *     settings.ping = &ping;
 *     probe_batch_start(engine, &settings, targets, count, on_target, on_done, user, &batch, err);
 *
 * Stop it before the engine is freed.
 */
#ifndef OCULI_PROBE_BATCH_H
#define OCULI_PROBE_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sock.h"
#include "probe/ping.h"
#include "probe/trace.h"

struct probe_batch;

struct probe_batch_settings {
    const struct probe_ping_settings *ping;   /* of every target's stream, whatever dst says; NULL = none */
    const struct probe_trace_settings *trace; /* of every target's traces, likewise */
    uint32_t most_targets; /* at once, 1..LIMIT_ENGINE_ROUNDS */
    uint32_t most_pps;     /* packets per second, in the mean; 0 = no ceiling */
};

/* One target when it is over. It is good until the callback returns. */
struct probe_batch_target {
    size_t index;
    const union sock_addr *dst;
    const struct probe_ping_result *ping;   /* NULL = was not asked for, or could not start */
    const struct probe_trace_result *trace; /* likewise */
    const struct error *error; /* why something could not start ("the source address is not of the target's family"), or
                                  NULL. What the network or the kernel did is in the results. */
};

struct probe_batch_stats {
    size_t begun, over;           /* targets */
    uint32_t running, most;       /* targets being measured, now and at most so far */
    uint64_t packets;             /* sent to targets that are over */
    int64_t start_ns, end_ns;     /* monotonic; end_ns = now while it runs */
};

typedef void probe_batch_target_fn(void *user, const struct probe_batch_target *target);
typedef void probe_batch_fn(void *user, const struct probe_batch_stats *stats);

/* Nothing to measure yet, 1000 targets at once, no ceiling on packets. */
void probe_batch_defaults(struct probe_batch_settings *settings);

/* What each target that is being measured takes of memory, as a rule: its slots in the engine and its results. */
size_t probe_batch_bytes(const struct probe_batch_settings *settings);

/*
 * Returns at once. `settings` is copied, `targets` must outlive the batch. target is called once for each that was
 * begun, in the order in which they end; done once after the last. Neither is called before this function has returned; both
 * may start and stop anything but free the engine. -E_REQUIRED, -E_RANGE: a setting, by its name; -E_LIMIT: the engine
 * has no slot left for the batch itself.
 */
int probe_batch_start(struct probe_engine *engine, const struct probe_batch_settings *settings,
                      const union sock_addr *targets, size_t count, probe_batch_target_fn *target,
                      probe_batch_fn *done, void *user, struct probe_batch **ret_batch, struct error *err);

void probe_batch_stats(const struct probe_batch *batch, struct probe_batch_stats *ret_stats);

/* Ends it with what it has: targets being measured are told, those not begun are not; done is called from within. */
void probe_batch_finish(struct probe_batch *batch);

/* Forgets it: nothing more is called. */
void probe_batch_stop(struct probe_batch *batch);

#endif
