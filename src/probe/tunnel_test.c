/* Checks of the inference of MPLS tunnels: what hops look like in the field, and what they must not be taken for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "probe/tunnel.h"

#define MAX_HOPS 80u

/* Hops in words: "quoted/reply TTL/echo TTL!label TTL", the last two optional; "*" silent, "=" before: the same
 * address again, "T" the target. */
struct path {
    struct arena arena;
    struct probe_trace_hop hops[MAX_HOPS];
    struct packet_label labels[MAX_HOPS];
    uint8_t echoes[MAX_HOPS];
    uint32_t count;
    struct tunnel_list list;
};

static void read_hop(struct path *path, const char *word)
{
    uint32_t i = path->count++;
    struct probe_trace_hop *hop = &path->hops[i];
    char address[32];
    hop->ttl = (uint8_t)(i + 1);
    if (word[0] == '*')
        return;
    bool is_same = word[0] == '=';
    (void)snprintf(address, sizeof address, "10.0.0.%u", is_same ? i : i + 1);
    assert_int_equal(sock_parse_ip(address, &hop->addr), 0);
    if (word[0] == 'T') {
        hop->is_target = true;
        hop->reply_ttl = 55;
        return;
    }
    unsigned quoted = 0, reply = 0, echo = 0, label_ttl = 0;
    const char *label = strchr(word, '!');
    assert_true(sscanf(word + is_same, "%u/%u/%u", &quoted, &reply, &echo) >= 2);
    hop->icmp_type = 11;
    hop->has_quote = true;
    hop->quoted_ttl = (uint8_t)quoted;
    hop->reply_ttl = (uint8_t)reply;
    path->echoes[i] = (uint8_t)echo;
    if (label) {
        assert_int_equal(sscanf(label, "!%u", &label_ttl), 1);
        path->labels[i] = (struct packet_label){.label = 16000 + i, .ttl = (uint8_t)label_ttl, .is_bottom = true};
        hop->labels = &path->labels[i];
        hop->label_count = 1;
    }
}

static void open_path(struct path *path, const char *words)
{
    char text[1000];
    memset(path, 0, sizeof *path);
    arena_init(&path->arena, 1 << 20);
    assert_true(strlen(words) < sizeof text);
    (void)snprintf(text, sizeof text, "%s", words);
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        read_hop(path, word);
    assert_int_equal(tunnel_infer(path->hops, path->count, path->echoes, &path->arena, &path->list), 0);
    assert_int_equal(path->list.hop_count, path->count);
}

/* "explicit certain 3-5 3, opaque certain 7 2": hops by TTL, then the length. Hints too. */
static const char *found(const struct path *path)
{
    static char text[1000];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < path->list.count; i++) {
        const struct tunnel *t = &path->list.items[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %s %u", i ? ", " : "", tunnel_kind_names[t->kind],
                               tunnel_confidence_names[t->confidence], t->first + 1);
        if (t->last != t->first)
            at += (size_t)snprintf(text + at, sizeof text - at, "-%u", t->last + 1);
        at += (size_t)snprintf(text + at, sizeof text - at, " %u%s", t->length, t->is_length_exact ? "" : "?");
    }
    return text;
}

struct sample {
    const char *hops, *tunnels;
};

static void check_all(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct path path;
        open_path(&path, samples[i].hops);
        if (strcmp(found(&path), samples[i].tunnels) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", samples[i].hops, found(&path), samples[i].tunnels);
        arena_done(&path.arena);
    }
}
#define CHECK_ALL(samples) check_all(samples, sizeof(samples) / sizeof(samples)[0])

static void labels_make_explicit_tunnels(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1/255 1/254 1/253!1 2/252!1 3/251!1 1/250 T", "explicit certain 3-5 3"},
        {"1/255 1/254 1/253!1 1/252!1 1/251!1 1/250 T", "explicit certain 3-5 3"}, /* quoted as received by IP */
        {"1/255 1/254 0/253!1 0/252!0 1/251 T", "explicit certain 3-4 2"},
        {"1/255 1/254 1/253!1 1/252 T", "explicit certain 3 1"},
        {"1/255 1/254 1/253!1 * 3/251!1 1/250 T", "explicit certain 3-5 3"},
        {"1/255 1/254 1/253!1 2/252!1 * T", "explicit certain 3-4 2?"}, /* who knows how far */
        /* One tunnel ends where the next begins. */
        {"1/255 1/254 1/253!1 2/252!1 1/251!1 2/250!1 1/249 T", "explicit certain 3-4 2, explicit certain 5-6 2"},
        /* Routers without RFC 4950 inside one: at the beginning, in the middle, at the end. */
        {"1/255 1/254 1/253 2/252!1 3/251!1 1/250 T", "explicit certain 3-5 3"},
        {"1/255 1/254 1/253!1 2/252 3/251!1 1/250 T", "explicit certain 3-5 3"},
        {"1/255 1/254 1/253!1 2/252!1 3/251 1/250 T", "explicit certain 3-5 3"},
        {"1/255 1/254 * 2/252!1 1/250 T", "explicit certain 3-4 2"},
        {"1/255 1/254 * * * 4/251!1 1/250 T", "explicit certain 3-6 4"},
    };
    CHECK_ALL(samples);
}

