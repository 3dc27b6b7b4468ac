#include "lab/schedule.h"

#include <assert.h>

/* Phase of t in [0, period), also for times before the epoch. */
static int64_t phase_of(int64_t t, int64_t period)
{
    int64_t phase = t % period;
    return phase < 0 ? phase + period : phase;
}

static int64_t begin_of(const struct lab_fault *fault, int64_t start_wall_ns)
{
    return fault->kind == LAB_FAULT_AFTER ? start_wall_ns + fault->begin_ns : fault->begin_ns;
}

bool lab_fault_is_on(const struct lab_fault *fault, int64_t wall_ns, int64_t start_wall_ns)
{
    if (fault->kind == LAB_FAULT_EVERY) {
        assert(fault->period_ns > 0 && fault->duration_ns <= fault->period_ns);
        return phase_of(wall_ns - fault->begin_ns, fault->period_ns) < fault->duration_ns;
    }
    int64_t begin = begin_of(fault, start_wall_ns);
    return wall_ns >= begin && (fault->duration_ns == INT64_MAX || wall_ns - begin < fault->duration_ns);
}

int64_t lab_fault_next_ns(const struct lab_fault *fault, int64_t wall_ns, int64_t start_wall_ns)
{
    if (fault->kind == LAB_FAULT_EVERY) {
        if (fault->duration_ns == fault->period_ns)
            return INT64_MAX;
        int64_t phase = phase_of(wall_ns - fault->begin_ns, fault->period_ns);
        int64_t until = phase < fault->duration_ns ? fault->duration_ns : fault->period_ns;
        return wall_ns - phase + until;
    }
    int64_t begin = begin_of(fault, start_wall_ns);
    if (wall_ns < begin)
        return begin;
    if (fault->duration_ns == INT64_MAX || wall_ns - begin >= fault->duration_ns)
        return INT64_MAX;
    return begin + fault->duration_ns;
}
