/*
 * `oculi measure` against routers and hosts that are odd in ways the real Internet is: see odd_net.h.
 */
#include "odd_net.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static const char *oculi;

/* Measures the target in the scene and returns the object; the caller owns the reference. */
static json_t *measure(odd_answer_fn *scene, bool is_v6, const char *option, const char *value)
{
    const char *argv[] = {oculi, "measure", "agent-to-server", "--server", is_v6 ? ODD_TARGET6 : ODD_TARGET,
                          "--protocol", "icmp", "--json", "--num-path-traces", "2",
                          option ? option : "--fixed-packet-rate", option ? value : "100", NULL};
    odd_scene(scene);
    struct harness_output output = harness_run(argv, 40, 0);
    odd_scene(NULL);
    if (output.status != 0)
        fail_msg("status %d: %s", output.status, output.err);
    json_t *json = harness_json(output.out);
    harness_free(&output);
    return json;
}

static void assert_stream(json_t *json, int sent, int received, int duplicates)
{
    int got_sent = (int)harness_number(json, "network.oculi.sent");
    int got_received = (int)harness_number(json, "network.oculi.received");
    int got_duplicates = (int)harness_number(json, "network.oculi.duplicates");
    if (got_sent != sent || got_received != received || got_duplicates != duplicates)
        fail_msg("sent %d received %d duplicates %d, not %d %d %d", got_sent, got_received, got_duplicates, sent,
                 received, duplicates);
    double loss = 100.0 * (sent - received) / sent;
    assert_true(harness_number(json, "network.loss") == loss);
    assert_int_equal(harness_at(json, "network.avgLatency") != NULL, received > 0);
    assert_int_equal(json_array_size(harness_at(json, "network.oculi.rttsUs")), sent);
}

/* Every trace has exactly these routers in their places (hops 1..count) and this end. */
static void assert_paths(json_t *json, bool is_v6, unsigned count, const char *end)
{
    json_t *traces = harness_at(json, "pathVis.pathTraces");
    assert_int_equal(json_array_size(traces), 2);
    for (size_t t = 0; t < json_array_size(traces); t++) {
        json_t *trace = json_array_get(traces, t);
        json_t *hops = harness_at(trace, "hops");
        assert_string_equal(harness_string(trace, "oculi.end"), end);
        if (json_array_size(hops) != count)
            fail_msg("%zu hops instead of %u", json_array_size(hops), count);
        for (unsigned i = 0; i < count; i++) {
            json_t *hop = json_array_get(hops, i);
            assert_int_equal(harness_number(hop, "hop"), i + 1);
            assert_string_equal(harness_string(hop, "ipAddress"), odd_router(is_v6, i + 1));
        }
    }
}

static json_t *hop_of(json_t *json, unsigned trace, unsigned hop)
{
    char path[64];
    snprintf(path, sizeof path, "pathVis.pathTraces[%u].hops[%u]", trace, hop - 1);
    json_t *found = harness_at(json, path);
    assert_non_null(found);
    return found;
}

/* --- what is normal ----------------------------------------------------------------------------------------------- */

static void a_plain_chain(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        json_t *json = measure(odd_normal, is_v6, NULL, NULL);
        assert_stream(json, 50, 50, 0);
        assert_paths(json, is_v6, ODD_ROUTERS + 1, "reached");
        assert_string_equal(harness_string(json, "pathVis.sourceIp"), is_v6 ? ODD_OWN6 : ODD_OWN);
        for (unsigned hop = 1; hop <= ODD_ROUTERS; hop++) {
            assert_int_equal(harness_number(hop_of(json, 0, hop), "oculi.quotedTtl"), 1);
            assert_int_equal(harness_number(hop_of(json, 0, hop), "oculi.replyTtl"), 65 - hop);
            assert_string_equal(harness_string(hop_of(json, 0, hop), "oculi.icmp"), is_v6 ? "3-0" : "11-0");
        }
        assert_string_equal(harness_string(hop_of(json, 0, ODD_ROUTERS + 1), "oculi.icmp"), is_v6 ? "129-0" : "0-0");
        json_decref(json);
    }
}

