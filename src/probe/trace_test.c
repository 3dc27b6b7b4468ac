/* Checks of the path trace over paths made of functions. IPv4; tests/sim has the IPv6 twins. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "probe/engine.h"
#include "probe/fake_io.h"
#include "probe/packet.h"
#include "probe/trace.h"

#define TARGET "192.0.2.1"

struct world {
    struct fake *fake;
    struct probe_engine *engine;
    struct arena arena;
    struct probe_trace_settings settings;
    struct probe_trace *trace;
    const struct probe_trace_result *result;
    unsigned hops, lose; /* of the path; lose: a bit for each TTL whose first probes are lost */
    unsigned lost[65], progress_count;
    bool is_done;
};

static void on_done(void *user, const struct probe_trace_result *result)
{
    struct world *world = user;
    world->result = result;
    world->is_done = true;
}

static void on_progress(void *user, const struct probe_trace_result *result)
{
    (void)result;
    ((struct world *)user)->progress_count++;
}

static void open_world(struct world *world, fake_fn *on_packet)
{
    memset(world, 0, sizeof *world);
    world->fake = fake_new(on_packet, world);
    arena_init(&world->arena, 1 << 22);
    assert_int_equal(probe_engine_new(&world->fake->io, &(struct probe_engine_settings){.seed = 7}, &world->engine, NULL),
                     0);
    probe_trace_defaults(&world->settings);
    assert_int_equal(sock_parse_ip(TARGET, &world->settings.dst), 0);
}

static void close_world(struct world *world)
{
    probe_engine_free(world->engine);
    fake_free(world->fake);
    arena_done(&world->arena);
}

static void start(struct world *world)
{
    world->is_done = false;
    assert_int_equal(probe_trace_start(world->engine, &world->settings, &world->arena, on_progress, on_done, world,
                                       &world->trace, NULL),
                     0);
    fake_run(world->fake, 100 * CLOCK_S, &world->is_done);
    assert_true(world->is_done);
    assert_int_equal(probe_engine_stats(world->engine)->rounds, 0);
}

static void run(struct world *world)
{
    start(world);
    /* Two TTLs beyond the target may be answered when all is known already. */
    assert_in_range(probe_engine_stats(world->engine)->foreign, 0, 4 * world->settings.flows);
}

static void expired_at(struct fake *fake, const struct probe_io_packet *packet, unsigned router)
{
    char from[32];
    (void)snprintf(from, sizeof from, "10.0.0.%u", router);
    fake_error(fake, packet, from, 11, 0, (int64_t)router * CLOCK_MS);
}

/* The path as words: "10.0.0.1 * 192.0.2.1". */
static const char *path(const struct probe_trace_flow *flow)
{
    static char text[2000];
    char one[SOCK_TEXT_BYTES];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < flow->hop_count; i++) {
        const char *word = sock_is_set(&flow->hops[i].addr) ? sock_ip_text(&flow->hops[i].addr, one, sizeof one) : "*";
        assert_int_equal(flow->hops[i].ttl, i + 1);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "", word);
    }
    return text;
}

/* world->hops - 1 routers and the target, at 1 ms each. */
static void line(struct fake *fake, const struct probe_io_packet *packet)
{
    struct world *world = fake->user;
    if (packet->ttl < 32 && (world->lose >> packet->ttl & 1) && world->lost[packet->ttl]++ < world->settings.flows)
        return;
    if (packet->ttl < world->hops)
        expired_at(fake, packet, packet->ttl);
    else
        fake_echo(fake, packet, NULL, (uint8_t)(65 - world->hops), (int64_t)world->hops * CLOCK_MS);
}

static void straight_path_takes_two_round_trips_at_most(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, line);
    world.hops = 15;
    run(&world);
    assert_int_equal(world.result->flow_count, 3);
    assert_int_equal(world.result->distance, 15);
    for (uint32_t i = 0; i < 3; i++) {
        const struct probe_trace_flow *flow = &world.result->flows[i];
        assert_int_equal(flow->end, PROBE_TRACE_REACHED);
        assert_int_equal(flow->hop_count, 15);
        for (uint32_t j = 0; j < 15; j++) {
            assert_int_equal(flow->hops[j].rtt_ns, (j + 1) * CLOCK_MS);
            assert_int_equal(flow->hops[j].sent, 1);
            assert_int_equal(flow->hops[j].received, 1);
            assert_int_equal(flow->hops[j].is_target, j == 14);
            assert_int_equal(flow->hops[j].quoted_ttl, j == 14 ? 0 : 1);
        }
        assert_int_equal(flow->hops[0].icmp_type, 11);
        assert_int_equal(flow->hops[14].icmp_type, 0);
        assert_int_equal(flow->hops[14].reply_ttl, 50);
    }
    assert_int_equal(world.fake->sent, 1 + 3 * 17); /* the estimate, and two TTLs beyond */
    /* The target is probed before the estimate is there, because routers halfway have answered. */
    assert_true(world.result->end_ns - world.result->start_ns <= 15 * CLOCK_MS * 3 / 2 + 10 * CLOCK_MS);
    assert_true(world.progress_count > 0);
    world.fake->sent = 0;
    world.settings.distance = 15; /* known from the last round: one round trip */
    run(&world);
    assert_int_equal(world.fake->sent, 3 * 17);
    assert_true(world.result->end_ns - world.result->start_ns <= 15 * CLOCK_MS + 7 * CLOCK_MS);
    close_world(&world);
}

