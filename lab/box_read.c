/* Reads what a scenario says of middleboxes: attributes of routers, and the statements nat and syn-proxy. */
#include "lab/reader.h"

#include "base/clock.h"
#include "base/str.h"

static int choose(struct lab_reader *r, const char *what, const char *const *words, const char *list, int *ret_index)
{
    const char *word = lab_lex_word(&r->lex);
    int i = word ? str_index(word, words) : -1;
    if (i < 0)
        return lab_reader_fail(r, word ? E_UNKNOWN : E_REQUIRED, "%s: '%s' is none of %s", what, word ? word : "", list);
    *ret_index = i;
    return 0;
}

static int read_strip(struct lab_reader *r, const char *word, struct lab_box *box)
{
    static const char *const words[] = {"sack-permitted", "sack", "timestamps", NULL};
    int i = 0;
    int rc = choose(r, word, words, "sack-permitted, sack, timestamps", &i);
    box->strip = (uint8_t)(box->strip | 1u << i);
    return rc;
}

static int read_sequence(struct lab_reader *r, const char *word, struct lab_box *box)
{
    static const char *const words[] = {"off", "on", "no-sack", NULL};
    int i = 0;
    int rc = choose(r, word, words, "off, on, no-sack", &i);
    box->sequence = (enum lab_sequence)i;
    if (rc == 0)
        box->is_quote_restored = lab_lex_take(&r->lex, "quotes-restored");
    return rc;
}

static int read_ip_id(struct lab_reader *r, const char *word, struct lab_box *box)
{
    static const char *const words[] = {"kept", "zero", "count", "random", NULL};
    int i = 0;
    int rc = choose(r, word, words, "kept, zero, count, random", &i);
    box->ip_id = (enum lab_ip_id)i;
    return rc;
}

/* too-big mtu | silent | zero | N */
static int read_too_big(struct lab_reader *r, const char *word, struct lab_box *box)
{
    int64_t value = 0;
    box->is_mtu_silent = lab_lex_take(&r->lex, "silent");
    box->has_told_mtu = !box->is_mtu_silent && !lab_lex_take(&r->lex, "mtu");
    if (!box->has_told_mtu || lab_lex_take(&r->lex, "zero"))
        return 0;
    int rc = lab_lex_count(&r->lex, word, 0, 65535, &value, r->err);
    box->told_mtu = (uint16_t)value;
    return rc;
}

int lab_box_attribute(struct lab_reader *r, const char *word, struct lab_box *box, bool *ret_is_known)
{
    int64_t value = 0;
    int rc = 0;
    *ret_is_known = true;
    if (strcmp(word, "strip") == 0) {
        rc = read_strip(r, word, box);
    } else if (strcmp(word, "sequence-randomize") == 0) {
        rc = read_sequence(r, word, box);
    } else if (strcmp(word, "ip-id") == 0) {
        rc = read_ip_id(r, word, box);
    } else if (strcmp(word, "too-big") == 0) {
        rc = read_too_big(r, word, box);
    } else if (strcmp(word, "drop-syn-change") == 0) {
        box->is_dropping_syn_change = true;
    } else if (strcmp(word, "drop-out-of-order") == 0) {
        if (!lab_lex_take(&r->lex, "every"))
            return lab_reader_fail(r, E_REQUIRED, "drop-out-of-order every N");
        rc = lab_lex_count(&r->lex, word, 1, 1000000, &value, r->err);
        box->drop_every = (uint32_t)value;
    } else if (strcmp(word, "mss-clamp") == 0) {
        rc = lab_lex_count(&r->lex, word, 64, 65535, &value, r->err);
        box->mss_clamp = (uint16_t)value;
    } else if (strcmp(word, "ecn") == 0) {
        rc = lab_lex_count(&r->lex, word, 0, 3, &value, r->err);
        box->ecn = (int)value;
    } else {
        *ret_is_known = false;
        return 0;
    }
    box->is_used = true;
    return rc;
}

/* The router a statement is about. */
static int read_router(struct lab_reader *r, const char *word, struct lab_node **ret_node)
{
    uint32_t at;
    int rc = lab_reader_node(r, word, &at);
    if (rc < 0)
        return rc;
    if (r->s->nodes[at].kind != LAB_ROUTER)
        return lab_reader_fail(r, E_INVALID, "%s: '%s' is no router", word, r->s->nodes[at].name);
    *ret_node = &r->s->nodes[at];
    return 0;
}

