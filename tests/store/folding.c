/* Folding changes no answer: of every backend, whatever it does behind its callers' backs. */
#include "conform.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "wire/cbor.h"

#define ALL .until_s = INT64_MAX, .after_round = -1
#define TESTS 3
#define AGENTS 4
#define START 1790000000

/* What an agent might send: records of numbers and texts, now and then a part that nobody knows, or no CBOR at all. */
static void make_body(struct rng *rng, struct buf *buf)
{
    buf_reset(buf);
    if (rng_below(rng, 20) == 0) {
        for (size_t i = rng_below(rng, 300); i > 0; i--)
            buf_putc(buf, (char)rng_below(rng, 256));
        return;
    }
    size_t list = rng_below(rng, 5), traces = rng_below(rng, 4);
    cbor_put_map(buf, 4);
    cbor_put_text(buf, "loss", 4);
    cbor_put_f64(buf, (double)rng_below(rng, 3) * 2);
    cbor_put_text(buf, "ip", 2);
    cbor_put_text(buf, rng_below(rng, 30) ? "192.0.2.1" : "192.0.2.77", rng_below(rng, 50) ? 9 : 8);
    cbor_put_text(buf, "rtts", 4);
    cbor_put_array(buf, list);
    for (size_t i = 0; i < list; i++)
        cbor_put_i64(buf, 20000 + (int64_t)rng_below(rng, 900));
    cbor_put_text(buf, "traces", 6);
    cbor_put_array(buf, traces);
    for (size_t i = 0; i < traces; i++) {
        cbor_put_map(buf, 2);
        cbor_put_text(buf, "hop", 3);
        cbor_put_i64(buf, (int64_t)i + 1);
        cbor_put_text(buf, "us", 2);
        cbor_put_f64(buf, (double)rng_below(rng, 90000) / 1000);
    }
}