/* Who probes the same path every second sends nothing beyond the target, and learns what stayed silent. */
static void known_distance_is_not_exceeded(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, line);
    world.hops = 15;
    world.settings.distance = 15;
    world.settings.beyond = 0;
    world.settings.gap_limit = world.settings.attempts = 1;
    run(&world);
    assert_int_equal(world.fake->sent, 3 * 15);
    assert_int_equal(world.result->flows[2].end, PROBE_TRACE_REACHED);
    assert_int_equal(world.result->flows[2].probed, 15);
    world.fake->sent = 0;
    world.lose = 1 << 14 | 1 << 15;
    run(&world);
    assert_int_equal(world.fake->sent, 3 * 15);
    for (uint32_t i = 0; i < 3; i++) {
        const struct probe_trace_flow *flow = &world.result->flows[i];
        assert_int_equal(flow->end, PROBE_TRACE_SILENT);
        assert_int_equal(flow->hop_count, 13);
        assert_int_equal(flow->probed, 15);
        assert_int_equal(flow->hops[14].sent, 1);
        assert_int_equal(flow->hops[14].received, 0);
    }
    close_world(&world);
}

static void flows_differ_and_keep_their_checksum(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, line);
    world.hops = 4;
    world.settings.flows = 10;
    run(&world);
    for (uint32_t i = 0; i < 10; i++) {
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(world.result->flows[i].id, world.result->flows[j].id);
        assert_int_equal(world.result->flows[i].end, PROBE_TRACE_REACHED);
        assert_int_equal(world.result->flows[i].hop_count, 4);
    }
    close_world(&world);
}

static void lost_answers_are_asked_for_again(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, line);
    world.hops = 6;
    world.lose = 1 << 3 | 1 << 6; /* one router and the target itself */
    run(&world);
    for (uint32_t i = 0; i < 3; i++) {
        const struct probe_trace_flow *flow = &world.result->flows[i];
        assert_string_equal(path(flow), "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 " TARGET);
        assert_int_equal(flow->hops[2].sent, 2);
        assert_int_equal(flow->hops[2].received, 1);
        assert_int_equal(flow->hops[2].rtt_ns, 3 * CLOCK_MS);
        assert_int_equal(flow->hops[5].sent, 2);
        assert_int_equal(flow->hops[5].received, 1);
    }
    close_world(&world);
}

static void silent_third(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl != 3)
        line(fake, packet);
}

static void silent_hop_stays_in_its_place(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, silent_third);
    world.hops = 5;
    run(&world);
    assert_string_equal(path(&world.result->flows[1]), "10.0.0.1 10.0.0.2 * 10.0.0.4 " TARGET);
    assert_int_equal(world.result->flows[1].hops[2].sent, 3);
    assert_int_equal(world.result->flows[1].hops[2].received, 0);
    assert_int_equal(world.result->flows[1].end, PROBE_TRACE_REACHED);
    close_world(&world);
}

static void silent_from_fifth(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 5)
        expired_at(fake, packet, packet->ttl);
}

static void silence_ends_at_the_gap_limit(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, silent_from_fifth);
    run(&world);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world.result->flows[i].end, PROBE_TRACE_SILENT);
        assert_string_equal(path(&world.result->flows[i]), "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4");
    }
    for (uint32_t i = 1; i < world.fake->sent; i++)
        assert_true(world.fake->packets[i].ttl <= 10); /* 4 + 6 */
    assert_int_equal(world.fake->sent, 1 + 3 * (4 + 6 * 3));
    assert_true(world.result->end_ns - world.result->start_ns < 3500 * CLOCK_MS);
    world.settings.gap_limit = 2;
    world.settings.attempts = 1;
    world.fake->sent = 0;
    run(&world);
    assert_int_equal(world.fake->sent, 1 + 3 * (4 + 2));
    close_world(&world);
}