static void a_lone_label_near_255_is_opaque(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1/255 1/254 1/253!252 1/252 T", "opaque certain 3 3"},
        {"1/255 1/254 1/253!254 1/252 T", "opaque certain 3 1"},
        {"1/255 1/254 1/253!252 T", "opaque certain 3 3"},
        {"1/255 1/254 1/253!252 1/252!250 1/251 T", "opaque certain 3 3, opaque certain 4 5"},
        /* Routers that count down do show themselves. */
        {"1/255 1/254 1/253!254 1/252!253 1/251!252 1/250 T", "explicit certain 3-5 3"},
        {"1/255 1/254 1/253!255 1/252 T", "explicit certain 3 1"},
        {"1/255 1/254 1/253!100 1/252 T", "explicit certain 3 1"},
    };
    CHECK_ALL(samples);
}

static void rising_quotes_make_implicit_tunnels(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1/255 1/254 1/253 2/252 3/251 1/250 T", "implicit likely 3-5 3"},
        {"1/255 1/254 1/253 2/252 * 4/250 1/249 T", "implicit likely 3-6 4"},
        {"1/255 1/254 * 2/252 3/251 1/250 T", "implicit likely 3-5 3"},
        {"1/255 1/254 1/253 2/252 3/251 * 1/249 T", "implicit likely 3-5 3?"},
        {"1/255 1/254 1/253 2/252 3/251 0/250 T", "implicit likely 3-5 3"},
        {"1/255 1/254 1/253 2/252 1/251 T", "implicit suspected 3-4 2"},
        {"1/255 1/254 1/253 2/252 3/251 1/250 1/249 2/248 3/247 4/246 1/245 T",
         "implicit likely 3-5 3, implicit likely 7-10 4"},
    };
    CHECK_ALL(samples);
}

static void rewritten_ttls_are_no_tunnel(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1/255 1/254 1/253 1/252 T", ""},
        {"0/255 0/254 0/253 0/252 T", ""},
        {"1/255 0/254 1/253 0/252 T", ""},
        /* A translator that restores the TTL that was sent, or the one it saw itself. */
        {"1/255 2/254 3/253 4/252 5/251 T", ""},
        {"1/255 1/254 3/253 4/252 5/251 T", ""},
        {"1/255 1/254 1/253 2/252 3/251 4/250 5/249 T", "implicit hint 3-7 5?"},
        /* A router that quotes the TTL before it took one off; one that always quotes a large value. */
        {"1/255 1/254 2/253 2/252 1/251 T", ""},
        {"1/255 2/254 2/253 2/252 2/251 T", ""},
        {"1/255 1/254 64/253 1/252 T", ""},
        {"1/255 1/254 255/253 254/252 253/251 T", ""},
        {"1/255 1/254 3/253 1/252 T", ""},
        {"1/255 1/254 5/253 6/252 7/251 1/250 T", ""},
        /* Silence explains nothing. */
        {"* * * * T", ""},
        {"1/255 * * * * 1/250 T", ""},
        {"T", ""},
        {"", ""},
    };
    CHECK_ALL(samples);
}

static void turns_at_the_far_end_make_implicit_tunnels(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1/255/255 1/254/254 1/247/253 1/248/252 1/249/251 1/250/250 T", "implicit likely 3-5 3"},
        {"1/255/255 1/254/254 1/249/253 2/250/252 1/251/251 T", "implicit likely 3-4 2"}, /* a lone 2 confirmed */
        {"1/255/255 1/254/254 1/249/62 1/250/61 1/251/60 1/250/250 T", "implicit likely 3-4 2"},
        /* One router inside, or differences that do not shrink by two. */
        {"1/255/255 1/254/254 1/251/253 1/252/252 T", ""},
        {"1/255/255 1/254/254 1/247/253 1/246/252 1/245/251 1/250/250 T", "invisible hint 3 6?"},
    };
    CHECK_ALL(samples);
}