static bool append_random(struct fixture *f, struct rng *rng, uint64_t test, uint64_t agent, int64_t round_id)
{
    struct buf body, detail;
    struct store_metric metrics[5];
    size_t fresh = 0;
    struct error err = {0};
    buf_init(&body, 1 << 20);
    buf_init(&detail, 1 << 20);
    make_body(rng, &body);
    if (rng_below(rng, 4))
        make_body(rng, &detail);
    struct store_round round = {.test_id = test,
                                .agent_id = agent,
                                .round_id = round_id,
                                .start_s = round_id + (int64_t)rng_below(rng, 3),
                                .end_s = round_id + 7,
                                .test_version = 1 + (int64_t)rng_below(rng, 2),
                                .fingerprint = rng_below(rng, 9) ? 5 : rng_u64(rng),
                                .metrics = metrics,
                                .metric_count = rng_below(rng, 6),
                                .body = body.data,
                                .body_size = body.size,
                                .detail = detail.data,
                                .detail_size = detail.size};
    for (size_t i = 0; i < round.metric_count; i++)
        metrics[i] = (struct store_metric){.id = (uint16_t)i, .value = (double)rng_below(rng, 1u << 24) / 1e6};
    if (store_append(f->store, &round, 1, &fresh, NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
    buf_done(&body);
    buf_done(&detail);
    return fresh == 1;
}

struct digest {
    uint64_t hash;
    size_t count;
};

static bool add_to_digest(void *user, const struct store_round *round)
{
    struct digest *digest = user;
    const int64_t numbers[] = {(int64_t)round->test_id, (int64_t)round->agent_id, round->round_id, round->start_s,
                               round->end_s, round->test_version, (int64_t)round->fingerprint,
                               (int64_t)round->metric_count, (int64_t)round->body_size, (int64_t)round->detail_size};
    digest->hash = str_hash(numbers, sizeof numbers, digest->hash);
    for (size_t i = 0; i < round->metric_count; i++) {
        digest->hash = str_hash(&round->metrics[i].id, sizeof round->metrics[i].id, digest->hash);
        digest->hash = str_hash(&round->metrics[i].value, sizeof(double), digest->hash);
    }
    if (round->body_size)
        digest->hash = str_hash(round->body, round->body_size, digest->hash);
    if (round->detail_size)
        digest->hash = str_hash(round->detail, round->detail_size, digest->hash);
    digest->count++;
    return true;
}

/* Everything a caller can see, asked in many ways, in one number. */
static struct digest digest_of(struct fixture *f)
{
    struct digest digest = {0};
    struct error err = {0};
    for (uint64_t test = 1; test <= TESTS; test++) {
        for (unsigned way = 0; way < 12; way++) {
            struct store_query query = {.test_id = test,
                                        ALL,
                                        .agent_id = way % 3 == 1 ? 2 : 0,
                                        .is_descending = way % 2,
                                        .max = way == 7 ? 5 : 0,
                                        .want = way < 8 ? 7u : way - 8};
            if (way > 3) {
                query.from_s = START + 1800;
                query.until_s = START + 9000;
            }
            if (way == 5 || way == 6) {
                query.after_round = START + 3660;
                query.after_agent = 2;
            }
            if (store_rounds(f->store, &query, add_to_digest, &digest, &err))
                fail_msg("%s: %s", err.where, err.text);
        }
        int64_t *ids;
        size_t count;
        assert_int_equal(store_round_ids(f->store, test, START, START + 7200, &f->arena, &ids, &count, NULL), 0);
        digest.hash = str_hash(ids, count * sizeof *ids, digest.hash);
    }
    arena_reset(&f->arena);
    return digest;
}

static void assert_same(struct digest a, struct digest b)
{
    assert_int_equal(a.count, b.count);
    assert_true(a.hash == b.hash);
}

static void answers_are_the_same_when_hours_are_folded(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, 21);
    for (int64_t slot = 0; slot < 240; slot++) {
        for (uint64_t test = 1; test <= TESTS; test++) {
            for (uint64_t agent = 1; agent <= AGENTS; agent++) {
                if (rng_below(&rng, 10))
                    assert_true(append_random(f, &rng, test, agent, START + slot * 60));
            }
        }
    }
    struct digest before = digest_of(f);
    struct store_stats stats, again;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    (void)conform_upkeep(f, NULL, START + 7200); /* some hours, not all */
    assert_same(digest_of(f), before);
    (void)conform_upkeep(f, NULL, START + 86400);
    assert_same(digest_of(f), before);
    assert_int_equal(store_stats(f->store, &again, NULL), 0);
    assert_int_equal(stats.rounds, again.rounds);
    if (!conform_is_lasting())
        return;
    assert_int_equal(again.head_rounds, 0);
    conform_reopen(f);
    assert_same(digest_of(f), before);
}

/* Rounds that come late find their place, and what is folded is not taken twice. */
static void late_rounds_are_folded_too(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (unsigned pass = 0; pass < 4; pass++) {
        for (int64_t slot = pass; slot < 150; slot += 4) {
            for (uint64_t agent = 1; agent <= AGENTS; agent++)
                assert_true(append_random(f, &rng, 1, agent, START + slot * 60));
        }
        struct digest before = digest_of(f);
        (void)conform_upkeep(f, NULL, START + 86400 + pass * 100);
        assert_same(digest_of(f), before);
        for (int64_t slot = pass; slot < 150; slot += 4)
            assert_false(append_random(f, &rng, 1, 1, START + slot * 60));
        assert_same(digest_of(f), before);
        if (pass == 1 && conform_is_lasting())
            conform_reopen(f);
    }
    struct store_stats stats;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 150 * AGENTS);
}

static bool has_no_detail(void *user, const struct store_round *round)
{
    *(size_t *)user += 1;
    assert_true(round->body_size > 0);
    assert_int_equal(round->detail_size, 0);
    return true;
}