static void only_silence(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, NULL);
    run(&world);
    assert_int_equal(world.result->flows[0].end, PROBE_TRACE_SILENT);
    assert_int_equal(world.result->flows[0].hop_count, 0);
    close_world(&world);
}

static void wall_at_fourth(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 5)
        expired_at(fake, packet, packet->ttl);
    else
        fake_error(fake, packet, "10.0.0.4", 3, 13, 4 * CLOCK_MS);
}

static void filter_is_the_terminal_node(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, wall_at_fourth);
    run(&world);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world.result->flows[i].end, PROBE_TRACE_PROHIBITED);
        assert_int_equal(world.result->flows[i].end_type, 3);
        assert_int_equal(world.result->flows[i].end_code, 13);
        assert_string_equal(path(&world.result->flows[i]), "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4"); /* once */
    }
    assert_true(world.result->end_ns - world.result->start_ns < 300 * CLOCK_MS);
    close_world(&world);
}

static void unreachable_from_third(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 3)
        expired_at(fake, packet, packet->ttl);
    else
        fake_error(fake, packet, "10.0.0.3", 3, 1, 3 * CLOCK_MS); /* at its own TTL already */
}

static void unreachable_is_told_apart(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, unreachable_from_third);
    run(&world);
    assert_int_equal(world.result->flows[2].end, PROBE_TRACE_UNREACHABLE);
    assert_string_equal(path(&world.result->flows[2]), "10.0.0.1 10.0.0.2 10.0.0.3");
    assert_int_equal(world.result->flows[2].hops[2].icmp_type, 3);
    close_world(&world);
}

static void circle(struct fake *fake, const struct probe_io_packet *packet)
{
    expired_at(fake, packet, packet->ttl < 4 ? packet->ttl : 4 + packet->ttl % 3);
}

static void loop_is_found_and_cut(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, circle);
    run(&world);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world.result->flows[i].end, PROBE_TRACE_LOOP);
        assert_string_equal(path(&world.result->flows[i]),
                            "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.5 10.0.0.6 10.0.0.4 10.0.0.5");
    }
    for (uint32_t i = 1; i < world.fake->sent; i++)
        assert_true(world.fake->packets[i].ttl <= 24); /* it does not walk on to 64 */
    close_world(&world);
}

static void zero_ttl_forwarding(struct fake *fake, const struct probe_io_packet *packet)
{
    /* Router 3 passes on what has expired: router 4 answers at TTL 3 and at TTL 4. */
    if (packet->ttl == 3)
        expired_at(fake, packet, 4);
    else
        line(fake, packet);
}

static void repetition_is_no_loop(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, zero_ttl_forwarding);
    world.hops = 6;
    run(&world);
    assert_int_equal(world.result->flows[0].end, PROBE_TRACE_REACHED);
    assert_string_equal(path(&world.result->flows[0]), "10.0.0.1 10.0.0.2 10.0.0.4 10.0.0.4 10.0.0.5 " TARGET);
    close_world(&world);
}

static void hidden_by_nat(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 20)
        expired_at(fake, packet, packet->ttl < 3 ? packet->ttl : 3); /* all behind the NAT look like it */
    else
        fake_echo(fake, packet, NULL, 45, 20 * CLOCK_MS);
}

static void reached_target_beats_the_loop(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, hidden_by_nat);
    run(&world);
    assert_int_equal(world.result->flows[0].end, PROBE_TRACE_REACHED);
    assert_int_equal(world.result->flows[0].hop_count, 20);
    close_world(&world);
}

static void target_expires_it(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 4)
        expired_at(fake, packet, packet->ttl);
    else
        fake_error(fake, packet, TARGET, 11, 0, 4 * CLOCK_MS);
}

static void target_rejects(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 4)
        expired_at(fake, packet, packet->ttl);
    else
        fake_error(fake, packet, TARGET, 3, 3, 4 * CLOCK_MS);
}

static void errors_of_the_target_mean_arrival(void **state)
{
    (void)state;
    static fake_fn *const ways[] = {target_expires_it, target_rejects};
    for (size_t i = 0; i < 2; i++) {
        struct world world;
        open_world(&world, ways[i]);
        run(&world);
        assert_int_equal(world.result->flows[0].end, PROBE_TRACE_REACHED);
        assert_string_equal(path(&world.result->flows[0]), "10.0.0.1 10.0.0.2 10.0.0.3 " TARGET);
        close_world(&world);
    }
}

