/*
 * When faults are on. A fault is a pure function of wall time, so that a history made afterwards and the live run
 * agree: `every` counts its phases from the Unix epoch, `at` from a date, `after` from the start of the run.
 */
#ifndef OCULI_LAB_SCHEDULE_H
#define OCULI_LAB_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum lab_fault_kind { LAB_FAULT_AT, LAB_FAULT_EVERY, LAB_FAULT_AFTER };

struct lab_fault {
    enum lab_fault_kind kind;
    int64_t begin_ns;    /* at: epoch; every: offset in the period; after: from the start */
    int64_t duration_ns; /* INT64_MAX = for ever (at and after only) */
    int64_t period_ns;   /* every */
};

/* What a fault does to a link or node while it is on. */
enum lab_effect_kind {
    LAB_EFFECT_DOWN,
    LAB_EFFECT_LOSS,
    LAB_EFFECT_DELAY,
    LAB_EFFECT_JITTER,
    LAB_EFFECT_DUPLICATE,
    LAB_EFFECT_REORDER,
    LAB_EFFECT_CORRUPT,
    LAB_EFFECT_CROSS,
    LAB_EFFECT_SILENT,
    LAB_EFFECT_RATE,
};

struct lab_effect {
    struct lab_effect *next;
    uint32_t fault;
    enum lab_effect_kind kind;
    uint8_t sides;  /* of a link: 1 from node[0], 2 from node[1], 3 both */
    bool is_added;  /* to what holds otherwise; else it replaces it */
    double share;   /* loss and the like, or a rate */
    int64_t ns;     /* delay, jitter */
    uint64_t bps;   /* of cross traffic */
    uint16_t bytes; /* of its packets */
    bool is_poisson;
};

bool lab_fault_is_on(const struct lab_fault *fault, int64_t wall_ns, int64_t start_wall_ns);

/* The first moment after wall_ns at which it goes on or off; INT64_MAX when never again. */
int64_t lab_fault_next_ns(const struct lab_fault *fault, int64_t wall_ns, int64_t start_wall_ns);

#endif
