#include "probe/stamp.h"

#include "base/clock.h"

#define STEP_NS (20 * CLOCK_US)     /* differences below are noise of the reading */
#define MEMORY_NS (10 * CLOCK_S)    /* how long after a step older stamps may still come */

void stamp_clock_read(struct stamp_clock *clock, int64_t mono_ns, int64_t wall_ns, int64_t slack_ns)
{
    int64_t offset = wall_ns - mono_ns;
    int64_t change = offset - clock->offset_ns;
    if (!clock->is_set) {
        clock->offset_ns = offset;
        clock->is_set = true;
    } else if (change > STEP_NS + slack_ns || change < -STEP_NS - slack_ns) {
        clock->old_offset_ns = clock->offset_ns;
        clock->offset_ns = offset;
        clock->before_ns = clock->read_ns;
        clock->noticed_ns = mono_ns;
        clock->has_stepped = true;
    }
    if (clock->has_stepped && mono_ns - clock->noticed_ns > MEMORY_NS)
        clock->has_stepped = false;
    clock->read_ns = mono_ns;
}

int64_t stamp_to_mono(const struct stamp_clock *clock, int64_t stamp_ns)
{
    int64_t mono = stamp_ns - clock->offset_ns;
    if (!clock->has_stepped)
        return mono;
    bool fits = mono >= clock->before_ns - STEP_NS && mono <= clock->read_ns + STEP_NS;
    int64_t old = stamp_ns - clock->old_offset_ns;
    bool fits_old = old <= clock->noticed_ns + STEP_NS && old >= clock->noticed_ns - MEMORY_NS;
    return !fits && fits_old ? old : mono;
}