static void target_denies_itself(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 4)
        expired_at(fake, packet, packet->ttl);
    else
        fake_error(fake, packet, TARGET, 3, 1, 4 * CLOCK_MS);
}

static void target_may_say_unreachable(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, target_denies_itself);
    run(&world);
    assert_int_equal(world.result->flows[0].end, PROBE_TRACE_UNREACHABLE);
    assert_int_equal(world.result->flows[0].end_code, 1);
    assert_string_equal(path(&world.result->flows[0]), "10.0.0.1 10.0.0.2 10.0.0.3 " TARGET);
    close_world(&world);
}

/* The second router answers once in 100 ms. */
static void limited_second(struct fake *fake, const struct probe_io_packet *packet)
{
    static int64_t last_ns;
    int64_t now = fake->now_ns;
    bool is_limited = packet->ttl == 2 && now >= last_ns && now - last_ns < 100 * CLOCK_MS;
    if (packet->ttl == 2 && !is_limited)
        last_ns = now;
    if (!is_limited)
        line(fake, packet);
}

static void rate_limited_hop_is_seen_by_every_flow(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, limited_second);
    world.hops = 5;
    run(&world);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(path(&world.result->flows[i]), "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 " TARGET);
        assert_in_range(world.result->flows[i].hops[1].sent, 1, 2);
    }
    close_world(&world);
}

/* Ten silent routers on the way out, and a reply whose TTL tells of three on the way back. */
static void silent_middle(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 3)
        expired_at(fake, packet, packet->ttl);
    else if (packet->ttl > 12)
        fake_echo(fake, packet, NULL, 61, 13 * CLOCK_MS);
}

static void answering_target_is_walked_to_through_silence(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, silent_middle);
    run(&world);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world.result->flows[i].end, PROBE_TRACE_REACHED);
        assert_int_equal(world.result->flows[i].hop_count, 13);
    }
    for (uint32_t i = 1; i < world.fake->sent; i++)
        assert_true(world.fake->packets[i].ttl <= 30);
    close_world(&world);
}

static void estimate_too_low(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl < 12)
        expired_at(fake, packet, packet->ttl);
    else
        fake_echo(fake, packet, NULL, 61, 12 * CLOCK_MS); /* comes back over 4 hops */
}

static void longer_way_out_than_back(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, estimate_too_low);
    run(&world);
    assert_int_equal(world.result->flows[0].end, PROBE_TRACE_REACHED);
    assert_int_equal(world.result->flows[0].hop_count, 12);
    assert_int_equal(world.result->distance, 12);
    assert_true(world.result->end_ns - world.result->start_ns < 150 * CLOCK_MS);
    close_world(&world);
}

static void long_paths_need_more_memory(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, line);
    world.hops = 40;
    run(&world);
    assert_int_equal(world.result->flows[2].end, PROBE_TRACE_REACHED);
    assert_int_equal(world.result->flows[2].hop_count, 40);
    world.settings.max_ttl = 20;
    run(&world);
    assert_int_equal(world.result->flows[2].end, PROBE_TRACE_SILENT);
    assert_int_equal(world.result->flows[2].hop_count, 20);
    close_world(&world);
}

static void refusal_is_a_result(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, NULL);
    world.fake->refuse = EPERM;
    run(&world);
    assert_non_null(strstr(world.result->error_text, "Operation not permitted"));
    assert_int_equal(world.result->sent, 0);
    assert_int_equal(world.result->flows[0].hop_count, 0);
    assert_true(world.result->end_ns - world.result->start_ns < 20 * CLOCK_MS);
    close_world(&world);
}

static void drop_fifth(struct fake *fake, const struct probe_io_packet *packet)
{
    if (packet->ttl == 2 && fake->dropped < 1)
        fake->dropped++;
    else
        line(fake, packet);
}

static void our_own_drops_are_not_told_as_sent(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, drop_fifth);
    world.hops = 4;
    world.settings.flows = 1;
    run(&world);
    assert_int_equal(world.result->overloaded, 1);
    assert_int_equal(world.result->flows[0].hops[1].sent, 1);
    assert_int_equal(world.result->flows[0].hops[1].received, 1);
    close_world(&world);
}

static void full_transmit_buffer_only_delays(void **state)
{
    (void)state;
    struct world world;
    for (uint32_t room = 1; room < 9; room++) {
        open_world(&world, line);
        world.hops = 12;
        world.fake->room = room;
        run(&world);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(world.result->flows[i].end, PROBE_TRACE_REACHED);
            assert_int_equal(world.result->flows[i].hop_count, 12);
        }
        assert_int_equal(world.result->sent, world.result->received);
        close_world(&world);
    }
}