static void details_go_before_the_rest(void **state)
{
    struct fixture *f = *state;
    struct store_round round = {.test_id = 1, .agent_id = 1, .body = "body", .body_size = 4, .detail = "detail", .detail_size = 6};
    for (round.round_id = START; round.round_id < START + 7200; round.round_id += 60)
        assert_int_equal(store_append(f->store, &round, 1, NULL, NULL, NULL), 0);
    struct store_policy policy = {.results_s = 90 * 86400, .details_s = 30 * 86400};
    (void)conform_upkeep(f, &policy, START + 29 * 86400);
    struct digest digest = {0};
    struct store_query query = {.test_id = 1, ALL, .want = STORE_WANT_BODY | STORE_WANT_DETAIL};
    assert_int_equal(store_rounds(f->store, &query, add_to_digest, &digest, NULL), 0);
    assert_int_equal(digest.count, 120);
    (void)conform_upkeep(f, &policy, START + 32 * 86400);
    size_t count = 0;
    assert_int_equal(store_rounds(f->store, &query, has_no_detail, &count, NULL), 0);
    assert_int_equal(count, 120);
}

static size_t count_of(struct fixture *f, int64_t from_s, int64_t until_s)
{
    struct digest digest = {0};
    struct store_query query = {.test_id = 1, .from_s = from_s, .until_s = until_s, .after_round = -1, .want = 7};
    assert_int_equal(store_rounds(f->store, &query, add_to_digest, &digest, NULL), 0);
    return digest.count;
}

/* Six days that do not compress; what is beyond the budget goes from the oldest end, details first. */
static void a_budget_takes_the_oldest(void **state)
{
    struct fixture *f = *state;
    static unsigned char noise[60000];
    struct rng rng;
    int64_t first_s = START - START % 86400, now_s = first_s + 6 * 86400 - 1;
    if (!conform_is_lasting())
        return;
    rng_seed(&rng, 9);
    for (int64_t slot = 0; slot < 6 * 24; slot++) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (unsigned char)rng_below(&rng, 256);
        struct store_round round = {.test_id = 1,
                                    .agent_id = 1,
                                    .round_id = first_s + slot * 3600,
                                    .body = noise,
                                    .body_size = 30000,
                                    .detail = noise + 30000,
                                    .detail_size = 30000};
        assert_int_equal(store_append(f->store, &round, 1, NULL, NULL, NULL), 0);
    }
    (void)conform_upkeep(f, NULL, now_s);
    conform_reopen(f);
    struct store_stats stats;
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    struct stat st;
    char path[200];
    (void)snprintf(path, sizeof path, "%s-parts/results-20260921.db", f->url + strlen("sqlite:"));
    assert_int_equal(stat(path, &st), 0);
    uint64_t day = (uint64_t)st.st_size; /* of rounds, and of details */
    struct store_policy policy = {.budget_bytes = stats.bytes - day / 2};
    struct store_upkeep done = conform_upkeep(f, &policy, now_s);
    assert_int_equal(done.over_budget, 0); /* details were enough */
    assert_int_equal(count_of(f, first_s, now_s), 6 * 24);
    policy.budget_bytes = stats.bytes - 9 * day / 2;
    done = conform_upkeep(f, &policy, now_s);
    assert_int_equal(done.over_budget, 24);
    assert_int_equal(count_of(f, first_s, first_s + 86400), 0);
    assert_int_equal(count_of(f, first_s + 86400, now_s + 1), 5 * 24);
    policy.budget_bytes = 1; /* never the last two days */
    done = conform_upkeep(f, &policy, now_s);
    assert_int_equal(done.dropped, 3 * 24);
    assert_int_equal(count_of(f, 0, INT64_MAX), 2 * 24);
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, 2 * 24);
}

/* A child appends and folds until it is killed, over and over at any instant; what it acknowledged is always there, once,
 * and as it was sent. The rounds of a batch are made from its number. */
#define KILLS 20
#define KILL_BATCH 20
#define KILL_PACE 240 /* seconds of round time between two batches */

static int append_numbered(struct store *store, int64_t number, struct error *err)
{
    struct store_round rounds[KILL_BATCH];
    static struct buf bodies[KILL_BATCH], details[KILL_BATCH];
    struct store_metric metrics[2] = {{0, (double)number}, {1, 0.5}};
    for (uint32_t i = 0; i < KILL_BATCH; i++) {
        struct rng rng;
        rng_seed(&rng, (uint64_t)number * KILL_BATCH + i);
        buf_init(&bodies[i], 1 << 20);
        buf_init(&details[i], 1 << 20);
        make_body(&rng, &bodies[i]);
        make_body(&rng, &details[i]);
        rounds[i] = (struct store_round){.test_id = 1 + i % 3,
                                         .agent_id = 1 + i,
                                         .round_id = START + number * KILL_PACE,
                                         .metrics = metrics,
                                         .metric_count = 2,
                                         .body = bodies[i].data,
                                         .body_size = bodies[i].size,
                                         .detail = details[i].data,
                                         .detail_size = details[i].size};
    }
    int rc = store_append(store, rounds, KILL_BATCH, NULL, NULL, err);
    for (size_t i = 0; i < KILL_BATCH; i++) {
        buf_done(&bodies[i]);
        buf_done(&details[i]);
    }
    return rc;
}