/* --- quotations --------------------------------------------------------------------------------------------------- */

static void quote_little(const struct odd_probe *probe)
{
    if (probe->ttl > ODD_ROUTERS)
        odd_reply(probe, NULL, ODD_BYTES);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, probe->ttl),
                                             .type = probe->is_v6 ? 3 : 11,
                                             .quoted_ttl = -1, .quote_max = probe->is_v6 ? 48 : 28});
}

static void routers_that_quote_eight_bytes(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        json_t *json = measure(quote_little, is_v6, NULL, NULL);
        assert_stream(json, 50, 50, 0);
        assert_paths(json, is_v6, ODD_ROUTERS + 1, "reached");
        json_decref(json);
    }
}

/* Version 2, checksum, then one MPLS object with two entries: 299776 and, at the bottom, 16; TTL 1 each. */
static size_t make_labels(uint8_t extension[static 16])
{
    static const uint8_t bytes[16] = {0x20, 0, 0, 0, 0x00, 0x0c, 1, 1, 0x49, 0x30, 0x00, 0x01, 0x00, 0x01, 0x0b, 0x01};
    memcpy(extension, bytes, sizeof bytes);
    uint16_t sum = odd_checksum(bytes, sizeof bytes, 0);
    extension[2] = (uint8_t)(sum >> 8);
    extension[3] = (uint8_t)sum;
    return sizeof bytes;
}

static void label(const struct odd_probe *probe, bool is_length_told)
{
    uint8_t extension[16];
    if (probe->ttl != 2) {
        odd_normal(probe);
        return;
    }
    odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, 2), .type = probe->is_v6 ? 3 : 11,
                                         .quoted_ttl = -1, .pad_to = 128, .extension = extension,
                                         .extension_size = make_labels(extension),
                                         .length_field = !is_length_told ? 0 : probe->is_v6 ? 16 : 32});
}

static void label_told(const struct odd_probe *probe)
{
    label(probe, true);
}

static void label_untold(const struct odd_probe *probe)
{
    label(probe, false);
}

static void labels_with_and_without_a_length(void **state)
{
    (void)state;
    odd_answer_fn *const scenes[] = {label_told, label_untold};
    for (size_t i = 0; i < 4; i++) {
        bool is_v6 = i >= 2;
        json_t *json = measure(scenes[i % 2], is_v6, NULL, NULL);
        assert_paths(json, is_v6, ODD_ROUTERS + 1, "reached");
        assert_string_equal(harness_string(hop_of(json, 0, 2), "mpls"), "L=299776,E=0,S=0,T=1; L=16,E=5,S=1,T=1");
        assert_null(harness_at(hop_of(json, 0, 1), "mpls"));
        json_decref(json);
    }
}

static void break_labels(const struct odd_probe *probe)
{
    uint8_t extension[16];
    if (probe->ttl != 2) {
        odd_normal(probe);
        return;
    }
    size_t size = make_labels(extension);
    extension[2] ^= 0xff; /* the checksum no longer fits: what looks like an extension is just payload */
    odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, 2), .type = 11, .quoted_ttl = -1,
                                         .pad_to = 128, .extension = extension, .extension_size = size});
}

static void bytes_that_only_look_like_labels(void **state)
{
    (void)state;
    json_t *json = measure(break_labels, false, NULL, NULL);
    assert_paths(json, false, ODD_ROUTERS + 1, "reached");
    assert_null(harness_at(hop_of(json, 0, 2), "mpls"));
    json_decref(json);
}

/* What a source NAT before the second router leaves in the quotation when it does not look inside errors. */
static void rewrite_source(uint8_t *quote, size_t size)
{
    (void)size;
    inet_pton(AF_INET, "203.0.113.77", quote + 12);
    quote[10] = quote[11] = 0;
    uint16_t sum = odd_checksum(quote, 20, 0);
    quote[10] = (uint8_t)(sum >> 8);
    quote[11] = (uint8_t)sum;
}

static void nat_source(const struct odd_probe *probe)
{
    if (probe->ttl < 2 || probe->ttl > ODD_ROUTERS)
        odd_normal(probe);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, probe->ttl), .type = 11,
                                             .quoted_ttl = -1, .rewrite = rewrite_source});
}

