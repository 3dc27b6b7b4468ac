#include "server/latest.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define TOO_OLD_INTERVALS 3 /* a round is reported when it is over, so the newest is one to two intervals old */

struct tally { /* one round of a test, over its agents */
    int64_t round_id;
    double sum;
    uint32_t values; /* agents that gave one */
    bool has_errors; /* an agent could not measure */
};

struct newest { /* one agent's newest round */
    uint64_t agent_id;
    int64_t round_id;
    bool has_error;
    double metrics[LATEST_METRICS]; /* NaN = absent */
};

struct latest_test {
    struct tally rounds[LATEST_ROUNDS]; /* ascending */
    size_t round_count;
    struct newest *agents; /* ascending by agent */
    size_t agent_count, agent_room;
};

struct latest {
    struct map tests;
};

struct latest *latest_new(void)
{
    return mem_alloc(sizeof(struct latest));
}

static void test_free(struct latest_test *test)
{
    if (test)
        mem_free(test->agents);
    mem_free(test);
}

void latest_free(struct latest *latest)
{
    if (!latest)
        return;
    size_t position = 0;
    struct latest_test *test;
    while ((test = map_next(&latest->tests, &position)))
        test_free(test);
    map_done(&latest->tests);
    mem_free(latest);
}

void latest_forget_test(struct latest *latest, uint64_t test_id)
{
    test_free(map_remove(&latest->tests, test_id));
}

/* The tally of a round, made when it is among the newest; NULL when it is older than all that are kept. */
static struct tally *tally_of(struct latest_test *test, int64_t round_id)
{
    size_t at = test->round_count;
    while (at > 0 && test->rounds[at - 1].round_id > round_id)
        at--;
    if (at > 0 && test->rounds[at - 1].round_id == round_id)
        return &test->rounds[at - 1];
    if (test->round_count == LATEST_ROUNDS) {
        if (!at)
            return NULL;
        memmove(test->rounds, test->rounds + 1, (--at) * sizeof *test->rounds);
    } else {
        memmove(test->rounds + at + 1, test->rounds + at, (test->round_count - at) * sizeof *test->rounds);
        test->round_count++;
    }
    test->rounds[at] = (struct tally){.round_id = round_id};
    return &test->rounds[at];
}

static struct newest *newest_of(struct latest_test *test, uint64_t agent_id)
{
    size_t low = 0, high = test->agent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (test->agents[middle].agent_id < agent_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < test->agent_count && test->agents[low].agent_id == agent_id)
        return &test->agents[low];
    if (test->agent_count == test->agent_room) {
        size_t room = test->agent_room ? test->agent_room * 2 : 4;
        test->agents = mem_resize(test->agents, test->agent_room * sizeof *test->agents, room * sizeof *test->agents);
        test->agent_room = room;
    }
    memmove(test->agents + low + 1, test->agents + low, (test->agent_count - low) * sizeof *test->agents);
    test->agent_count++;
    test->agents[low] = (struct newest){.agent_id = agent_id, .round_id = INT64_MIN};
    return &test->agents[low];
}

void latest_add(struct latest *latest, const struct measure_type *type, const struct store_round *round)
{
    assert(type->metric_count <= LATEST_METRICS);
    struct latest_test *test = map_get(&latest->tests, round->test_id);
    if (!test) {
        test = mem_alloc(sizeof *test);
        map_put(&latest->tests, round->test_id, test);
    }
    bool has_error = !isnan(results_metric(round, RESULTS_METRIC_ERROR));
    struct tally *tally = tally_of(test, round->round_id);
    if (tally) {
        double first = results_metric(round, 0);
        tally->sum += isnan(first) ? 0 : first;
        tally->values += isnan(first) ? 0u : 1u;
        tally->has_errors |= has_error;
    }
    struct newest *newest = newest_of(test, round->agent_id);
    if (newest->round_id > round->round_id)
        return;
    newest->round_id = round->round_id;
    newest->has_error = has_error;
    for (unsigned i = 0; i < LATEST_METRICS; i++)
        newest->metrics[i] = results_metric(round, i);
}

struct warming {
    struct latest *latest;
    const struct measure_type *type;
};

static bool warm_one(void *user, const struct store_round *round)
{
    struct warming *warming = user;
    latest_add(warming->latest, warming->type, round);
    return true;
}

static bool note_round(void *user, const struct store_round *round)
{
    *(int64_t *)user = round->round_id;
    return false;
}