static void hidden_routers_are_suspected(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        /* Three routers hidden between the second and the third: three hops behind arrive with one TTL. */
        {"1/255 1/254 1/250 1/250 1/250 1/250 1/249 T", "invisible suspected 3 3?"},
        {"1/255 1/254 1/250 1/250 T", "invisible suspected 3 3?"},
        {"1/255 1/254 1/250 T", "invisible hint 3 3?"}, /* nobody confirms it */
        {"1/255 1/254 1/251 1/251 1/251 1/250 T", "invisible suspected 3 2?"},
        /* Error at 255, echo reply at 64: the same, exactly. */
        {"1/255/64 1/254/63 1/250/62 1/250/61 1/250/60 T", "invisible likely 3 3"},
        {"1/255/64 * 1/250/62 T", "invisible suspected 2-3 3?"}, /* before the silent one or behind it */
        {"1/255/64 1/254/63 1/250/62 T", "invisible suspected 3 3"}, /* nobody confirms it */
        {"1/255/64 1/254/63 1/250/62 1/249/61 T", "invisible hint 3 3"}, /* the next denies it */
        {"1/255/64 1/254/63 1/249/249 1/60/60 1/249/60 T", "invisible suspected 3 4?"}, /* one behind confirms it */
        {"1/255/64 1/254/63 1/251/62 1/252/61 T", "invisible hint 3 2"}, /* one router whose error turns round */
        {"* * 1/250/62 T", "invisible suspected 3 3"},
        {"1/255/64 1/254/63 1/252/62 1/252/61 T", "invisible hint 3 1"},
        /* Another way back: it stays longer, and for the echo replies as well. */
        {"1/255 1/254 1/250 1/249 1/248 1/247 T", "invisible hint 3 3?"},
        {"1/255 1/254 1/252 1/251 1/250 1/249 T", ""},
        {"1/255/64 1/254/63 1/250/59 1/249/58 T", ""},
        {"1/255 1/254 1/250/250 1/250/250 T", "invisible suspected 3 3?"},
        {"1/255 1/254 1/253 1/255 1/251 T", ""}, /* a shorter one */
        /* Routers that begin at 64 say nothing. */
        {"1/64 1/63 1/59 1/59 1/59 T", ""},
        {"1/255 1/254 1/60 1/60 T", ""},
        /* A way back through a tunnel that the way there does not take. */
        {"1/255/64 1/254/63 1/253/64 1/252/63 T", "invisible hint 3 2"},
        {"1/255 1/254 1/253 =1/253 1/252 T", "invisible hint 4 0?"},
    };
    CHECK_ALL(samples);
}

static void texts_are_those_of_the_view(void **state)
{
    (void)state;
    static const struct {
        const char *hops;
        uint32_t hop;
        const char *text;
    } samples[] = {
        {"1/255 1/254 1/253!1 2/252!1 3/251!1 1/250 T", 3, "Hop 2 in an MPLS tunnel"},
        {"1/255 1/254 1/253 2/252 3/251 1/250 T", 4, "Hop 3 in an MPLS tunnel"},
        {"1/255 1/254 1/253 2/252 3/251 1/250 T", 5, ""},
        {"1/255 1/254 1/253 2/252 1/251 T", 3, "Possibly hop 2 in an MPLS tunnel"},
        {"1/255 1/254 1/253!252 1/252 T", 2, "3-hop MPLS tunnel"},
        {"1/255 1/254 1/253!252 1/252 T", 1, ""},
        {"1/255 1/254 * 1/250 1/250 T", 2, ""},
        {"1/255 1/254 1/250 1/250 1/250 T", 2, "Possibly 3 hops hidden in an MPLS tunnel"},
        {"1/255/64 1/254/63 1/250/62 1/250/61 T", 2, "Probably 3 hops hidden in an MPLS tunnel"},
        {"1/255 1/254 1/250 T", 2, ""},
        {"1/255 T", 70, ""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct path path;
        char text[TUNNEL_TEXT_BYTES];
        open_path(&path, samples[i].hops);
        assert_string_equal(tunnel_hop_text(&path.list, samples[i].hop, text), samples[i].text);
        arena_done(&path.arena);
    }
}

static void evidence_is_a_sentence(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"1/255 1/254 1/253!1 2/252!1 1/250 T", "labels at hops 3 to 4"},
        {"1/255 1/254 1/253!1 2/252 3/251!1 1/250 T", "labels within hops 3 to 5"},
        {"1/255 1/254 1/253!252 1/252 T", "the label at hop 3 has a TTL of 252, 3 below 255"},
        {"1/255 1/254 1/253 2/252 3/251 1/250 T", "quoted TTLs rise to 3 at hop 5"},
        {"1/255 1/254 1/250 1/250 T",
         "from hop 2 to hop 3 the way back grows by 3 routers more than the way there, and to the next hop not at all"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct path path;
        open_path(&path, samples[i].hops);
        assert_int_equal(path.list.count, 1);
        assert_string_equal(path.list.items[0].evidence, samples[i].tunnels);
        arena_done(&path.arena);
    }
}