static void a_nat_that_rewrites_the_source(void **state)
{
    (void)state;
    json_t *json = measure(nat_source, false, NULL, NULL);
    assert_stream(json, 50, 50, 0);
    assert_paths(json, false, ODD_ROUTERS + 1, "reached");
    json_decref(json);
}

/* Old kernels hand the length out in host order and with the header taken off, decrement before they quote, and change
 * the TOS and the IP identification. */
static void spoil_header(uint8_t *quote, size_t size)
{
    (void)size;
    uint8_t high = quote[2];
    quote[2] = quote[3];
    quote[3] = high;
    quote[1] = 0xb8;
    quote[4] ^= 0x5a;
    quote[10] ^= 0xff;
}

static void spoil(const struct odd_probe *probe)
{
    if (probe->ttl > ODD_ROUTERS)
        odd_reply(probe, NULL, ODD_BYTES);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, probe->ttl), .type = 11,
                                             .quoted_ttl = 0, .rewrite = spoil_header});
}

static void quotations_with_a_spoilt_header(void **state)
{
    (void)state;
    json_t *json = measure(spoil, false, NULL, NULL);
    assert_stream(json, 50, 50, 0);
    assert_paths(json, false, ODD_ROUTERS + 1, "reached");
    assert_int_equal(harness_number(hop_of(json, 0, 1), "oculi.quotedTtl"), 0);
    json_decref(json);
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

static void reply_thrice(const struct odd_probe *probe)
{
    odd_normal(probe);
    if (probe->ttl > ODD_ROUTERS) {
        odd_normal(probe);
        odd_normal(probe);
    }
}

static void replies_that_come_three_times(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        json_t *json = measure(reply_thrice, is_v6, NULL, NULL);
        assert_stream(json, 50, 50, 100);
        assert_paths(json, is_v6, ODD_ROUTERS + 1, "reached");
        json_decref(json);
    }
}

static void reply_short(const struct odd_probe *probe)
{
    if (probe->ttl > ODD_ROUTERS)
        odd_reply(probe, NULL, 20);
    else
        odd_normal(probe);
}

static void replies_with_a_cut_payload(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        json_t *json = measure(reply_short, is_v6, "--ping-payload-size", "600");
        assert_stream(json, 50, 50, 0);
        assert_paths(json, is_v6, ODD_ROUTERS + 1, "reached");
        json_decref(json);
    }
}

/* Answers come from another interface of the target: they are the target's all the same. */
static void reply_elsewhere(const struct odd_probe *probe)
{
    if (probe->ttl > ODD_ROUTERS)
        odd_reply(probe, probe->is_v6 ? "2001:db8:77::a" : "10.77.0.10", ODD_BYTES);
    else
        odd_normal(probe);
}

static void replies_from_another_address(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        json_t *json = measure(reply_elsewhere, is_v6, NULL, NULL);
        json_t *last = hop_of(json, 0, ODD_ROUTERS + 1);
        assert_stream(json, 50, 50, 0);
        assert_string_equal(harness_string(json, "pathVis.pathTraces[0].oculi.end"), "reached");
        assert_string_equal(harness_string(last, "ipAddress"), is_v6 ? "2001:db8:77::a" : "10.77.0.10");
        json_decref(json);
    }
}

/* Every second reply is held back until the next one has gone out, so 25 of 50 come late. */
static void reply_crossed(const struct odd_probe *probe)
{
    static uint8_t packet[ODD_BYTES];
    static struct odd_probe held;
    if (probe->ttl <= ODD_ROUTERS || probe->ttl < 64) { /* the trace, and its estimate, go straight */
        odd_normal(probe);
        return;
    }
    if (!held.packet) {
        memcpy(packet, probe->packet, probe->size);
        held = *probe;
        held.packet = packet;
        held.icmp = packet + (probe->icmp - probe->packet);
        return;
    }
    odd_normal(probe);
    odd_normal(&held);
    held.packet = NULL;
}