static int read_nat_options(struct lab_reader *r, struct lab_nat *nat)
{
    static const char *const ports[] = {"changed", "kept", NULL}, *const quotes[] = {"full", "address", "none", NULL},
                      *const sums[] = {"restored", "kept", NULL};
    int i = 0, rc = 0;
    for (const char *word; rc == 0 && (word = lab_lex_word(&r->lex)) != NULL;) {
        if (strcmp(word, "ports") == 0) {
            rc = choose(r, word, ports, "changed, kept", &i);
            nat->is_keeping_ports = i == 1;
        } else if (strcmp(word, "quotes") == 0) {
            rc = choose(r, word, quotes, "full, address, none", &i);
            nat->quotes = (enum lab_nat_quotes)i;
        } else if (strcmp(word, "quoted-checksum") == 0) {
            rc = choose(r, word, sums, "restored, kept", &i);
            nat->is_quoted_checksum_kept = i == 1;
        } else if (strcmp(word, "idle") == 0) {
            rc = lab_lex_duration(&r->lex, word, &nat->idle_ns, r->err);
        } else {
            rc = lab_reader_fail(r, E_UNKNOWN, "nat: '%s' is not understood here", word);
        }
    }
    return rc;
}

int lab_box_read_nat(struct lab_reader *r, const char *word)
{
    struct lab_node *node;
    int rc = read_router(r, word, &node);
    if (rc < 0)
        return rc;
    struct lab_nat *nat = lab_model_add_nat(r->s);
    if (!nat)
        return lab_reader_fail(r, E_LIMIT, "more than %u NATs", LAB_MAX_NATS);
    nat->node = (uint32_t)(node - r->s->nodes);
    nat->idle_ns = 120 * CLOCK_S;
    if (!lab_lex_take(&r->lex, "inside"))
        return lab_reader_fail(r, E_REQUIRED, "nat ROUTER inside PREFIX as ADDRESS ...");
    rc = lab_reader_prefix(r, "inside", &nat->inside);
    if (rc < 0)
        return rc;
    const char *outside = lab_lex_take(&r->lex, "as") ? lab_lex_word(&r->lex) : NULL;
    if (!outside || lab_addr_parse(outside, &nat->outside) < 0)
        return lab_reader_fail(r, E_REQUIRED, "nat ROUTER inside PREFIX as ADDRESS: the address outside");
    if (!lab_addr_is_v4(&nat->outside) || !lab_addr_is_v4(&nat->inside.addr))
        return lab_reader_fail(r, E_NOT_SUPPORTED, "nat: only IPv4 is translated");
    nat->next = node->box.nat;
    node->box.nat = r->s->nat_count - 1;
    node->box.is_used = true;
    return read_nat_options(r, nat);
}

int lab_box_read_proxy(struct lab_reader *r, const char *word)
{
    struct lab_node *node;
    int rc = read_router(r, word, &node);
    struct lab_proxy *proxy = arena_alloc(&r->s->arena, sizeof *proxy);
    if (rc == 0 && !proxy)
        rc = lab_reader_fail(r, E_LIMIT, "the scenario is too large");
    if (rc < 0)
        return rc;
    proxy->port_high = 65535;
    for (const char *option; rc == 0 && (option = lab_lex_word(&r->lex)) != NULL;) {
        if (strcmp(option, "to") == 0) {
            proxy->has_to = true;
            rc = lab_reader_prefix(r, option, &proxy->to);
        } else if (strcmp(option, "port") == 0) {
            const char *range = lab_lex_word(&r->lex);
            rc = lab_reader_port_range(r, range ? range : "", &proxy->port_low, &proxy->port_high);
        } else if (strcmp(option, "delay") == 0) {
            rc = lab_lex_duration(&r->lex, option, &proxy->delay_ns, r->err);
        } else if (strcmp(option, "handover") == 0) {
            proxy->is_handing_over = true;
        } else {
            rc = lab_reader_fail(r, E_UNKNOWN, "syn-proxy: '%s' is not understood here", option);
        }
    }
    struct lab_proxy **list = &node->box.proxies;
    while (*list)
        list = &(*list)->next;
    *list = proxy;
    node->box.is_used = true;
    return rc;
}
