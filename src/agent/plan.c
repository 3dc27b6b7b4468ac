#include "agent/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backoff.h"
#include "agent/sealed.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"

#define PLAN_REFUSED_S 60 /* between two requests once the server does not know us any more */

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Tests of one target have one number. */
static uint64_t target_of(const struct measure_type *type, const void *settings)
{
    const struct field *field = field_find(type->settings, type->target_name);
    const char *target = NULL;
    if (field && field->kind == FIELD_KIND_STR)
        memcpy(&target, (const char *)settings + field->offset, sizeof target);
    return target ? str_hash(target, strlen(target), 0) : 0;
}

/* Fills item from what a test and a run have in common; -E_NOT_SUPPORTED or what is wrong with the settings. */
static int read_item(struct plan_item *item, const char *type, const struct field_bytes *settings, struct arena *arena,
                     struct error *err)
{
    item->runner = type ? measure_runner_find(type) : NULL;
    if (!item->runner)
        return error_set(err, E_NOT_SUPPORTED, "type", "this agent (" OCULI_VERSION ") cannot run \"%.60s\"",
                         type ? type : "");
    const struct field_table *table = item->runner->type->settings;
    void *record = arena_alloc(arena, table->size);
    if (!record)
        return error_set(err, E_LIMIT, "settings", "the plan is too large");
    int rc = field_from_cbor(table, settings->data, settings->size, record, arena, err);
    if (!rc)
        rc = field_check(table, record, err);
    if (rc)
        return rc;
    item->settings = record;
    item->queue = item->runner->type->queue ? item->runner->type->queue(record) : MEASURE_GENERAL;
    item->target = target_of(item->runner->type, record);
    item->is_continuous = measure_is_continuous(item->runner->type, record);
    return 0;
}

/* The flows of a test's path traces stay the same from round to round; a test that runs once has no rounds to compare. */
static uint64_t flow_seed(uint64_t test_id)
{
    return test_id ? str_hash(&test_id, sizeof test_id, 0) : 0;
}

static void read_tests(struct plan *plan, plan_unsupported_fn *unsupported, void *user)
{
    const struct message_test *tests = plan->message.tests.items;
    for (size_t i = 0; i < plan->message.tests.count; i++) {
        struct plan_item *item = &plan->tests[plan->test_count];
        struct error err = {0};
        *item = (struct plan_item){.test_id = tests[i].test_id,
                                   .flow_seed = flow_seed(tests[i].test_id),
                                   .version = tests[i].version,
                                   .interval_s = tests[i].interval_s,
                                   .is_start_random = tests[i].is_start_random,
                                   .proxy = tests[i].proxy ? tests[i].proxy : plan->message.proxy,
                                   .source_ip = tests[i].source_ip};
        int rc = field_check(&message_test_table, &tests[i], &err);
        if (!rc)
            rc = read_item(item, tests[i].type, &tests[i].settings, &plan->arena, &err);
        if (!rc && item->is_continuous && item->interval_s != MEASURE_CONTINUOUS_S)
            rc = error_set(&err, E_RANGE, "interval", "must be %d in continuous mode", MEASURE_CONTINUOUS_S);
        if (!rc) {
            plan->test_count++;
            continue;
        }
        plan->unsupported++;
        unsupported(user, item, &err);
    }
}

static void read_runs(struct plan *plan, plan_unsupported_fn *unsupported, void *user)
{
    const struct message_run *runs = plan->message.runs.items;
    for (size_t i = 0; i < plan->message.runs.count; i++) {
        struct plan_item *item = &plan->runs[plan->run_count];
        struct error err = {0};
        *item = (struct plan_item){.test_id = runs[i].test_id,
                                   .flow_seed = flow_seed(runs[i].test_id),
                                   .run_id = runs[i].run_id,
                                   .version = runs[i].version,
                                   .requested_s = runs[i].requested_s,
                                   .proxy = runs[i].proxy ? runs[i].proxy : plan->message.proxy,
                                   .source_ip = runs[i].source_ip};
        int rc = field_check(&message_run_table, &runs[i], &err);
        if (!rc)
            rc = read_item(item, runs[i].type, &runs[i].settings, &plan->arena, &err);
        if (!rc)
            plan->run_count++;
        else
            unsupported(user, item, &err);
    }
}

int plan_read(const void *bytes, size_t size, plan_unsupported_fn *unsupported, void *user, struct plan **ret_plan,
              struct error *err)
{
    struct plan *plan = mem_alloc(sizeof *plan);
    plan->references = 1;
    arena_init(&plan->arena, LIMIT_REQUEST_ARENA);
    int rc = field_from_cbor(&message_plan_table, bytes, size, &plan->message, &plan->arena, err);
    if (!rc && (plan->message.tests.count > LIMIT_PLAN_TESTS || plan->message.runs.count > LIMIT_PLAN_TESTS))
        rc = error_set(err, E_LIMIT, "tests", "more than %u", LIMIT_PLAN_TESTS);
    if (!rc) {
        plan->tests = arena_alloc_array(&plan->arena, plan->message.tests.count + 1, sizeof *plan->tests);
        plan->runs = arena_alloc_array(&plan->arena, plan->message.runs.count + 1, sizeof *plan->runs);
        if (!plan->tests || !plan->runs)
            rc = error_set(err, E_LIMIT, "tests", "the plan is too large");
    }
    if (rc) {
        plan_release(plan);
        return rc;
    }
    read_tests(plan, unsupported, user);
    read_runs(plan, unsupported, user);
    *ret_plan = plan;
    return 0;
}