static void replies_in_another_order(void **state)
{
    (void)state;
    const char *const rate[] = {"--fixed-packet-rate", "50"};
    json_t *json = measure(reply_crossed, false, rate[0], rate[1]);
    int reordered = (int)harness_number(json, "network.oculi.reordered");
    assert_true(harness_number(json, "network.oculi.sent") == 50);
    assert_true(harness_number(json, "network.oculi.received") >= 49);
    if (reordered < 24 || reordered > 25)
        fail_msg("%d reordered", reordered);
    json_decref(json);
}

/* Replies to somebody else: another identifier, another sequence, another payload; errors about other packets. */
static void make_noise(const struct odd_probe *probe)
{
    uint8_t packet[ODD_BYTES];
    struct odd_probe other = *probe;
    memcpy(packet, probe->packet, probe->size);
    other.packet = packet;
    other.icmp = packet + (probe->icmp - probe->packet);
    uint8_t *icmp = packet + (probe->icmp - probe->packet);
    icmp[4] ^= 0x40;
    odd_normal(&other);
    icmp[4] ^= 0x40;
    icmp[6] ^= 0x80;
    odd_normal(&other);
    packet[9] = 17; /* a quoted datagram is none of ours */
    odd_error(&other, &(struct odd_error){.from = "10.77.66.66", .type = 3, .code = 13, .quoted_ttl = -1});
    odd_normal(probe);
}

static void answers_to_somebody_else(void **state)
{
    (void)state;
    json_t *json = measure(make_noise, false, NULL, NULL);
    assert_stream(json, 50, 50, 0);
    assert_paths(json, false, ODD_ROUTERS + 1, "reached");
    json_decref(json);
}

static void never_answer(const struct odd_probe *probe)
{
    (void)probe;
}

static void nobody_answers_at_all(void **state)
{
    (void)state;
    json_t *json = measure(never_answer, false, NULL, NULL);
    assert_stream(json, 50, 0, 0);
    assert_paths(json, false, 0, "silent");
    assert_true(odd_echo_count() >= 50);
    json_decref(json);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static unsigned end_code, end_type;

/* Router 3 refuses whatever would go beyond it. */
static void refuse_at_three(const struct odd_probe *probe)
{
    if (probe->ttl < 3)
        odd_normal(probe);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, 3), .type = (uint8_t)end_type,
                                             .code = (uint8_t)end_code, .quoted_ttl = -1});
}

static void refusals_by_a_router(void **state)
{
    (void)state;
    static const struct {
        bool is_v6;
        unsigned code;
        const char *end;
    } cases[] = {{false, 0, "unreachable"}, {false, 1, "unreachable"}, {false, 9, "prohibited"},
                 {false, 10, "prohibited"}, {false, 13, "prohibited"}, {true, 0, "unreachable"},
                 {true, 1, "prohibited"},   {true, 3, "unreachable"},  {true, 5, "prohibited"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char icmp[16];
        end_type = cases[i].is_v6 ? 1 : 3;
        end_code = cases[i].code;
        snprintf(icmp, sizeof icmp, "%u-%u", end_type, end_code);
        json_t *json = measure(refuse_at_three, cases[i].is_v6, NULL, NULL);
        assert_stream(json, 50, 0, 0);
        assert_paths(json, cases[i].is_v6, 3, cases[i].end);
        assert_string_equal(harness_string(hop_of(json, 0, 3), "oculi.icmp"), icmp);
        assert_string_equal(harness_string(json, "network.oculi.icmp"), icmp);
        assert_string_equal(harness_string(json, "network.oculi.icmpFrom"), odd_router(cases[i].is_v6, 3));
        assert_int_equal(harness_number(json, "network.oculi.icmpErrors"), 50);
        json_decref(json);
    }
}

/* A target that answers every probe as if it were a router: it was reached, but no echo came back. */
static void expire_at_target(const struct odd_probe *probe)
{
    if (probe->ttl <= ODD_ROUTERS)
        odd_normal(probe);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, ODD_ROUTERS + 1),
                                             .type = probe->is_v6 ? 3 : 11, .quoted_ttl = -1});
}

