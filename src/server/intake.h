/*
 * Intake: what agents upload, on its way into the store.
 *
 * A batch is taken as a whole: every round is checked, the good ones are appended in one transaction, and only when
 * that is durable is there a receipt. Then watchers are told. A round that will never be taken is refused (the agent
 * forgets it), one that is there already is a duplicate; an operating error refuses nothing: the agent keeps the batch
 * and sends it again. Each round with path traces gets its fingerprint from what is known of its paths (known_paths.h),
 * which intake owns and which learns from a batch only when that is durable.
 */
#ifndef OCULI_SERVER_INTAKE_H
#define OCULI_SERVER_INTAKE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/latest.h"
#include "server/plan.h"
#include "server/stream.h"
#include "store/store.h"
#include "wire/message.h"

#define INTAKE_OLDEST_S (30 * 86400) /* older rounds are refused */
#define INTAKE_AHEAD_S 60            /* how far a clock may be ahead of ours, at least; one interval if that is more */

enum intake_refusal {
    INTAKE_NO_TEST,    /* the test is gone, or is another account group's */
    INTAKE_NOT_YOURS,  /* the agent was not among the test's agents, and no run asked it */
    INTAKE_NO_VERSION, /* settings of that version never were */
    INTAKE_TOO_OLD,
    INTAKE_IN_FUTURE,
    INTAKE_MALFORMED, /* fields out of bounds, or a part that does not read as its table */
    INTAKE_REFUSALS
};
extern const char *const intake_refusal_names[INTAKE_REFUSALS]; /* "no-test"..., for metrics */

struct intake_counts {
    uint64_t batches, accepted, duplicates;
    uint64_t refused[INTAKE_REFUSALS];
};

struct about;
struct intake;

/* Everything given stays the caller's and outlives the intake. Fills latest with the state of every test. */
int intake_open(struct store *store, struct plan *plan, struct latest *latest, struct stream *stream,
                const struct clock *clock, struct intake **ret_intake, struct error *err);
void intake_close(struct intake *intake);

/* Names of the addresses that come in are asked for at once; NULL = nobody asks. */
void intake_set_about(struct intake *intake, struct about *about);

/*
 * Takes a batch of the agent (agent_id, aid) that has shown who it is. -E_INVALID: the batch names another agent.
 * -E_LIMIT: more than LIMIT_BATCH_ROUNDS. -E_FULL, -E_IO: nothing of it was kept. The arena holds it meanwhile.
 */
int intake_take(struct intake *intake, uint64_t agent_id, uint64_t aid, const struct message_batch *batch,
                struct arena *arena, struct message_receipt *ret_receipt, struct error *err);

/*
 * The same in steps, for who takes many batches and must not be held up (gather.h): in a transaction of the caller's,
 * begin and step batches; after its commit intake_keep, then intake_tell of every batch stepped in it; after a rollback
 * intake_drop. One batch may be stepped in several transactions. The work lives in the arena, batch in the caller.
 */
struct intake_work;
int intake_begin(struct intake *intake, uint64_t agent_id, uint64_t aid, const struct message_batch *batch,
                 struct arena *arena, struct intake_work **ret_work, struct error *err);
/* Takes rounds until it is until_ns (monotonic), at least a few. -E_LIMIT: this batch is too much; other errors are the
 * store's. */
int intake_step(struct intake_work *work, int64_t until_ns, bool *ret_is_over, struct error *err);
void intake_keep(struct intake *intake);
void intake_tell(struct intake_work *work);
void intake_drop(struct intake *intake);
void intake_end(const struct intake_work *work, struct message_receipt *ret_receipt); /* counts it as committed */

/* The test is gone: so is what is known of its paths. */
void intake_forget_test(struct intake *intake, uint64_t test_id);

const struct intake_counts *intake_counts(const struct intake *intake);

#endif