struct plan *plan_hold(struct plan *plan)
{
    plan->references++;
    return plan;
}

void plan_release(struct plan *plan)
{
    if (!plan || --plan->references > 0)
        return;
    arena_done(&plan->arena);
    mem_free(plan);
}

const struct plan_item *plan_find(const struct plan *plan, uint64_t test_id)
{
    for (size_t i = 0; i < plan->test_count; i++) {
        if (plan->tests[i].test_id == test_id)
            return &plan->tests[i];
    }
    return NULL;
}

static void plan_path(const char *state_dir, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/plan", state_dir);
}

int plan_load(const char *state_dir, plan_unsupported_fn *unsupported, void *user, struct plan **ret_plan,
              struct error *err)
{
    char path[512];
    struct buf buf;
    plan_path(state_dir, path, sizeof path);
    buf_init(&buf, LIMIT_REQUEST_BYTES);
    int rc = sealed_read(path, &buf, err);
    if (!rc && plan_read(buf.data, buf.size, unsupported, user, ret_plan, NULL))
        rc = error_set(err, E_CORRUPT, path, "the file holds no plan");
    buf_done(&buf);
    return rc;
}

/* --- the poll ----------------------------------------------------------------------------------------------------- */

struct plan_poll {
    struct plan_poll_settings settings;
    struct http_job *job;
    struct loop_timer timer;
    struct backoff backoff;
    int64_t version;      /* what runs; 0 = nothing */
    int64_t refreshed_ns; /* monotonic: when a whole plan came; 0 = never by this process */
    bool was_whole;       /* the open request asks for a whole plan, at once */
};

static void ask_in(struct plan_poll *poll, int64_t delay_ns)
{
    loop_timer_start(poll->settings.loop, &poll->timer, loop_now_ns(poll->settings.loop) + delay_ns);
}

static void on_answer(void *user, const struct http_answer *answer)
{
    struct plan_poll *poll = user;
    const struct plan_poll_settings *s = &poll->settings;
    poll->job = NULL;
    if (answer->status == 200 || answer->status == 204) {
        backoff_reset(&poll->backoff);
        ask_in(poll, 0);
        if (answer->status == 200 || poll->was_whole)
            poll->refreshed_ns = loop_now_ns(s->loop);
        s->contact(s->user, CONTACT_OK, "");
        if (answer->status == 200 && !s->changed(s->user, answer->body, answer->body_size))
            ask_in(poll, backoff_next_ns(&poll->backoff, s->rng));
    } else if (answer->status == 409 && answer->is_problem) { /* and no more of it: docs/protocols.md */
        s->contact(s->user, CONTACT_DISPLACED, answer->error);
    } else if (answer->status == 401) {
        s->contact(s->user, CONTACT_REFUSED, answer->error);
        poll->refreshed_ns = 0;
        ask_in(poll, PLAN_REFUSED_S * CLOCK_S);
    } else {
        s->contact(s->user, CONTACT_AWAY, answer->error);
        int64_t delay_ns = backoff_next_ns(&poll->backoff, s->rng), asked_ns = answer->retry_after_s * CLOCK_S;
        ask_in(poll, asked_ns > delay_ns && answer->retry_after_s <= PLAN_REFRESH_S ? asked_ns : delay_ns);
    }
}

/* The first answer is wanted at once and whole: it tells that the server is there, and its clock. */
static void on_timer(void *user)
{
    struct plan_poll *poll = user;
    char path[128];
    int64_t now_ns = loop_now_ns(poll->settings.loop);
    poll->was_whole = !poll->refreshed_ns || now_ns - poll->refreshed_ns > PLAN_REFRESH_S * CLOCK_S;
    bool is_known = poll->version > 0 && !poll->was_whole;
    (void)snprintf(path, sizeof path, "/oculi/v1/agent/plan?version=%" PRId64 "&wait=%d",
                   is_known ? poll->version : (int64_t)0, is_known ? PLAN_WAIT_S : 0);
    struct http_request request = {
        .method = "GET", .path = path, .authorization = poll->settings.authorization, .timeout_s = PLAN_WAIT_S + 20};
    poll->job = http_start(poll->settings.http, &request, on_answer, poll);
}

void plan_poll_refresh(struct plan_poll *poll)
{
    poll->refreshed_ns = 0;
    if (!poll->job || poll->was_whole)
        return; /* the next request, or the one that is open, asks for it */
    http_cancel(poll->job);
    poll->job = NULL;
    ask_in(poll, 0);
}

int plan_poll_accept(struct plan_poll *poll, const void *bytes, size_t size, int64_t version, struct error *err)
{
    char path[512];
    poll->version = version;
    plan_path(poll->settings.state_dir, path, sizeof path);
    return sealed_write(path, bytes, size, 0600, err);
}

struct plan_poll *plan_poll_start(const struct plan_poll_settings *settings)
{
    struct plan_poll *poll = mem_alloc(sizeof *poll);
    poll->settings = *settings;
    poll->version = settings->version;
    poll->timer = (struct loop_timer){.fn = on_timer, .user = poll};
    ask_in(poll, 0);
    return poll;
}

void plan_poll_free(struct plan_poll *poll)
{
    if (!poll)
        return;
    if (poll->job)
        http_cancel(poll->job);
    loop_timer_stop(poll->settings.loop, &poll->timer);
    mem_free(poll);
}