/* --- anything at all ---------------------------------------------------------------------------------------------- */

static const uint8_t odd[] = {0, 1, 2, 3, 4, 5, 31, 63, 64, 127, 128, 200, 250, 251, 252, 253, 254, 255};

static uint8_t odd_one(struct rng *rng)
{
    return odd[rng_below(rng, sizeof odd)];
}

static void make_absurd_hop(struct path *path, uint32_t i, struct rng *rng)
{
    struct probe_trace_hop *hop = &path->hops[i];
    hop->ttl = (uint8_t)rng_u64(rng);
    if (rng_below(rng, 6) > 0)
        sock_from_ip_bytes(&hop->addr, rng_below(rng, 8) ? AF_INET : AF_INET6,
                           (uint8_t[16]){10, 0, 0, (uint8_t)rng_below(rng, 9)});
    hop->icmp_type = hop->addr.sa.sa_family == AF_INET6 ? 3 : 11;
    if (rng_below(rng, 8) == 0)
        hop->icmp_type = (uint8_t)rng_u64(rng);
    hop->has_quote = rng_below(rng, 9) > 0;
    hop->quoted_ttl = odd_one(rng);
    hop->reply_ttl = odd_one(rng);
    path->echoes[i] = odd_one(rng);
    path->labels[i].ttl = odd_one(rng);
    hop->label_count = rng_below(rng, 3) ? 0 : (uint32_t)rng_below(rng, 9);
    hop->labels = hop->label_count && rng_below(rng, 9) ? &path->labels[i] : NULL;
}

static void assert_promises(const struct path *path)
{
    uint32_t marked = 0, covered = 0;
    assert_int_equal(path->list.hop_count, path->count < LIMIT_HOPS ? path->count : LIMIT_HOPS);
    for (uint32_t i = 0; i < path->list.count; i++) {
        const struct tunnel *t = &path->list.items[i];
        assert_true(t->first <= t->last && t->last < path->list.hop_count);
        assert_true(i == 0 || t->first > t[-1].last);
        assert_true(t->length <= LIMIT_HOPS && t->methods && t->evidence[0]);
        covered += t->last - t->first + 1;
    }
    for (uint32_t i = 0; i < path->list.hop_count; i++) {
        char text[TUNNEL_TEXT_BYTES];
        assert_true(strlen(tunnel_hop_text(&path->list, i, text)) < sizeof text);
        marked += path->list.tunnel_of[i] != TUNNEL_NONE;
    }
    assert_int_equal(marked, covered);
}

static void absurd_hops_are_survived(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 4711);
    for (uint32_t round = 0; round < 20000; round++) {
        static struct path path;
        memset(&path, 0, sizeof path);
        arena_init(&path.arena, round % 7 == 0 ? 200 + rng_below(&rng, 3000) : 1 << 20);
        path.count = (uint32_t)rng_below(&rng, MAX_HOPS);
        for (uint32_t i = 0; i < path.count; i++)
            make_absurd_hop(&path, i, &rng);
        const uint8_t *echoes = rng_below(&rng, 3) ? path.echoes : NULL;
        if (tunnel_infer(path.hops, path.count, echoes, &path.arena, &path.list) == 0)
            assert_promises(&path);
        arena_done(&path.arena);
    }
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(labels_make_explicit_tunnels),
        cmocka_unit_test(a_lone_label_near_255_is_opaque),
        cmocka_unit_test(rising_quotes_make_implicit_tunnels),
        cmocka_unit_test(rewritten_ttls_are_no_tunnel),
        cmocka_unit_test(turns_at_the_far_end_make_implicit_tunnels),
        cmocka_unit_test(hidden_routers_are_suspected),
        cmocka_unit_test(texts_are_those_of_the_view),
        cmocka_unit_test(evidence_is_a_sentence),
        cmocka_unit_test(absurd_hops_are_survived),
    };
    return cmocka_run_group_tests_name("tunnel", checks, NULL, NULL);
}