int latest_warm_up(struct latest *latest, struct store *store, uint64_t test_id, const struct measure_type *type,
                   int32_t interval_s, int64_t now_s, struct error *err)
{
    int64_t newest = 0;
    struct store_query query = {
        .test_id = test_id, .until_s = now_s + 86400, .after_round = -1, .is_descending = true, .max = 1};
    int rc = store_rounds(store, &query, note_round, &newest, err);
    if (rc || !newest)
        return rc;
    struct warming warming = {.latest = latest, .type = type};
    query = (struct store_query){.test_id = test_id,
                                 .from_s = newest - (int64_t)LATEST_ROUNDS * (interval_s ? interval_s : 60),
                                 .until_s = newest + 1,
                                 .after_round = -1,
                                 .want = STORE_WANT_METRICS};
    return store_rounds(store, &query, warm_one, &warming, err);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static char tally_digit(const struct measure_type *type, const struct tally *tally)
{
    if (tally->values)
        return results_digit(&type->metrics[0], tally->sum / tally->values);
    return tally->has_errors ? '9' : '-';
}

/* The last 48 slots of the interval up to now; the slots of which nothing can have come yet are left out. */
static void draw(const struct latest_test *test, const struct measure_type *type, int32_t interval_s, int64_t now_s,
                 char *sparkline)
{
    size_t last = test->round_count;
    if (!interval_s) {
        for (size_t i = 0; i < last; i++)
            sparkline[LATEST_ROUNDS - last + i] = tally_digit(type, &test->rounds[i]);
        return;
    }
    int64_t slot = (now_s / interval_s - (TOO_OLD_INTERVALS - 1)) * interval_s;
    if (test->rounds[last - 1].round_id > slot)
        slot = test->rounds[last - 1].round_id;
    for (size_t i = LATEST_ROUNDS; i-- > 0 && last; slot -= interval_s) {
        while (last && test->rounds[last - 1].round_id > slot)
            last--;
        if (last && test->rounds[last - 1].round_id > slot - interval_s)
            sparkline[i] = tally_digit(type, &test->rounds[last - 1]);
    }
}

/* Means of each metric over the agents that reported lately; the worst state of them. */
static void judge(const struct latest_test *test, const struct measure_type *type, int32_t interval_s,
                  struct latest_summary *summary)
{
    size_t errors = 0;
    for (size_t m = 0; m < type->metric_count; m++) {
        double sum = 0;
        size_t values = 0;
        for (size_t i = 0; i < test->agent_count; i++) {
            const struct newest *agent = &test->agents[i];
            if (agent->round_id < summary->last_round - interval_s)
                continue;
            if (m == 0) {
                summary->agents++;
                errors += agent->has_error;
            }
            if (!isnan(agent->metrics[m])) {
                sum += agent->metrics[m];
                values++;
            }
        }
        double mean = values ? sum / (double)values : (double)NAN;
        if (m == 0)
            summary->value = mean;
        enum results_state state = results_state_of(&type->metrics[m], mean);
        if (state != RESULTS_NO_DATA && (summary->state == RESULTS_NO_DATA || state > summary->state))
            summary->state = state;
    }
    if (summary->agents && errors == summary->agents)
        summary->state = RESULTS_CRITICAL;
    else if (errors && summary->state < RESULTS_MAJOR)
        summary->state = RESULTS_MAJOR;
}

void latest_read(const struct latest *latest, uint64_t test_id, const struct measure_type *type, int32_t interval_s,
                 int64_t now_s, struct latest_summary *ret_summary)
{
    struct latest_summary summary = {.state = RESULTS_NO_DATA, .value = (double)NAN};
    memset(summary.sparkline, '-', LATEST_ROUNDS);
    const struct latest_test *test = map_get(&latest->tests, test_id);
    if (test && test->round_count) {
        summary.last_round = test->rounds[test->round_count - 1].round_id;
        if (!interval_s || summary.last_round > now_s - (int64_t)TOO_OLD_INTERVALS * interval_s)
            judge(test, type, interval_s, &summary);
        draw(test, type, interval_s, now_s, summary.sparkline);
    }
    *ret_summary = summary;
}

int64_t latest_round(const struct latest *latest, uint64_t test_id)
{
    const struct latest_test *test = map_get(&latest->tests, test_id);
    return test && test->round_count ? test->rounds[test->round_count - 1].round_id : 0;
}
