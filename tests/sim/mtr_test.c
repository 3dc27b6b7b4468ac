/*
 * `oculi mtr` in simulated time, over networks made by chance (see chance.h): what its table says of each address at each
 * distance is what really became of the probes of its flows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "cli/mtr_show.h"

#define NETS 150u
#define ROUNDS 8u
#define FLOWS 3u
#define WAIT_NS (900 * CLOCK_MS) /* less than until a second SYN+ACK */

static struct chance range;
static unsigned mistakes, rows_compared;

struct run {
    struct world world;
    struct watch *watch;
    enum probe_protocol protocol;
    enum lab_kind kind;
    uint64_t seed;
    const char *to;
    bool is_corrupting; /* an error may quote a probe that nobody can know again */
    int64_t starts_ns[ROUNDS + 1]; /* of true time */
    uint16_t ids[ROUNDS][FLOWS];
};

static void mistake(const struct run *run, const struct mtr_row *row, const char *what, double told, double really)
{
    print_error("net %llu, protocol %d, hop %d, %s, flows %s: %s is told as %g and was %g\n",
                (unsigned long long)run->seed, (int)run->protocol, row->hop, row->ip_address ? row->ip_address : "silent",
                row->flows, what, told, really);
    mistakes++;
}

static void is_same(const struct run *run, const struct mtr_row *row, const char *what, double told, double really)
{
    if (fabs(told - really) > 2e-6 && !(isnan(told) && isnan(really)))
        mistake(run, row, what, told, really);
}

/* False: not all flows found the target in the first round, so that its distance was not known from the start. */
static bool probe(struct run *run)
{
    bool is_found = true;
    uint8_t distance = 0;
    run->watch = watch_new(FLOWS);
    run->world.port = run->protocol == PROBE_TCP ? 443 : 0;
    run->world.trace.protocol = run->protocol;
    if (run->protocol == PROBE_TCP) { /* a host answers one of several SYNs of a flow, as is told elsewhere (watch_test.c) */
        const struct lab_fan *fan = world_fan(&run->world, run->to, PROBE_TCP, 443);
        distance = fan->faces[fan->face_count - 1].ttl;
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct probe_trace_settings *settings = &run->world.trace;
        probe_trace_defaults(settings);
        settings->protocol = run->protocol;
        settings->flows = FLOWS;
        settings->wait_ns = WAIT_NS;
        settings->flow_seed = 1234567;
        watch_aim(run->watch, round, settings);
        if (distance) {
            settings->distance = distance;
            settings->beyond = 0;
            settings->gap_limit = 1;
        }
        run->starts_ns[round] = sim_now_ns(run->world.sim);
        const struct probe_trace_result *result = world_trace(&run->world, run->to);
        for (uint32_t f = 0; f < FLOWS; f++)
            run->ids[round][f] = result->flows[f].id;
        for (uint32_t f = 0; f < FLOWS && round == 0 && distance; f++)
            is_found &= result->flows[f].end == PROBE_TRACE_REACHED && result->flows[f].hop_count == distance;
        watch_add(run->watch, result);
        sim_run(run->world.sim, 3 * CLOCK_S, NULL);
    }
    run->starts_ns[ROUNDS] = INT64_MAX;
    return is_found;
}

/* The round and the flow of a probe; false: it is another's. */
static bool find(const struct run *run, const struct lab_probe *probe, unsigned ttl, uint32_t *ret_round, uint32_t *ret_flow)
{
    const struct lab_stream *stream = &sim_truth(run->world.sim)->streams[probe->stream];
    uint16_t id = run->kind == LAB_KIND_ECHO ? stream->id : probe->seq;
    if (stream->kind != run->kind || stream->ttl != ttl)
        return false;
    for (*ret_round = 0; probe->sent_ns >= run->starts_ns[*ret_round + 1];)
        ++*ret_round;
    for (*ret_flow = 0; *ret_flow < FLOWS && run->ids[*ret_round][*ret_flow] != id;)
        ++*ret_flow;
    return *ret_flow < FLOWS;
}

/* What really became of the probes of some flows at one distance. */
struct really {
    double sent, received, sum, min, max, last, jitter; /* ms */
    uint32_t last_order;
};

