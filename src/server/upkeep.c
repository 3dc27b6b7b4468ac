#include "server/upkeep.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define SLICE_NS (4 * CLOCK_MS)
#define PAUSE_NS (12 * CLOCK_MS) /* after a slice that left something to do */
#define IDLE_NS (2 * CLOCK_S)
#define FAILED_NS (30 * CLOCK_S)
#define LOOK_NS (60 * CLOCK_S) /* between two looks at the size of the store */
#define TELL_S 86400           /* between two lines of the log that say the same */
#define DAY_S 86400LL
#define JUMP_S 3600           /* a wall clock that is set ahead by more is doubted for a day: what is dropped is gone */

const char *const upkeep_budget_names[] = {"none", "ok", "near", "over", NULL};

struct upkeep {
    struct server *server;
    struct loop_timer timer;
    struct upkeep_state state;
    int64_t looked_ns, told_s;
    int64_t ahead_s, doubted_ns; /* the wall clock before the loop's, as believed; since when it says more, 0 = it does not */
    enum upkeep_budget told;
    uint64_t untold, over_told; /* rounds dropped since the last line of the log; of the budget's at that time */
};

struct store_policy upkeep_policy(const struct config *config)
{
    return (struct store_policy){.results_s = config->retention_days * DAY_S,
                                 .details_s = config->detail_days * DAY_S,
                                 .summaries_s = config->summary_days * DAY_S,
                                 .budget_bytes = (uint64_t)config->store_budget << 20};
}

const char *upkeep_warning(const struct upkeep *upkeep, char *text, size_t size)
{
    const struct upkeep_state *state = &upkeep->state;
    if (state->failure[0]) {
        (void)snprintf(text, size, "the store's upkeep fails: %s", state->failure);
    } else if (state->budget == UPKEEP_BUDGET_NEAR || state->budget == UPKEEP_BUDGET_OVER) {
        (void)snprintf(text, size, "the store takes %llu MiB of its budget of %llu MiB%s",
                       (unsigned long long)(state->stats.bytes >> 20), (unsigned long long)(state->budget_bytes >> 20),
                       state->budget == UPKEEP_BUDGET_OVER ? "; the oldest details and rounds are dropped before their time"
                                                           : "");
    } else {
        return NULL;
    }
    return text;
}

static void judge_budget(struct upkeep *upkeep)
{
    struct upkeep_state *state = &upkeep->state;
    uint64_t budget = state->budget_bytes;
    if (!budget)
        state->budget = UPKEEP_BUDGET_NONE;
    else if (state->stats.bytes > budget)
        state->budget = UPKEEP_BUDGET_OVER;
    else
        state->budget =
            state->stats.bytes / 100 >= budget / 10000 * UPKEEP_WARN_PERCENT ? UPKEEP_BUDGET_NEAR : UPKEEP_BUDGET_OK;
}

static void look(struct upkeep *upkeep)
{
    struct server *server = upkeep->server;
    int64_t now_ns = loop_now_ns(server->loop), now_s = server_now_s(server);
    char text[500];
    if (upkeep->looked_ns && now_ns - upkeep->looked_ns < LOOK_NS)
        return;
    upkeep->looked_ns = now_ns;
    struct store_stats stats;
    if (store_stats(server->store, &stats, NULL))
        return; /* readiness tells */
    upkeep->state.stats = stats;
    judge_budget(upkeep);
    bool is_worth = upkeep->state.budget == UPKEEP_BUDGET_NEAR || upkeep->state.budget == UPKEEP_BUDGET_OVER;
    if (is_worth && (upkeep->told != upkeep->state.budget || now_s - upkeep->told_s >= TELL_S)) {
        log_warning("store", "%s", upkeep_warning(upkeep, text, sizeof text));
        upkeep->told_s = now_s;
    }
    upkeep->told = upkeep->state.budget;
}

