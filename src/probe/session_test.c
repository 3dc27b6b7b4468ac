/* Sessions against targets that behave as the RFCs say, and against those that do not, over a network made of functions. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "probe/engine.h"
#include "probe/fake_io.h"
#include "probe/ping.h"
#include "probe/session.h"

#define RTT_NS (20 * CLOCK_MS)
#define ISN 0xfffffff0u /* wraps soon */
#define ACK_ONLY PACKET_ACK
#define BLOCKS 3u

/* What is odd about a target; zeros = nothing. */
struct oddity {
    bool has_no_timestamps, has_no_dsack, has_shut_window, is_proxy;
    uint32_t banner;       /* bytes it sends after the handshake */
    uint32_t fin_after, rst_after; /* probes */
    uint32_t stray_after;  /* probes: then a RST outside the window, and an acknowledgement of what was never sent */
    bool is_forced;        /* the test wants SACK whatever comes */
    uint32_t shift;        /* of the numbers in SACK blocks */
    uint32_t old_acks;     /* SYNs answered by the acknowledgement of an older session */
    uint32_t error_at;     /* 1 + probe that a router answers */
    uint32_t again;        /* SYN+ACKs sent a second time */
};

struct world {
    struct fake *fake;
    struct probe_engine *engine;
    struct arena arena;
    struct probe_ping_settings settings;
    struct probe_ping *ping;
    const struct probe_ping_result *result;
    bool is_done;
    struct oddity odd;
    /* The target. */
    struct packet_tcp last; /* that came */
    uint32_t base, snd_nxt, probes, nudges, syns, acks;
    uint32_t rsts, rst_seq;
    struct {
        uint32_t left, right;
    } blocks[BLOCKS];       /* the latest first, merged with what it touches */
    uint32_t block_count;
    uint32_t highest_ack;
    bool has_timestamps_always;
};

struct reply {
    uint8_t flags;
    uint32_t seq, ack, dsack, payload;
    uint16_t window;
    bool has_sack;
    int64_t delay_ns;
};

static void send_reply(struct world *world, const struct probe_io_packet *packet, const struct reply *reply)
{
    uint8_t bytes[2000] = {0};
    size_t at = PACKET_TCP_HEADER_BYTES;
    memcpy(bytes, packet->bytes + 2, 2);
    memcpy(bytes + 2, packet->bytes, 2);
    bytes_put32(bytes + 4, reply->seq);
    bytes_put32(bytes + 8, reply->ack);
    bytes[13] = reply->flags;
    bytes[14] = (uint8_t)(reply->window >> 8);
    bytes[15] = (uint8_t)reply->window;
    if (reply->flags & PACKET_SYN) {
        memcpy(bytes + at, (uint8_t[]){2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 0}, 12);
        at += 12;
    }
    if (!world->odd.has_no_timestamps) {
        memcpy(bytes + at, (uint8_t[]){1, 1, 8, 10}, 4);
        bytes_put32(bytes + at + 4, 5000 + world->acks);
        bytes_put32(bytes + at + 8, world->last.ts_value);
        at += 12;
    }
    if (reply->has_sack) {
        uint32_t most = reply->dsack && world->block_count == BLOCKS ? BLOCKS - 1 : world->block_count;
        memcpy(bytes + at, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * (most + (reply->dsack != 0)))}, 4);
        at += 4;
        if (reply->dsack) {
            bytes_put32(bytes + at, reply->dsack);
            bytes_put32(bytes + at + 4, reply->dsack + 1);
            at += 8;
        }
        for (uint32_t i = 0; i < most; i++, at += 8) {
            bytes_put32(bytes + at, world->blocks[i].left + world->odd.shift);
            bytes_put32(bytes + at + 4, world->blocks[i].right + world->odd.shift);
        }
    }
    bytes[12] = (uint8_t)(at << 2);
    fake_bytes(world->fake, packet, bytes, at + reply->payload, reply->delay_ns ? reply->delay_ns : RTT_NS);
}