static struct really what_was(const struct run *run, unsigned ttl, const bool flows[FLOWS])
{
    const struct lab_truth *truth = sim_truth(run->world.sim);
    struct really was = {.min = INFINITY};
    double samples[ROUNDS * FLOWS * 4];
    uint32_t count = 0;
    for (uint32_t i = 0; i < truth->probe_count; i++) {
        const struct lab_probe *one = &truth->probes[i];
        uint32_t round, flow;
        if (!find(run, one, ttl, &round, &flow) || !flows[flow])
            continue;
        double ms = (double)one->rtt_ns / 1e6;
        was.sent++;
        if ((one->fate != LAB_FATE_ANSWERED && one->fate != LAB_FATE_ERROR) || one->rtt_ns > WAIT_NS)
            continue;
        assert_true(count < sizeof samples / sizeof samples[0]);
        samples[count++] = ms;
        was.sum += ms;
        was.min = fmin(was.min, ms);
        was.max = fmax(was.max, ms);
        if (round * FLOWS + flow + 1 >= was.last_order) {
            was.last_order = round * FLOWS + flow + 1;
            was.last = ms;
        }
    }
    was.received = count;
    for (uint32_t i = 0; i < count; i++)
        was.jitter += fabs(samples[i] - was.sum / count) / count;
    return was;
}

static void flows_of(const char *text, bool flows[FLOWS])
{
    memset(flows, 0, FLOWS * sizeof *flows);
    for (unsigned first = 0, last; text && *text; text += *text == ',') { /* "1-2,3" */
        char *end;
        first = last = (unsigned)strtoul(text, &end, 10);
        if (*end == '-')
            last = (unsigned)strtoul(end + 1, &end, 10);
        for (unsigned f = first; f >= 1 && f <= last && f <= FLOWS; f++)
            flows[f - 1] = true;
        assert_ptr_not_equal(text, end);
        text = end;
    }
}

static void check_row(const struct run *run, const struct mtr_row *row)
{
    bool flows[FLOWS];
    flows_of(row->flows, flows);
    if (!flows[0] && !flows[1] && !flows[2])
        return; /* an address that none of the flows meets any more */
    struct really was = what_was(run, (unsigned)row->hop, flows);
    rows_compared++;
    is_same(run, row, "sent", (double)row->sent, was.sent);
    if (!row->ip_address && strcmp(run->to, CHANCE_APP6) == 0)
        return; /* routers that quote too little of an IPv6 packet: nobody can tell which probe they mean */
    if (run->is_corrupting && (double)row->received < was.received)
        return;
    is_same(run, row, "received", (double)row->received, was.received);
    is_same(run, row, "silent", row->unanswered, was.sent > 0 ? 100 * (was.sent - was.received) / was.sent : (double)NAN);
    if (was.received == 0 || !row->ip_address)
        return;
    is_same(run, row, "last", row->last_latency, was.last);
    is_same(run, row, "avg", row->avg_latency, was.sum / was.received);
    is_same(run, row, "best", row->min_latency, was.min);
    is_same(run, row, "worst", row->max_latency, was.max);
    is_same(run, row, "jitter", row->jitter, was.jitter);
    if (!row->is_limited)
        is_same(run, row, "loss", row->loss, row->unanswered);
    else if (row->loss > row->unanswered)
        mistake(run, row, "loss", row->loss, row->unanswered);
}

static void watch(uint64_t seed, enum probe_protocol protocol, enum lab_kind kind, const char *to)
{
    struct run run = {.seed = seed, .protocol = protocol, .kind = kind, .to = to};
    struct arena arena;
    struct mtr_record record;
    run.is_corrupting = chance_open(&run.world, &range, seed, true);
    arena_init(&arena, LIMIT_ROUND_ARENA);
    bool is_found = probe(&run);
    field_defaults(&mtr_record_table, &record);
    mtr_record_fill(run.watch, NULL, NULL, &arena, &record);
    const struct mtr_row *rows = record.rows.items;
    for (size_t i = 0; is_found && i < record.rows.count; i++)
        check_row(&run, &rows[i]);
    arena_done(&arena);
    watch_free(run.watch);
    world_close(&run.world);
}

static void watch_all(enum probe_protocol protocol, enum lab_kind kind)
{
    mistakes = rows_compared = 0;
    for (uint64_t seed = range.first; seed <= range.last; seed++)
        watch(seed, protocol, kind, seed % 2 ? CHANCE_APP : CHANCE_APP6);
    print_message("# %u rows compared\n", rows_compared);
    assert_int_equal(mistakes, 0);
}

static void echoes_are_told_as_they_were(void **state)
{
    (void)state;
    watch_all(PROBE_ICMP, LAB_KIND_ECHO);
}

static void datagrams_are_told_as_they_were(void **state)
{
    (void)state;
    watch_all(PROBE_UDP, LAB_KIND_UDP);
}

static void syns_are_told_as_they_were(void **state)
{
    (void)state;
    watch_all(PROBE_TCP, LAB_KIND_TCP_SYN);
}

int main(void)
{
    range = chance_range(NETS);
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(echoes_are_told_as_they_were),
        cmocka_unit_test(datagrams_are_told_as_they_were),
        cmocka_unit_test(syns_are_told_as_they_were),
    };
    return cmocka_run_group_tests_name("oculi mtr in simulated networks", checks, NULL, NULL);
}
