#include "agent/timekeeper.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/sealed.h"
#include "base/file.h"
#include "base/str.h"

#define TIMEKEEPER_KEEP_NS (1 * CLOCK_S) /* a correction is not changed for less */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES 40

struct kept {
    char boot[BOOT_ID_BYTES];
    int64_t anchor_ns;
};

/* Counts while the machine sleeps, too. */
static int64_t since_boot_ns(const struct timekeeper *keeper)
{
    struct timespec now;
    if (keeper->machine != &clock_real)
        return clock_mono_ns(keeper->machine);
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * CLOCK_S + now.tv_nsec;
}

static int64_t mono_ns(const struct clock *clock)
{
    return clock_mono_ns(((const struct timekeeper *)(const void *)clock)->machine);
}

/* Whoever reads the time also watches it, so that nobody sees a step before it is doubted. */
static int64_t wall_ns(const struct clock *clock)
{
    struct timekeeper *keeper = (struct timekeeper *)(uintptr_t)clock;
    int64_t boot_ns = since_boot_ns(keeper), machine_ns = clock_wall_ns(keeper->machine);
    int64_t step_ns = machine_ns - boot_ns - keeper->offset_ns;
    bool is_step = step_ns > TIMEKEEPER_WRONG_NS || step_ns < -TIMEKEEPER_WRONG_NS;
    if (is_step && keeper->is_confirmed && !keeper->is_corrected) {
        keeper->is_corrected = keeper->is_doubted = true;
        keeper->anchor_ns = keeper->offset_ns;
    }
    keeper->offset_ns = machine_ns - boot_ns;
    return keeper->is_corrected ? keeper->anchor_ns + boot_ns : machine_ns;
}

static void read_boot(char *boot)
{
    struct buf buf;
    buf_init(&buf, 4096);
    memset(boot, 0, BOOT_ID_BYTES);
    if (file_read(BOOT_ID, &buf, NULL) == 0)
        (void)str_copy(boot, BOOT_ID_BYTES, buf_str(&buf));
    buf_done(&buf);
}

/* A failure does no harm: the server tells the time again. */
static void keep(const struct timekeeper *keeper)
{
    struct kept kept = {.anchor_ns = keeper->anchor_ns};
    if (!*keeper->path)
        return;
    if (!keeper->is_corrected) {
        (void)unlink(keeper->path);
        return;
    }
    read_boot(kept.boot);
    (void)sealed_write(keeper->path, &kept, sizeof kept, 0600, NULL);
}

void timekeeper_init(struct timekeeper *keeper, const char *state_dir, const struct clock *machine)
{
    struct buf buf;
    struct kept kept;
    char boot[BOOT_ID_BYTES];
    *keeper = (struct timekeeper){.clock = {.mono_ns = mono_ns, .wall_ns = wall_ns},
                                  .machine = machine ? machine : &clock_real};
    keeper->offset_ns = clock_wall_ns(keeper->machine) - since_boot_ns(keeper);
    if (!state_dir)
        return;
    (void)snprintf(keeper->path, sizeof keeper->path, "%s/clock", state_dir);
    buf_init(&buf, 4096);
    read_boot(boot);
    if (sealed_read(keeper->path, &buf, NULL) == 0 && buf.size == sizeof kept) {
        memcpy(&kept, buf.data, sizeof kept);
        int64_t ahead_ns = clock_wall_ns(keeper->machine) - (kept.anchor_ns + since_boot_ns(keeper));
        bool is_still_wrong = ahead_ns > TIMEKEEPER_WRONG_NS || ahead_ns < -TIMEKEEPER_WRONG_NS;
        keeper->is_corrected = *boot && memcmp(kept.boot, boot, sizeof boot) == 0 && is_still_wrong;
        keeper->anchor_ns = kept.anchor_ns;
    }
    buf_done(&buf);
}

int64_t timekeeper_hear(struct timekeeper *keeper, int64_t server_ns, bool *ret_is_changed)
{
    int64_t ahead_ns = clock_wall_ns(keeper->machine) - server_ns;
    int64_t anchor_ns = server_ns - since_boot_ns(keeper), change_ns = anchor_ns - keeper->anchor_ns;
    bool is_wrong = ahead_ns > TIMEKEEPER_WRONG_NS || ahead_ns < -TIMEKEEPER_WRONG_NS;
    bool is_moved = change_ns > TIMEKEEPER_KEEP_NS || change_ns < -TIMEKEEPER_KEEP_NS;
    *ret_is_changed = is_wrong != keeper->is_corrected || (is_wrong && is_moved) || keeper->is_doubted;
    keeper->is_confirmed = true;
    keeper->is_doubted = false;
    keeper->offset_ns = clock_wall_ns(keeper->machine) - since_boot_ns(keeper);
    if (*ret_is_changed) {
        keeper->is_corrected = is_wrong;
        keeper->anchor_ns = anchor_ns;
        keep(keeper);
    }
    return ahead_ns;
}