static void send_ack(struct world *world, const struct probe_io_packet *packet, uint32_t dsack)
{
    world->acks++;
    send_reply(world, packet, &(struct reply){.flags = ACK_ONLY, .seq = world->snd_nxt, .ack = world->base + 1,
                                              .window = 65535, .has_sack = world->block_count > 0 || dsack,
                                              .dsack = world->odd.has_no_dsack ? 0 : dsack});
}

static void take_syn(struct world *world, const struct probe_io_packet *packet)
{
    world->base = world->last.seq;
    world->snd_nxt = ISN + 1;
    if (++world->syns <= world->odd.old_acks) {
        send_reply(world, packet, &(struct reply){.flags = ACK_ONLY, .seq = 77, .ack = 12345, .window = 1000});
        return;
    }
    struct reply reply = {.flags = PACKET_SYN | PACKET_ACK, .seq = ISN, .ack = world->base + 1,
                          .window = world->odd.has_shut_window ? 0 : 65535};
    send_reply(world, packet, &reply);
    for (uint32_t i = 0; i < world->odd.again; i++) {
        reply.delay_ns = RTT_NS + CLOCK_S;
        send_reply(world, packet, &reply);
    }
    if (world->odd.has_shut_window)
        send_reply(world, packet, &(struct reply){.flags = ACK_ONLY, .seq = ISN + 1, .ack = world->base + 1,
                                                  .window = 65535, .delay_ns = 5 * RTT_NS});
    if (world->odd.banner > 0) {
        send_reply(world, packet, &(struct reply){.flags = ACK_ONLY | PACKET_PSH, .seq = ISN + 1, .ack = world->base + 1,
                                                  .window = 65535, .payload = world->odd.banner,
                                                  .delay_ns = 3 * RTT_NS});
        world->snd_nxt += world->odd.banner;
    }
}

/* As hosts do: to the front, with what it touches; the fourth is forgotten. */
static void add_block(struct world *world, uint32_t left, uint32_t right)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < world->block_count; i++) {
        if (world->blocks[i].right == left)
            left = world->blocks[i].left;
        else
            world->blocks[kept++] = world->blocks[i];
    }
    kept = kept < BLOCKS - 1 ? kept : BLOCKS - 1;
    memmove(world->blocks + 1, world->blocks, kept * sizeof world->blocks[0]);
    world->blocks[0].left = left;
    world->blocks[0].right = right;
    world->block_count = kept + 1;
}

static void take_probe(struct world *world, const struct probe_io_packet *packet)
{
    uint32_t probe = world->probes++, end = world->last.seq + (uint32_t)world->last.payload_size;
    uint32_t lane_bytes = (50 + SESSION_LANES - 1) / SESSION_LANES + 1;
    assert_int_equal(world->last.seq, world->base + 2 + probe % SESSION_LANES * lane_bytes + probe / SESSION_LANES);
    if (world->odd.error_at == probe + 1) {
        uint8_t icmp[8 + 20 + 8] = {3, 13};
        icmp[8] = 0x45;
        icmp[8 + 8] = 1;
        icmp[8 + 9] = IPPROTO_TCP;
        icmp[8 + 4] = (uint8_t)(packet->ip_id >> 8);
        icmp[8 + 5] = (uint8_t)packet->ip_id;
        size_t size;
        memcpy(icmp + 8 + 16, sock_ip_bytes(&packet->dst, &size), 4);
        memcpy(icmp + 28, packet->bytes, 8);
        struct probe_io_packet from = *packet;
        from.protocol = IPPROTO_ICMP;
        uint16_t sum = (uint16_t)~packet_fold(packet_sum(icmp, sizeof icmp, 0));
        icmp[2] = (uint8_t)(sum >> 8);
        icmp[3] = (uint8_t)sum;
        fake_bytes(world->fake, &from, icmp, sizeof icmp, RTT_NS);
        return;
    }
    add_block(world, world->last.seq, end);
    if (world->odd.rst_after && world->probes > world->odd.rst_after) {
        send_reply(world, packet, &(struct reply){.flags = PACKET_RST, .seq = world->last.ack});
        return;
    }
    send_ack(world, packet, 0);
    if (world->odd.fin_after == world->probes)
        send_reply(world, packet, &(struct reply){.flags = PACKET_FIN | PACKET_ACK, .seq = world->snd_nxt++,
                                                  .ack = world->base + 1, .window = 65535});
    if (world->odd.stray_after == world->probes) {
        send_reply(world, packet, &(struct reply){.flags = PACKET_RST, .seq = world->snd_nxt - 100000});
        send_reply(world, packet, &(struct reply){.flags = ACK_ONLY, .seq = world->snd_nxt, .ack = world->base + 40,
                                                  .window = 65535});
        send_reply(world, packet, &(struct reply){.flags = ACK_ONLY, .seq = world->snd_nxt + 2000000,
                                                  .ack = world->base + 1, .window = 0});
    }
}