/* Tells each batch through the pipe when it is durable; folds what is two hours old a slice at a time. */
static void append_and_fold(const char *url, int64_t number, int fd)
{
    static const struct store_policy for_ever;
    struct store *store;
    struct store_upkeep done;
    if (store_open(url, &store, NULL))
        _exit(3);
    for (;; number++) {
        if (append_numbered(store, number, NULL) || write(fd, &number, sizeof number) != sizeof number)
            _exit(4);
        for (int i = 0; i < 2; i++) {
            if (store_upkeep(store, &for_ever, START + number * KILL_PACE, 1, &done, NULL))
                _exit(5);
        }
    }
}

struct replay {
    size_t count;
    int64_t last;
};

static bool check_numbered(void *user, const struct store_round *round)
{
    struct replay *replay = user;
    struct buf body;
    struct rng rng;
    int64_t number = (round->round_id - START) / KILL_PACE;
    buf_init(&body, 1 << 20);
    rng_seed(&rng, (uint64_t)number * KILL_BATCH + round->agent_id - 1);
    make_body(&rng, &body);
    assert_int_equal(round->body_size, body.size);
    assert_memory_equal(round->body, body.data, body.size);
    make_body(&rng, &body);
    assert_int_equal(round->detail_size, body.size);
    assert_memory_equal(round->detail, body.data, body.size);
    assert_true(round->metric_count == 2 && round->metrics[0].value == (double)number);
    buf_done(&body);
    replay->count++;
    replay->last = number > replay->last ? number : replay->last;
    return true;
}

/* Every round of the batches up to the last, once. */
static int64_t check_all_numbered(struct fixture *f)
{
    struct replay replay = {.last = -1};
    struct store_stats stats;
    for (uint64_t test = 1; test <= 3; test++) {
        struct store_query query = {.test_id = test, ALL, .want = 7};
        struct error err = {0};
        if (store_rounds(f->store, &query, check_numbered, &replay, &err))
            fail_msg("%s: %s", err.where, err.text);
    }
    assert_int_equal(replay.count, (size_t)(replay.last + 1) * KILL_BATCH);
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.rounds, replay.count);
    assert_true(stats.head_rounds <= stats.rounds);
    return replay.last;
}

static void kill_9_at_any_instant_loses_and_doubles_nothing(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    int64_t next = 0;
    if (!conform_is_lasting())
        return;
    const char *asked = getenv("OCULI_KILLS");
    int kills = asked ? atoi(asked) : KILLS;
    rng_seed(&rng, 1);
    for (int kill_number = 0; kill_number < kills; kill_number++) {
        int pipes[2], status;
        int64_t told = next - 1, number;
        store_close(f->store);
        f->store = NULL;
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid)
            append_and_fold(f->url, next, pipes[1]);
        (void)close(pipes[1]);
        for (size_t wait = 1 + rng_below(&rng, 25); wait > 0 && read(pipes[0], &number, sizeof number) == sizeof number; wait--)
            told = number;
        for (volatile uint64_t i = rng_below(&rng, 3000000); i > 0; i--) /* some way into the next */
            ;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &number, sizeof number) == sizeof number)
            told = number;
        (void)close(pipes[0]);
        conform_reopen(f);
        next = check_all_numbered(f) + 1;
        assert_true(next - 1 >= told && next - 1 <= told + 1);
    }
    struct store_stats stats;
    (void)conform_upkeep(f, NULL, START + 1000 * 86400);
    (void)check_all_numbered(f);
    assert_int_equal(store_stats(f->store, &stats, NULL), 0);
    assert_int_equal(stats.head_rounds, 0);
}