static void a_target_that_answers_as_a_router(void **state)
{
    (void)state;
    json_t *json = measure(expire_at_target, false, NULL, NULL);
    assert_paths(json, false, ODD_ROUTERS + 1, "reached");
    assert_true(harness_number(json, "network.oculi.received") == 0);
    json_decref(json);
}

/* Routers 2 and 3 send packets to each other until they expire. */
static void run_in_circles(const struct odd_probe *probe)
{
    if (probe->ttl == 1)
        odd_normal(probe);
    else
        odd_error(probe, &(struct odd_error){.from = odd_router(probe->is_v6, probe->ttl % 2 ? 3 : 2),
                                             .type = probe->is_v6 ? 3 : 11, .quoted_ttl = -1});
}

static void a_loop(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        json_t *json = measure(run_in_circles, is_v6, NULL, NULL);
        assert_string_equal(harness_string(json, "pathVis.pathTraces[0].oculi.end"), "loop");
        assert_string_equal(harness_string(hop_of(json, 0, 2), "ipAddress"), odd_router(is_v6, 2));
        assert_string_equal(harness_string(hop_of(json, 0, 3), "ipAddress"), odd_router(is_v6, 3));
        json_decref(json);
    }
}

static void hide_three(const struct odd_probe *probe)
{
    if (probe->ttl != 3)
        odd_normal(probe);
}

static void a_silent_router(void **state)
{
    (void)state;
    json_t *json = measure(hide_three, false, NULL, NULL);
    json_t *trace = harness_at(json, "pathVis.pathTraces[0]");
    assert_string_equal(harness_string(trace, "oculi.end"), "reached");
    assert_int_equal(json_array_size(harness_at(trace, "hops")), ODD_ROUTERS);
    assert_int_equal(harness_number(trace, "hops[2].hop"), 4);
    assert_int_equal(json_array_size(harness_at(trace, "oculi.silentHops")), 1);
    assert_int_equal(harness_number(trace, "oculi.silentHops[0].hop"), 3);
    assert_true(harness_number(trace, "oculi.silentHops[0].sent") >= 2);
    json_decref(json);
}

/* --- interrupted -------------------------------------------------------------------------------------------------- */

static void an_interrupt_prints_what_there_is(void **state)
{
    (void)state;
    const char *argv[] = {oculi, "measure", "agent-to-server", "--server", ODD_TARGET, "--protocol", "icmp", "--json",
                          "--fixed-packet-rate", "10", NULL};
    odd_scene(odd_normal);
    struct harness_output output = harness_run(argv, 20, 1500);
    odd_scene(NULL);
    assert_int_equal(output.status, 0);
    json_t *json = harness_json(output.out);
    int sent = (int)harness_number(json, "network.oculi.sent");
    assert_true(sent >= 5 && sent < 50);
    assert_true(json_is_true(harness_at(json, "network.oculi.partial")));
    assert_true(harness_number(json, "network.oculi.received") >= sent - 1);
    json_decref(json);
    harness_free(&output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_chain),
        cmocka_unit_test(routers_that_quote_eight_bytes),
        cmocka_unit_test(labels_with_and_without_a_length),
        cmocka_unit_test(bytes_that_only_look_like_labels),
        cmocka_unit_test(a_nat_that_rewrites_the_source),
        cmocka_unit_test(quotations_with_a_spoilt_header),
        cmocka_unit_test(replies_that_come_three_times),
        cmocka_unit_test(replies_with_a_cut_payload),
        cmocka_unit_test(replies_from_another_address),
        cmocka_unit_test(replies_in_another_order),
        cmocka_unit_test(answers_to_somebody_else),
        cmocka_unit_test(nobody_answers_at_all),
        cmocka_unit_test(refusals_by_a_router),
        cmocka_unit_test(a_target_that_answers_as_a_router),
        cmocka_unit_test(a_loop),
        cmocka_unit_test(a_silent_router),
        cmocka_unit_test(an_interrupt_prints_what_there_is),
    };
    const char *obstacle = harness_obstacle();
    if (obstacle || argc < 2)
        return harness_skip(obstacle ? obstacle : "the program to check was not named");
    oculi = argv[1];
    odd_open();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