static void answer(struct fake *fake, const struct probe_io_packet *packet)
{
    struct world *world = fake->user;
    assert_int_equal(packet_parse_tcp(packet->bytes, packet->size, &world->last), 0);
    const struct packet_tcp *tcp = &world->last;
    if (tcp->flags & PACKET_RST) {
        world->rsts++;
        world->rst_seq = tcp->seq;
        return;
    }
    if (!(tcp->flags & PACKET_SYN))
        world->has_timestamps_always &= tcp->has_timestamps;
    if (tcp->flags & PACKET_SYN) {
        assert_true(tcp->has_sack_permitted && tcp->has_timestamps && tcp->has_scale && tcp->mss == 1460);
        take_syn(world, packet);
        return;
    }
    world->highest_ack = tcp->ack;
    if (tcp->payload_size == 0)
        return;
    if (tcp->seq == world->base) {
        world->nudges++;
        send_ack(world, packet, world->base);
    } else {
        take_probe(world, packet);
    }
}

static void on_done(void *user, const struct probe_ping_result *result)
{
    struct world *world = user;
    world->result = result;
    world->is_done = true;
}

static void open_world(struct world *world, const struct oddity *odd)
{
    memset(world, 0, sizeof *world);
    world->fake = fake_new(answer, world);
    world->odd = *odd;
    world->has_timestamps_always = true;
    arena_init(&world->arena, 1 << 22);
    assert_int_equal(probe_engine_new(&world->fake->io, &(struct probe_engine_settings){.seed = 7}, &world->engine, NULL),
                     0);
    probe_ping_defaults(&world->settings);
    world->settings.protocol = PROBE_TCP;
    world->settings.mode = PROBE_PING_SACK;
    world->settings.is_forced = odd->is_forced;
    assert_int_equal(sock_parse_ip("192.0.2.1", &world->settings.dst), 0);
    sock_set_port(&world->settings.dst, 443);
}

static void close_world(struct world *world)
{
    probe_engine_free(world->engine);
    fake_free(world->fake);
    arena_done(&world->arena);
}

static void start(struct world *world)
{
    assert_int_equal(probe_ping_start(world->engine, &world->settings, &world->arena, NULL, on_done, world, &world->ping,
                                      NULL),
                     0);
}

/* To the end; the session is closed at the target then, by resets it must accept. */
static const struct probe_ping_result *run(struct world *world, const struct oddity *odd)
{
    open_world(world, odd);
    start(world);
    fake_run(world->fake, 100 * CLOCK_S, &world->is_done);
    assert_true(world->is_done);
    assert_int_equal(probe_engine_stats(world->engine)->rounds, 0);
    return world->result;
}

static void assert_good(const struct world *world)
{
    const struct probe_ping_result *result = world->result;
    assert_int_equal(result->session, PROBE_SESSION_OPEN);
    assert_int_equal(result->sent, 50);
    assert_int_equal(result->received, 50);
    assert_int_equal(result->duplicates, 0);
    assert_int_equal(result->reordered, 0);
    assert_true(result->avg_rtt_ns == 20e6 && result->jitter_ns == 0);
    assert_int_equal(world->rsts, 2);
    assert_int_equal(world->rst_seq, world->base + 1);
}