static void finish_shows_what_is_known(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, silent_from_fifth);
    assert_int_equal(probe_trace_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &world.trace, NULL),
                     0);
    fake_run(world.fake, 700 * CLOCK_MS, NULL);
    assert_int_equal(probe_trace_result(world.trace)->flows[0].hop_count, 4);
    probe_trace_finish(world.trace);
    assert_true(world.is_done);
    assert_string_equal(path(&world.result->flows[0]), "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4");
    assert_int_equal(probe_trace_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &world.trace, NULL),
                     0);
    world.is_done = false;
    fake_run(world.fake, 700 * CLOCK_MS, NULL);
    probe_trace_stop(world.trace);
    fake_run(world.fake, 10 * CLOCK_S, NULL);
    assert_false(world.is_done);
    close_world(&world);
}

static uint8_t ending_flags;

/* A target that accepts and ends every connection at once, as those do whose queue is full. */
static void accept_and_end(struct fake *fake, const struct probe_io_packet *packet)
{
    uint8_t reply[32] = {0};
    if (packet->protocol != IPPROTO_TCP || !(packet->bytes[13] & PACKET_SYN))
        return;
    memcpy(reply, packet->bytes + 2, 2);
    memcpy(reply + 2, packet->bytes, 2);
    bytes_put32(reply + 4, 1000);
    bytes_put32(reply + 8, bytes_get32(packet->bytes + 4) + 1);
    reply[12] = 8 << 4;
    reply[13] = PACKET_SYN | PACKET_ACK;
    bytes_put16(reply + 14, 65535);
    memcpy(reply + 20, (uint8_t[]){2, 4, 5, 180, 4, 2, 1, 1, 1, 1, 1, 1}, 12);
    fake_bytes(fake, packet, reply, 32, 20 * CLOCK_MS);
    bytes_put32(reply + 4, 1001);
    reply[12] = 5 << 4;
    reply[13] = ending_flags;
    fake_bytes(fake, packet, reply, 20, 20 * CLOCK_MS); /* both are read at once */
}

static void sessions_may_end_before_they_are_used(void **state)
{
    (void)state;
    static const uint8_t endings[] = {PACKET_RST, PACKET_RST | PACKET_ACK, PACKET_FIN | PACKET_ACK};
    for (size_t i = 0; i < sizeof endings; i++) {
        struct world world;
        open_world(&world, accept_and_end);
        ending_flags = endings[i];
        world.settings.protocol = PROBE_TCP;
        world.settings.is_in_session = true;
        sock_set_port(&world.settings.dst, 443);
        start(&world);
        for (uint32_t f = 0; f < 3; f++) { /* SYNs went on */
            assert_int_equal(world.result->flows[f].hop_count, 1);
            assert_int_equal(world.result->flows[f].end, PROBE_TRACE_REACHED);
            assert_false(world.result->flows[f].is_in_session);
        }
        close_world(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_may_end_before_they_are_used),
        cmocka_unit_test(straight_path_takes_two_round_trips_at_most),
        cmocka_unit_test(known_distance_is_not_exceeded),
        cmocka_unit_test(flows_differ_and_keep_their_checksum),
        cmocka_unit_test(lost_answers_are_asked_for_again),
        cmocka_unit_test(silent_hop_stays_in_its_place),
        cmocka_unit_test(silence_ends_at_the_gap_limit),
        cmocka_unit_test(only_silence),
        cmocka_unit_test(filter_is_the_terminal_node),
        cmocka_unit_test(unreachable_is_told_apart),
        cmocka_unit_test(loop_is_found_and_cut),
        cmocka_unit_test(repetition_is_no_loop),
        cmocka_unit_test(reached_target_beats_the_loop),
        cmocka_unit_test(errors_of_the_target_mean_arrival),
        cmocka_unit_test(target_may_say_unreachable),
        cmocka_unit_test(answering_target_is_walked_to_through_silence),
        cmocka_unit_test(rate_limited_hop_is_seen_by_every_flow),
        cmocka_unit_test(longer_way_out_than_back),
        cmocka_unit_test(long_paths_need_more_memory),
        cmocka_unit_test(refusal_is_a_result),
        cmocka_unit_test(our_own_drops_are_not_told_as_sent),
        cmocka_unit_test(full_transmit_buffer_only_delays),
        cmocka_unit_test(finish_shows_what_is_known),
    };
    return cmocka_run_group_tests_name("path trace", tests, NULL, NULL);
}
