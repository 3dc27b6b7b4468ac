/*
 * When each test of the plan runs. A slot is a multiple of the test's interval in epoch seconds, and its number is the
 * round's id. Within the slot each (agent, test) has a phase of its own, stable over time, so that agents and tests
 * spread over the interval; a test with random start times draws a fresh one each round. The last part of a slot is
 * left to the round itself (schedule_reserve_ns).
 *
 * A continuous test fills its slot: each of its rounds begins with the slot, within SCHEDULE_PHASE_NS of its first
 * second, and sends into every second of it, so that second i of a round is the same second for all agents. The phase
 * within the second is the (agent, test)'s own, which spreads the packets; what a round sends in a burst it may delay
 * (burst_delay_ns). Rounds of neighbouring slots may overlap while the older one waits for its last answers. Starting
 * within a slot, a round gets what is left of it when that is SCHEDULE_LEAST_S or more.
 *
 * - A test that is new in the plan, or whose phase has passed (restart, clock step), still uses the current slot when
 *   there is room, within a short spread; when so many are new that they would crowd what is left of the slot, the rest
 *   wait for the next one.
 * - A test that ran before this process and came due while none was there is started late in its slot, as long as a tenth
 *   of the slot is left, so that a restart costs no round; one that is not due yet keeps its phase.
 * - A slot runs once. Two rounds of one test never overlap: the slot that comes due meanwhile is missed. Missed slots
 *   are counted and never caught up.
 * - When the wall clock is stepped, everything not yet started is placed anew. What ran is remembered as a few ranges
 *   of slots, so that a clock set back repeats none of them, and one that was far ahead does not block the present.
 *
 * Only structs and the times given to it: no clock, no timer. Wall times are ns since the epoch.
 */
#ifndef OCULI_AGENT_SCHEDULE_H
#define OCULI_AGENT_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct schedule;

#define SCHEDULE_PHASE_NS 500000000LL /* continuous rounds begin within this part of their first second */
#define SCHEDULE_LEAST_S 10          /* a continuous round that could measure less waits for the next slot */

struct schedule *schedule_new(uint64_t agent_id, uint64_t seed);
void schedule_free(struct schedule *schedule);

struct schedule_test {
    uint64_t test_id;
    int64_t interval_s; /* > 0 */
    bool is_randomized;
    bool is_continuous; /* is_randomized then means nothing */
};

/* Replaces what is to be run. Tests that stay keep their history and the round they are in. */
void schedule_set(struct schedule *schedule, const struct schedule_test *tests, size_t count, int64_t wall_ns,
                  int64_t mono_ns);

/* Tells of a round known to have run before this process; before or after schedule_set. */
void schedule_seen(struct schedule *schedule, uint64_t test_id, int64_t round_id);

struct schedule_due {
    uint64_t test_id;
    int64_t round_id; /* epoch seconds */
    int64_t room_ns;  /* how long the round may take */
    int64_t slot_ns;  /* continuous: the slot's first second on the monotonic clock, which may have passed; else 0 */
    int64_t burst_delay_ns; /* continuous: bursts had better wait this long; else 0 */
};

/* The next round to start now, which is thereby running; false when none is due. To be repeated until false. */
bool schedule_pop(struct schedule *schedule, int64_t wall_ns, int64_t mono_ns, struct schedule_due *ret_due);

/* The round of the test has ended. */
void schedule_done(struct schedule *schedule, uint64_t test_id);

/* ns until schedule_pop has something to do, at most max_ns. */
int64_t schedule_wait_ns(const struct schedule *schedule, int64_t wall_ns, int64_t max_ns);

struct schedule_counts {
    uint64_t started;
    uint64_t missed;     /* slots that passed without a round, overlaps included */
    uint64_t overlapped; /* of these: because the round before was still running */
    uint64_t steps;      /* of the wall clock */
    size_t tests, running;
};
void schedule_counts(const struct schedule *schedule, struct schedule_counts *ret_counts);

/* The part of the interval that is kept free for the round: half of it, at most 30 s. */
int64_t schedule_reserve_ns(int64_t interval_s);

#endif