static void a_good_target(void **state)
{
    (void)state;
    struct world world;
    const struct probe_ping_result *result = run(&world, &(struct oddity){0});
    assert_good(&world);
    assert_true(result->handshake_ns == RTT_NS);
    assert_int_equal(world.nudges, 7);
    assert_int_equal(world.syns, 1);
    assert_true(world.has_timestamps_always);
    assert_int_equal(world.highest_ack, ISN + 1);
    close_world(&world);
}

static void options_that_are_absent(void **state)
{
    (void)state;
    struct world world;
    (void)run(&world, &(struct oddity){.has_no_timestamps = true});
    assert_good(&world);
    assert_false(world.has_timestamps_always);
    close_world(&world);
    (void)run(&world, &(struct oddity){.has_no_dsack = true}); /* two are enough to see that they are not told */
    assert_good(&world);
    assert_int_equal(world.nudges, 3); /* with that of the warm-up */
    close_world(&world);
}

static void what_the_target_sends_is_acknowledged(void **state)
{
    (void)state;
    struct world world;
    (void)run(&world, &(struct oddity){.banner = 300});
    assert_good(&world);
    assert_int_equal(world.highest_ack, ISN + 301); /* over the wrap */
    close_world(&world);
}

static void handshakes_that_are_odd(void **state)
{
    (void)state;
    struct world world;
    (void)run(&world, &(struct oddity){.has_shut_window = true});
    assert_good(&world);
    close_world(&world);
    (void)run(&world, &(struct oddity){.again = 2});
    assert_good(&world);
    assert_int_equal(world.syns, 1);
    close_world(&world);
    const struct probe_ping_result *result = run(&world, &(struct oddity){.old_acks = 1});
    assert_int_equal(result->received, 50);
    assert_int_equal(world.syns, 2);
    assert_int_equal(world.rsts, 3); /* one cleared the old session away */
    assert_true(result->handshake_ns == 0); /* two SYNs were out */
    close_world(&world);
}

static void strays_do_no_harm(void **state)
{
    (void)state;
    struct world world;
    (void)run(&world, &(struct oddity){.stray_after = 10});
    assert_good(&world);
    close_world(&world);
}

static void resets_and_closing_end_it(void **state)
{
    (void)state;
    struct world world;
    const struct probe_ping_result *result = run(&world, &(struct oddity){.rst_after = 10});
    assert_int_equal(result->session, PROBE_SESSION_RESET);
    assert_int_equal(result->received, 10);
    assert_int_equal(result->sent, 10); /* what became of the eleventh nobody knows */
    assert_int_equal(world.rsts, 0);
    close_world(&world);
    result = run(&world, &(struct oddity){.fin_after = 10});
    assert_int_equal(result->session, PROBE_SESSION_FINISHED);
    assert_int_equal(result->received, 10);
    assert_int_equal(world.rsts, 2);
    assert_int_equal(world.rst_seq, world.base + 1);
    close_world(&world);
}

static void blocks_of_other_numbers(void **state)
{
    (void)state;
    struct world world;
    const struct probe_ping_result *result = run(&world, &(struct oddity){.shift = 1000000});
    assert_int_equal(result->session, PROBE_SESSION_NO_SACK);
    assert_true(result->has_odd_blocks);
    assert_int_equal(result->received, 0);
    assert_true(isnan(result->avg_rtt_ns));
    close_world(&world);
}

/* Forced, too, it is no loss: whatever the shift, forwards or back. */
static void blocks_of_other_numbers_though_forced(void **state)
{
    (void)state;
    static const uint32_t shifts[] = {1000000, 0xfff00000, 0x7fffff00, 0x80001000, 5000, 0xffffe000};
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        struct world world;
        const struct probe_ping_result *result = run(&world, &(struct oddity){.shift = shifts[i], .is_forced = true});
        assert_int_equal(result->session, PROBE_SESSION_NO_SACK);
        assert_true(result->has_odd_blocks);
        assert_int_equal(result->received, 0);
        close_world(&world);
    }
}

