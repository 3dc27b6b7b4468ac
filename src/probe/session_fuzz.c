/* A target that answers every packet of a stream in SACK mode with any segments at all: the round ends in its time, sends no
 * more than it may, and its figures agree with each other. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "probe/engine.h"
#include "probe/fake_io.h"
#include "probe/ping.h"

#define BLOCKS 4u
#define OPTIONS 40u
#define PROBES 50u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input: one answer after the other. */
struct script {
    const uint8_t *data;
    size_t size;
    uint32_t base; /* sequence number of the SYN */
    uint32_t answers;
    bool is_done;
    const struct probe_ping_result *result;
};

static uint8_t take(struct script *script)
{
    if (script->size == 0)
        return 0;
    script->size--;
    return *script->data++;
}

static uint32_t take_offset(struct script *script)
{
    uint32_t high = take(script);
    return (uint32_t)(int32_t)(int16_t)(uint16_t)(high << 8 | take(script));
}

/* Blocks relative to the session, then raw options; returns the bytes, a multiple of 4. */
static size_t put_options(struct script *script, uint8_t *out)
{
    uint8_t blocks = take(script) % (BLOCKS + 1);
    size_t at = 0;
    if (blocks > 0) {
        out[at++] = 5;
        out[at++] = (uint8_t)(2 + 8 * blocks);
    }
    for (uint8_t i = 0; i < blocks; i++, at += 8) {
        bytes_put32(out + at, script->base + take_offset(script));
        bytes_put32(out + at + 4, script->base + take_offset(script));
    }
    for (uint8_t raw = take(script) % 24; raw > 0 && at < OPTIONS; raw--)
        out[at++] = take(script);
    while (at % 4 != 0)
        out[at++] = 1;
    return at;
}

static void answer(struct fake *fake, const struct probe_io_packet *packet)
{
    struct script *script = fake->user;
    const uint8_t *sent = packet->bytes;
    assert(packet->protocol == IPPROTO_TCP && packet->size >= PACKET_TCP_HEADER_BYTES);
    if (sent[13] & PACKET_SYN)
        script->base = bytes_get32(sent + 4);
    for (uint8_t count = take(script) % 4; count > 0 && script->size > 0; count--) {
        uint8_t bytes[PACKET_TCP_HEADER_BYTES + OPTIONS + 256] = {0};
        memcpy(bytes, sent + 2, 2);
        memcpy(bytes + 2, sent, 2);
        int64_t delay = take(script) * CLOCK_MS;
        bytes[13] = take(script);
        bytes_put32(bytes + 4, take_offset(script));
        bytes_put32(bytes + 8, script->base + 1 + (take(script) ? take_offset(script) : 0));
        bytes[14] = take(script);
        size_t options = put_options(script, bytes + PACKET_TCP_HEADER_BYTES);
        bytes[12] = (uint8_t)((PACKET_TCP_HEADER_BYTES + options) << 2);
        fake_bytes(fake, packet, bytes, PACKET_TCP_HEADER_BYTES + options + take(script), delay);
        script->answers++;
    }
}

static void on_done(void *user, const struct probe_ping_result *result)
{
    struct script *script = user;
    script->is_done = true;
    script->result = result;
}

static void check(const struct script *script, const struct fake *fake)
{
    const struct probe_ping_result *result = script->result;
    uint32_t answered = 0, arrived = 0;
    assert(result->received <= result->sent && result->sent <= PROBES && result->probe_count == PROBES);
    for (uint32_t i = 0; i < PROBES; i++) {
        const struct probe_ping_probe *probe = &result->probes[i];
        answered += probe->status == PROBE_PING_ANSWERED;
        arrived += probe->has_arrived;
        assert(!probe->has_arrived || probe->status == PROBE_PING_LOST);
        assert(probe->status != PROBE_PING_ANSWERED || (probe_ping_rtt_ns(probe) > 0 && probe->tx_ns > 0));
        assert(probe->status != PROBE_PING_WAITING);
    }
    assert(answered == result->received && arrived == result->lost_on_return);
    assert(result->received + result->lost_on_return <= result->sent);
    assert((result->received == 0) == (isnan(result->avg_rtt_ns) != 0));
    assert(result->handshake_ns >= 0);
    /* Three SYNs, thirty nudges before the probes, those, a nudge for each at most, one acknowledgement or reset for each
     * answer, two resets. */
    assert(fake->sent <= 3 + 30 + 2 * PROBES + 2 * script->answers + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {.data = data, .size = size < 4000 ? size : 4000};
    struct fake *fake = fake_new(answer, &script);
    struct probe_engine *engine;
    struct probe_ping *ping;
    struct arena arena;
    struct probe_ping_settings settings;
    arena_init(&arena, 1 << 20);
    int rc = probe_engine_new(&fake->io, &(struct probe_engine_settings){.seed = 3, .max_rounds = 4}, &engine, NULL);
    assert(rc == 0);
    probe_ping_defaults(&settings);
    settings.protocol = PROBE_TCP;
    settings.mode = PROBE_PING_SACK;
    uint8_t kind = take(&script);
    settings.is_forced = kind & 1;
    settings.payload_bytes = kind & 2 ? 100 : 1;
    settings.rate_pps = kind & 4 ? 100 : 0;
    (void)sock_parse_ip(kind & 8 ? "2001:db8::1" : "192.0.2.1", &settings.dst);
    sock_set_port(&settings.dst, 443);
    rc = probe_ping_start(engine, &settings, &arena, NULL, on_done, &script, &ping, NULL);
    assert(rc == 0);
    fake_run(fake, 9 * CLOCK_S, &script.is_done);
    assert(script.is_done && probe_engine_stats(engine)->rounds == 0);
    check(&script, fake);
    probe_engine_free(engine);
    fake_free(fake);
    arena_done(&arena);
    return 0;
}
