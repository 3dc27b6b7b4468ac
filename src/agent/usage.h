/*
 * How much of its queues an agent uses. Rounds of a test belong to a queue, and a queue has so many slots: rounds that
 * may run in it at once. The use of a queue is the share of its slots' time that rounds have taken, of five minutes; an
 * agent is judged by the busiest five minutes of a day. It has nothing to do with processor and memory: rounds mostly
 * wait.
 *
 * Only numbers: monotonic times are given.
 */
#ifndef OCULI_AGENT_USAGE_H
#define OCULI_AGENT_USAGE_H

#include <stdint.h>

#include "base/limit.h"
#include "measure/type.h"

#define USAGE_PERIOD_S 300
#define USAGE_PERIODS 288 /* a day of them */

/* Slots of each queue, by enum measure_queue. Browsers and trains of packets disturb each other, so they are few. */
#define USAGE_SLOTS {LIMIT_PLAN_TESTS, 4, 10, 10}
extern const char *const usage_queue_names[MEASURE_QUEUES]; /* as in message_queue */

struct usage {
    struct usage_queue {
        uint32_t running;
        double busy_s;    /* slot seconds in the present period */
        double now;       /* percent, of the last whole period; of the present one until there is a whole one */
        float periods[USAGE_PERIODS];
    } queues[MEASURE_QUEUES];
    int64_t looked_ns, began_ns; /* of the present period */
    uint64_t period;             /* counts whole ones */
};

void usage_init(struct usage *usage, int64_t mono_ns);
void usage_start(struct usage *usage, enum measure_queue queue, int64_t mono_ns);
void usage_stop(struct usage *usage, enum measure_queue queue, int64_t mono_ns);
void usage_read(struct usage *usage, enum measure_queue queue, int64_t mono_ns, double *ret_now, double *ret_most);

#endif