static void a_router_answers_a_probe(void **state)
{
    (void)state;
    struct world world;
    const struct probe_ping_result *result = run(&world, &(struct oddity){.error_at = 5});
    assert_int_equal(result->sent, 50);
    assert_int_equal(result->received, 49);
    assert_int_equal(result->errors, 1);
    assert_int_equal(result->probes[4].status, PROBE_PING_ERROR);
    assert_int_equal(result->probes[4].icmp_code, 13);
    assert_int_equal(result->error_type, 3);
    close_world(&world);
}

static void a_full_transmit_buffer(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, &(struct oddity){0});
    world.fake->room = 1;
    start(&world);
    fake_run(world.fake, 100 * CLOCK_S, &world.is_done);
    assert_true(world.is_done);
    assert_int_equal(world.result->received, 50);
    assert_true(world.result->avg_rtt_ns == 20e6);
    fake_run(world.fake, CLOCK_S, NULL);
    assert_int_equal(world.rsts, 2);
    close_world(&world);
}

static void a_kernel_that_refuses(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, &(struct oddity){0});
    world.fake->refuse = 101; /* ENETUNREACH */
    start(&world);
    fake_run(world.fake, 100 * CLOCK_S, &world.is_done);
    assert_true(world.is_done);
    assert_int_equal(world.result->session, PROBE_SESSION_UNSENT);
    assert_int_equal(world.result->sent, 0);
    assert_int_equal(world.result->refused, 1);
    assert_non_null(strstr(world.result->error_text, "Network is unreachable"));
    close_world(&world);
}

/* However early it is stopped, what may be half open is reset, even though nobody is left to wake the engine for it. */
static void stopping_resets(void **state)
{
    (void)state;
    for (int64_t ms = 0; ms < 400; ms += 5) {
        struct world world;
        open_world(&world, &(struct oddity){0});
        start(&world);
        fake_run(world.fake, ms * CLOCK_MS, NULL);
        probe_ping_stop(world.ping);
        fake_run(world.fake, CLOCK_S, NULL);
        assert_int_equal(world.rsts, world.syns > 0 ? 2 : 0);
        assert_true(world.syns == 0 || world.rst_seq == world.base + 1);
        close_world(&world);
    }
}

static void settings_are_checked(void **state)
{
    (void)state;
    struct world world;
    struct error err;
    struct probe_ping *pings[5];
    open_world(&world, &(struct oddity){0});
    world.settings.protocol = PROBE_ICMP;
    assert_int_equal(probe_ping_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &pings[0], &err),
                     -E_INVALID);
    assert_string_equal(err.where, "mode");
    world.settings.protocol = PROBE_TCP;
    world.settings.count = 1023;
    assert_int_equal(probe_ping_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &pings[0], &err),
                     -E_RANGE);
    world.settings.count = 50;
    for (int i = 0; i < 5; i++) /* four quiet ports */
        assert_int_equal(probe_ping_start(world.engine, &world.settings, &world.arena, NULL, on_done, &world, &pings[i],
                                          &err),
                         i < 4 ? 0 : -E_LIMIT);
    assert_int_equal(probe_engine_stats(world.engine)->rounds, 4);
    for (int i = 0; i < 4; i++)
        probe_ping_stop(pings[i]);
    assert_int_equal(probe_engine_stats(world.engine)->rounds, 0);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(a_good_target),
        cmocka_unit_test(options_that_are_absent),
        cmocka_unit_test(what_the_target_sends_is_acknowledged),
        cmocka_unit_test(handshakes_that_are_odd),
        cmocka_unit_test(strays_do_no_harm),
        cmocka_unit_test(resets_and_closing_end_it),
        cmocka_unit_test(blocks_of_other_numbers), cmocka_unit_test(blocks_of_other_numbers_though_forced),
        cmocka_unit_test(a_router_answers_a_probe),
        cmocka_unit_test(a_full_transmit_buffer),
        cmocka_unit_test(a_kernel_that_refuses),
        cmocka_unit_test(stopping_resets),
        cmocka_unit_test(settings_are_checked),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