static void note_failure(struct upkeep *upkeep, int rc, const struct error *err)
{
    struct upkeep_state *state = &upkeep->state;
    char text[600];
    if (!rc) {
        state->failure[0] = 0;
        return;
    }
    state->failures++;
    (void)error_format(err, text, sizeof text);
    if (strncmp(text, state->failure, sizeof state->failure - 1) != 0) /* the same again is not told again */
        log_error("store", "upkeep: %s", text);
    (void)snprintf(state->failure, sizeof state->failure, "%.399s", text);
}

/* The time by which results are too old. A clock that was set far ahead while we ran makes nothing old at once. */
static int64_t age_now_s(struct upkeep *upkeep)
{
    struct server *server = upkeep->server;
    int64_t now_ns = loop_now_ns(server->loop), ahead_s = server_now_s(server) - now_ns / CLOCK_S;
    if (ahead_s <= upkeep->ahead_s + JUMP_S) {
        upkeep->doubted_ns = 0;
    } else if (!upkeep->doubted_ns) {
        upkeep->doubted_ns = now_ns;
        log_warning("store", "this machine's clock was set ahead by %lld s: nothing is dropped as too old for a day",
                    (long long)(ahead_s - upkeep->ahead_s));
    }
    if (!upkeep->doubted_ns || now_ns - upkeep->doubted_ns > DAY_S * CLOCK_S)
        upkeep->ahead_s = ahead_s;
    return now_ns / CLOCK_S + upkeep->ahead_s;
}

static void on_turn(void *user)
{
    struct upkeep *upkeep = user;
    struct server *server = upkeep->server;
    struct upkeep_state *state = &upkeep->state;
    struct store_policy policy = upkeep_policy(server->config);
    struct store_upkeep done;
    struct error err = {0};
    int64_t start_ns = loop_now_ns(server->loop);
    int rc = store_upkeep(server->store, &policy, age_now_s(upkeep), SLICE_NS, &done, &err);
    uint64_t took_ns = (uint64_t)(loop_now_ns(server->loop) - start_ns);
    state->slices++;
    state->slice_ns += took_ns;
    if (took_ns > state->longest_slice_ns)
        state->longest_slice_ns = took_ns;
    state->folded += done.folded;
    state->dropped += done.dropped;
    state->over_budget += done.over_budget;
    if (!rc && done.is_idle)
        state->idle_s = server_now_s(server);
    note_failure(upkeep, rc, &err);
    upkeep->untold += done.dropped;
    if (upkeep->untold && (rc || done.is_idle)) {
        log_info("store", "dropped %llu rounds%s", (unsigned long long)upkeep->untold,
                 state->over_budget > upkeep->over_told ? "; the store is over its budget" : "");
        upkeep->untold = 0;
        upkeep->over_told = state->over_budget;
    }
    look(upkeep);
    int64_t pause_ns = rc ? FAILED_NS : done.is_idle ? IDLE_NS : PAUSE_NS;
    loop_timer_start(server->loop, &upkeep->timer, loop_now_ns(server->loop) + pause_ns);
}

struct upkeep *upkeep_start(struct server *server)
{
    struct upkeep *upkeep = mem_alloc(sizeof *upkeep);
    *upkeep = (struct upkeep){.server = server};
    upkeep->state.idle_s = server_now_s(server);
    upkeep->ahead_s = upkeep->state.idle_s - loop_now_ns(server->loop) / CLOCK_S;
    upkeep->state.budget_bytes = upkeep_policy(server->config).budget_bytes;
    upkeep->timer = (struct loop_timer){.fn = on_turn, .user = upkeep};
    loop_timer_start(server->loop, &upkeep->timer, loop_now_ns(server->loop));
    return upkeep;
}

void upkeep_stop(struct upkeep *upkeep)
{
    if (!upkeep)
        return;
    loop_timer_stop(upkeep->server->loop, &upkeep->timer);
    mem_free(upkeep);
}

const struct upkeep_state *upkeep_state(const struct upkeep *upkeep)
{
    return &upkeep->state;
}