/* --- summaries ---------------------------------------------------------------------------------------------------- */

#define SUM_HOURS 30

struct summed { /* of an hour (or day) and agent, from its rounds */
    uint64_t rounds, count;
    double sum, min, max;
    size_t told;
};

struct summing {
    struct summed hours[SUM_HOURS + 24][AGENTS + 1]; /* agent 0: all */
    bool is_daily;
    size_t days;
};

static void sum_value(struct summed *s, const struct store_round *round)
{
    s->rounds++;
    for (size_t i = 0; i < round->metric_count; i++) {
        double value = round->metrics[i].value;
        if (round->metrics[i].id != 1)
            continue;
        s->min = s->count && s->min < value ? s->min : value;
        s->max = s->count && s->max > value ? s->max : value;
        s->sum += value;
        s->count++;
    }
}

static bool sum_round(void *user, const struct store_round *round)
{
    struct summing *summing = user;
    int64_t hour = round->round_id / 3600 - START / 3600;
    sum_value(&summing->hours[hour][0], round);
    sum_value(&summing->hours[hour][round->agent_id], round);
    return true;
}

static bool compare_summary(void *user, const struct store_summary *summary)
{
    struct summing *summing = user;
    struct summed want = {.rounds = 0};
    int64_t hour = summary->from_s / 3600 - START / 3600;
    for (int64_t h = hour; h < hour + summary->width_s / 3600; h++) {
        struct summed *s = &summing->hours[h][summary->agent_id];
        if (s->count) {
            want.min = want.count && want.min < s->min ? want.min : s->min;
            want.max = want.count && want.max > s->max ? want.max : s->max;
        }
        want.rounds += s->rounds;
        want.count += s->count;
        want.sum += s->sum;
        s->told++;
    }
    summing->days += summary->width_s == 86400;
    assert_true(summing->is_daily || summary->width_s == 3600);
    assert_true(summary->rounds == want.rounds);
    assert_true(summary->sums.count == want.count);
    if (!want.count)
        return true;
    assert_true(summary->sums.min == want.min && summary->sums.max == want.max);
    assert_true(fabs(summary->sums.sum - want.sum) <= 1e-9 * fabs(want.sum));
    uint64_t counted = 0;
    for (size_t i = 0; i < summary->sums.bucket_count; i++)
        counted += summary->sums.buckets[i].count;
    assert_true(counted == want.count);
    double middle = store_percentile(&summary->sums, 0.5);
    assert_true(middle >= want.min && middle <= want.max);
    assert_true(store_percentile(&summary->sums, 1) >= want.max * 0.99);
    return true;
}

static struct summing *expect_summaries(struct fixture *f)
{
    struct summing *summing = mem_alloc(sizeof *summing);
    struct store_query query = {.test_id = 1, ALL, .want = STORE_WANT_METRICS};
    assert_int_equal(store_rounds(f->store, &query, sum_round, summing, NULL), 0);
    return summing;
}

static void check_summaries(struct fixture *f, int64_t first_hour, int64_t end_hour)
{
    static const uint64_t some[] = {2, 3, 77};
    for (int way = 0; way < 3; way++) {
        struct summing *summing = expect_summaries(f);
        struct store_summary_query query = {.test_id = 1,
                                            .from_s = (START / 3600 + first_hour) * 3600,
                                            .until_s = (START / 3600 + end_hour) * 3600,
                                            .metric = 1,
                                            .agents = some,
                                            .agent_count = way == 1 ? 3 : 0,
                                            .is_daily = way == 2};
        struct error err = {0};
        struct store_summary_fns fns = {.summary = compare_summary};
        summing->is_daily = way == 2;
        if (store_summaries(f->store, &query, &fns, summing, &err))
            fail_msg("%s: %s", err.where, err.text);
        for (int64_t hour = 0; hour < SUM_HOURS; hour++) {
            bool is_asked = hour >= first_hour && hour < end_hour;
            for (size_t agent = 0; agent <= AGENTS; agent++) {
                bool is_told = is_asked && (way == 1 ? agent == 2 || agent == 3 : agent == 0);
                assert_int_equal(summing->hours[hour][agent].told, is_told && summing->hours[hour][agent].rounds);
            }
        }
        mem_free(summing);
    }
}

static void summaries_say_what_the_rounds_say(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, 77);
    for (int pass = 0; pass < 2; pass++) { /* some rounds come late */
        for (int64_t slot = 0; slot < SUM_HOURS * 12 - 12; slot++) {
            for (uint64_t agent = 1; agent <= AGENTS; agent++) {
                if ((int)rng_below(&rng, 4) != 0 ? pass == 0 : pass == 1)
                    (void)append_random(f, &rng, 1, agent, START + slot * 300);
            }
        }
        check_summaries(f, 0, SUM_HOURS);
        (void)conform_upkeep(f, NULL, START + 40000 + pass);
        check_summaries(f, 0, SUM_HOURS);
        check_summaries(f, 3, 7);
        (void)conform_upkeep(f, NULL, START + 100 * 86400);
        check_summaries(f, 0, SUM_HOURS);
        check_summaries(f, 5, 29);
    }
    if (conform_is_lasting())
        conform_reopen(f);
    check_summaries(f, 0, SUM_HOURS);
}

static bool write_paths(void *user, const struct store_paths *paths)
{
    struct buf *text = user;
    buf_printf(text, "%llu:%llu@%lld", (unsigned long long)paths->agent_id, (unsigned long long)paths->first,
               (long long)(paths->first_round - START));
    for (size_t i = 0; i < paths->change_count; i++)
        buf_printf(text, ",%lld", (long long)(paths->changes[i] - START));
    buf_printf(text, "->%llu ", (unsigned long long)paths->last);
    return true;
}

static void summaries_tell_when_paths_changed(void **state)
{
    struct fixture *f = *state;
    static const uint64_t prints[2][8] = {{5, 5, 0, 6, 6, 6, 5, 5}, {0, 9, 9, 9, 9, 9, 9, UINT64_MAX}};
    int64_t base = START - START % 3600 - START; /* of the hour, from START */
    for (size_t slot = 0; slot < 8; slot++) {
        for (uint64_t agent = 1; agent <= 2; agent++) {
            struct store_round round = {.test_id = 1,
                                        .agent_id = agent,
                                        .round_id = START + base + (int64_t)slot * 900,
                                        .fingerprint = prints[agent - 1][slot]};
            assert_int_equal(store_append(f->store, &round, 1, NULL, NULL, NULL), 0);
        }
    }
    char want[200];
    (void)snprintf(want, sizeof want, "1:5@%lld,%lld->6 2:9@%lld->9 1:6@%lld,%lld->5 2:9@%lld,%lld->%llu ",
                   (long long)base, (long long)base + 2700, (long long)base + 900, (long long)base + 3600,
                   (long long)base + 5400, (long long)base + 3600, (long long)base + 6300,
                   (unsigned long long)UINT64_MAX);
    for (int pass = 0; pass < 2; pass++) {
        struct store_summary_query query = {.test_id = 1, .from_s = START + base, .until_s = START + base + 7200};
        struct store_summary_fns fns = {.paths = write_paths};
        struct buf text;
        buf_init(&text, 10000);
        assert_int_equal(store_summaries(f->store, &query, &fns, &text, NULL), 0);
        assert_string_equal(buf_str(&text), want);
        buf_done(&text);
        (void)conform_upkeep(f, NULL, START + 86400);
    }
}

const struct CMUnitTest conform_folding[] = {
    CONFORM_CHECK(answers_are_the_same_when_hours_are_folded),
    CONFORM_CHECK(late_rounds_are_folded_too),
    CONFORM_CHECK(details_go_before_the_rest),
    CONFORM_CHECK(a_budget_takes_the_oldest),
    CONFORM_CHECK(summaries_say_what_the_rounds_say),
    CONFORM_CHECK(summaries_tell_when_paths_changed),
    CONFORM_CHECK(kill_9_at_any_instant_loses_and_doubles_nothing),
};
const size_t conform_folding_count = sizeof conform_folding / sizeof conform_folding[0];
