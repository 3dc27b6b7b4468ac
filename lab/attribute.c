#include "lab/reader.h"

#include <stdio.h>

#include "base/str.h"

#define FOR_ROUTER 1u
#define FOR_HOST 2u
#define FOR_VANTAGE 4u
#define FOR_BLOCK 8u
#define FOR_ANSWERING (FOR_ROUTER | FOR_HOST | FOR_BLOCK)
#define FOR_NAMED (FOR_ROUTER | FOR_HOST | FOR_VANTAGE)
#define FOR_ALL 15u

typedef int attribute_fn(struct lab_reader *r, const char *word, struct lab_node *node);

int lab_reader_node(struct lab_reader *r, const char *what, uint32_t *ret_node)
{
    const char *name = lab_lex_word(&r->lex);
    if (!name)
        return lab_reader_fail(r, E_REQUIRED, "%s needs the name of a node", what);
    uint32_t node = lab_model_find(r->s, name);
    if (node == LAB_NONE)
        return lab_reader_fail(r, E_UNKNOWN, "%s: there is no node '%s' above this line", what, name);
    *ret_node = node;
    return 0;
}

int lab_reader_prefix(struct lab_reader *r, const char *what, struct lab_prefix *ret_prefix)
{
    const char *word = lab_lex_word(&r->lex);
    if (!word)
        return lab_reader_fail(r, E_REQUIRED, "%s needs a prefix such as 198.51.100.0/24", what);
    if (lab_prefix_parse(word, false, ret_prefix) < 0)
        return lab_reader_fail(r, E_INVALID, "%s: '%s' is no prefix such as 198.51.100.0/24 (bits beyond it zero)",
                               what, word);
    return 0;
}

int lab_reader_port_range(struct lab_reader *r, const char *text, uint16_t *ret_low, uint16_t *ret_high)
{
    char copy[32];
    int64_t low, high;
    if (!str_copy(copy, sizeof copy, text))
        return lab_reader_fail(r, E_INVALID, "'%s' is no port or range of ports", text);
    char *dash = strchr(copy, '-');
    if (dash)
        *dash++ = '\0';
    if (str_to_i64(copy, 0, 65535, &low) < 0 || str_to_i64(dash ? dash : copy, low, 65535, &high) < 0)
        return lab_reader_fail(r, E_INVALID, "'%s' is no port or range of ports", text);
    *ret_low = (uint16_t)low;
    *ret_high = (uint16_t)high;
    return 0;
}

int lab_reader_ports(struct lab_reader *r, enum lab_port_state state, const char *ports, struct lab_ports **list)
{
    while (*list)
        list = &(*list)->next;
    char *copy = arena_strdup(&r->s->arena, ports), *rest = copy;
    for (char *one; copy && (one = strsep(&rest, ",")) != NULL;) {
        struct lab_ports *range = arena_alloc(&r->s->arena, sizeof *range);
        if (!range)
            return lab_reader_fail(r, E_LIMIT, "the scenario is too large");
        int rc = lab_reader_port_range(r, one, &range->low, &range->high);
        if (rc < 0)
            return rc;
        range->state = state;
        *list = range;
        list = &range->next;
    }
    return 0;
}

/* --- attributes of nodes ------------------------------------------------------------------------------------------ */

static int word_of(struct lab_reader *r, const char *what, const char **ret_word)
{
    const char *word = lab_lex_word(&r->lex);
    if (!word)
        return lab_reader_fail(r, E_REQUIRED, "'%s' needs a value", what);
    *ret_word = word;
    return 0;
}

static int one_of(struct lab_reader *r, const char *what, const char *const *words, int *ret_index)
{
    const char *word = "";
    int rc = word_of(r, what, &word);
    if (rc < 0)
        return rc;
    int i = str_index(word, words);
    if (i >= 0) {
        *ret_index = i;
        return 0;
    }
    char list[160] = "";
    for (size_t k = 0, used = 0; words[k] && used < sizeof list; k++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", k ? ", " : "", words[k]);
    return lab_reader_fail(r, E_UNKNOWN, "%s: '%s' is none of %s", what, word, list);
}

static int set_address(struct lab_reader *r, const char *word, struct lab_node *node)
{
    const char *text = "";
    struct lab_prefix p;
    int rc = word_of(r, word, &text);
    if (rc < 0)
        return rc;
    if (lab_prefix_parse(text, true, &p) < 0 || lab_addr_is_multicast(&p.addr))
        return lab_reader_fail(r, E_INVALID, "%s: '%s' is no address", word, text);
    if (node->kind == LAB_VANTAGE && !strchr(text, '/'))
        return lab_reader_fail(r, E_REQUIRED, "%s: a vantage's address needs a prefix length, such as %s/24", word,
                               text);
    if (node->kind != LAB_VANTAGE && strchr(text, '/'))
        return lab_reader_fail(r, E_INVALID, "%s: '%s': only a vantage has a prefix length", word, text);
    bool is_v4 = lab_addr_is_v4(&p.addr);
    if (strcmp(word, "v6") == 0 && is_v4)
        return lab_reader_fail(r, E_INVALID, "v6: '%s' is an IPv4 address", text);
    *(is_v4 ? &node->v4 : &node->v6) = p.addr;
    *(is_v4 ? &node->prefix4 : &node->prefix6) = p;
    return 0;
}

static int set_text(struct lab_reader *r, const char *word, struct lab_node *node)
{
    const char *text = "";
    int rc = word_of(r, word, &text);
    if (rc < 0)
        return rc;
    if (*text == '\0' || strlen(text) > 250)
        return lab_reader_fail(r, E_RANGE, "%s: a text of 1 to 250 bytes", word);
    switch (*word) {
    case 'n': /* name */
        if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] != '\0')
            return lab_reader_fail(r, E_INVALID, "name: '%s' is no host name", text);
        node->rdns = text;
        break;
    case 'c': /* country */
        if (strlen(text) != 2)
            return lab_reader_fail(r, E_INVALID, "country: '%s' is no ISO 3166 code of two letters", text);
        node->country = text;
        break;
    default: /* at */
        node->place = text;
    }
    return 0;
}

static int set_as(struct lab_reader *r, const char *word, struct lab_node *node)
{
    int64_t number;
    int rc = lab_lex_count(&r->lex, word, 1, UINT32_MAX, &number, r->err);
    if (rc < 0)
        return rc;
    rc = word_of(r, word, &node->as_name);
    node->as_number = (uint32_t)number;
    return rc;
}

static int set_position(struct lab_reader *r, const char *word, struct lab_node *node)
{
    bool is_latitude = strcmp(word, "latitude") == 0;
    double most = is_latitude ? 90 : 180;
    node->has_position = true;
    return lab_lex_number(&r->lex, word, -most, most, is_latitude ? &node->latitude : &node->longitude, r->err);
}

static int set_number(struct lab_reader *r, const char *word, struct lab_node *node)
{
    int64_t value;
    bool is_quote = strcmp(word, "quote") == 0, is_dscp = strcmp(word, "dscp") == 0, is_mss = strcmp(word, "mss") == 0;
    int rc = lab_lex_count(&r->lex, word, is_quote ? 28 : is_mss ? 64 : is_dscp ? 0 : 1,
                           is_quote ? 1200 : is_mss ? 9176 : is_dscp ? 63 : 255, &value, r->err);
    if (rc < 0)
        return rc;
    if (is_quote)
        node->quote_bytes = (uint16_t)value;
    else if (is_dscp)
        node->dscp_rewrite = (int)value;
    else if (is_mss)
        node->service.mss = (uint16_t)value;
    else if (strcmp(word, "ttl") == 0)
        node->ttl = (uint8_t)value;
    else if (strcmp(word, "echo-ttl") == 0)
        node->echo_ttl = (uint8_t)value;
    else
        node->ttl_rewrite = (uint8_t)value;
    return 0;
}

static int set_flag(struct lab_reader *r, const char *word, struct lab_node *node)
{
    (void)r;
    if (strcmp(word, "silent") == 0)
        node->is_silent = true;
    else if (strcmp(word, "answering") == 0)
        node->is_silent = node->is_ttl_silent = node->is_unreachable_silent = false;
    else if (strcmp(word, "no-ttl-exceeded") == 0)
        node->is_ttl_silent = true;
    else if (strcmp(word, "noreply-unreachable") == 0)
        node->is_unreachable_silent = true;
    else if (strcmp(word, "down") == 0)
        node->is_down = true;
    else if (strcmp(word, "transparent") == 0)
        node->is_transparent = true;
    else if (strcmp(word, "ttl-strict") == 0)
        node->is_ttl_strict = true;
    else if (strcmp(word, "length-zero") == 0)
        node->is_length_zero = true;
    else if (strcmp(word, "no-labels") == 0)
        node->is_label_shy = true;
    else
        node->ecmp = LAB_ECMP_PACKET;
    return 0;
}

static int set_ecmp(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"flow", "per-packet", "destination", NULL};
    int i = 0;
    int rc = one_of(r, word, words, &i);
    node->ecmp = (enum lab_ecmp)i;
    return rc;
}

static int set_rate(struct lab_reader *r, const char *word, struct lab_node *node)
{
    int rc = lab_lex_per_second(&r->lex, word, &node->rate_per_s, r->err);
    node->rate_burst = 1;
    if (rc == 0 && lab_lex_take(&r->lex, "burst")) {
        int64_t burst;
        rc = lab_lex_count(&r->lex, "burst", 1, 1000000, &burst, r->err);
        if (rc == 0)
            node->rate_burst = (uint32_t)burst;
    }
    return rc;
}

static int set_icmp_from(struct lab_reader *r, const char *word, struct lab_node *node)
{
    const char *text = "";
    struct lab_addr addr;
    int rc = word_of(r, word, &text);
    if (rc < 0)
        return rc;
    if (lab_addr_parse(text, &addr) < 0)
        return lab_reader_fail(r, E_INVALID, "%s: '%s' is no address", word, text);
    *(lab_addr_is_v4(&addr) ? &node->icmp_from4 : &node->icmp_from6) = addr;
    return 0;
}

static int set_echo(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"on", "off", NULL};
    int i = 0;
    int rc = one_of(r, word, words, &i);
    node->service.is_echo_off = i == 1;
    return rc;
}

static int set_echo_loss(struct lab_reader *r, const char *word, struct lab_node *node)
{
    return lab_lex_share(&r->lex, word, &node->service.echo_loss, r->err);
}

static int set_tcp(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"closed", "open", "silent", "rejected", NULL};
    const char *ports = "";
    int i = 0;
    int rc = word_of(r, word, &ports);
    if (rc == 0)
        rc = one_of(r, word, words, &i);
    if (rc < 0)
        return rc;
    if (strcmp(ports, "others") != 0)
        return lab_reader_ports(r, (enum lab_port_state)i, ports, &node->service.tcp);
    node->service.tcp_default = (enum lab_port_state)i;
    return 0;
}

static int set_udp(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"closed", "echo", "silent", NULL};
    const char *ports = "";
    int i = 1;
    int rc = word_of(r, word, &ports);
    if (rc == 0 && strcmp(word, "udp") == 0)
        rc = one_of(r, word, words, &i);
    if (rc < 0)
        return rc;
    if (strcmp(ports, "others") != 0)
        return lab_reader_ports(r, (enum lab_port_state)i, ports, &node->service.udp);
    node->service.udp_default = (enum lab_port_state)i;
    return 0;
}

static int set_sack(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"permitted", "not-permitted", "never-sent", NULL};
    int i = 0;
    int rc = one_of(r, word, words, &i);
    node->service.sack = (enum lab_sack)i;
    return rc;
}

static int set_timestamps(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"off", "on", "lax", NULL};
    int i = 0;
    int rc = one_of(r, word, words, &i);
    node->service.timestamps = (enum lab_timestamps)i;
    return rc;
}

static int set_compression(struct lab_reader *r, const char *word, struct lab_node *node)
{
    static const char *const words[] = {"off", "on", "warm", NULL};
    int i = 0;
    int rc = one_of(r, word, words, &i);
    node->service.compression = (enum lab_compression)i;
    return rc;
}

static int set_handshakes(struct lab_reader *r, const char *word, struct lab_node *node)
{
    bool is_backlog = *word == 'b';
    int64_t value = 0;
    int rc = lab_lex_count(&r->lex, word, is_backlog ? 1 : 0, is_backlog ? 1000000 : 8, &value, r->err);
    *(is_backlog ? &node->service.backlog : &node->service.syn_ack_retries) = (uint32_t)value;
    return rc;
}

static int set_think(struct lab_reader *r, const char *word, struct lab_node *node)
{
    return lab_lex_duration(&r->lex, word, &node->service.think_ns, r->err);
}

static const struct attribute {
    const char *word;
    unsigned kinds;
    attribute_fn *set;
} attributes[] = {
    {"address", FOR_NAMED, set_address},
    {"v6", FOR_NAMED, set_address},
    {"name", FOR_NAMED, set_text},
    {"at", FOR_ALL, set_text},
    {"country", FOR_ALL, set_text},
    {"as", FOR_ALL, set_as},
    {"latitude", FOR_ALL, set_position},
    {"longitude", FOR_ALL, set_position},
    {"ttl", FOR_ANSWERING, set_number},
    {"echo-ttl", FOR_ANSWERING, set_number},
    {"silent", FOR_ANSWERING, set_flag},
    {"answering", FOR_ANSWERING, set_flag},
    {"down", FOR_HOST | FOR_BLOCK, set_flag},
    {"no-ttl-exceeded", FOR_ROUTER, set_flag},
    {"noreply-unreachable", FOR_ANSWERING, set_flag},
    {"ratelimit", FOR_ANSWERING, set_rate},
    {"icmp-from", FOR_ROUTER, set_icmp_from},
    {"quote", FOR_ANSWERING, set_number},
    {"length-zero", FOR_ROUTER, set_flag},
    {"no-labels", FOR_ROUTER, set_flag},
    {"ecmp", FOR_ROUTER, set_ecmp},
    {"per-packet", FOR_ROUTER, set_flag},
    {"transparent", FOR_ROUTER, set_flag},
    {"ttl-strict", FOR_HOST | FOR_BLOCK, set_flag},
    {"ttl-rewrite", FOR_ROUTER, set_number},
    {"dscp", FOR_ROUTER, set_number},
    {"echo", FOR_ANSWERING, set_echo},
    {"echo-loss", FOR_ANSWERING, set_echo_loss},
    {"tcp", FOR_ANSWERING, set_tcp},
    {"udp", FOR_ANSWERING, set_udp},
    {"udp-echo", FOR_ANSWERING, set_udp},
    {"sack", FOR_ANSWERING, set_sack},
    {"timestamps", FOR_ANSWERING, set_timestamps},
    {"compressed-acks", FOR_ANSWERING, set_compression},
    {"backlog", FOR_ANSWERING, set_handshakes},
    {"syn-ack-retries", FOR_ANSWERING, set_handshakes},
    {"mss", FOR_ANSWERING, set_number},
    {"think", FOR_ANSWERING, set_think},
};

static const char *const kind_names[] = {"router", "host", "vantage", "block"};

int lab_attribute_node(struct lab_reader *r, struct lab_node *node)
{
    for (const char *word; (word = lab_lex_word(&r->lex)) != NULL;) {
        const struct attribute *found = NULL;
        for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
            if (strcmp(word, attributes[i].word) == 0)
                found = &attributes[i];
        bool is_known = false;
        int rc = found || node->kind != LAB_ROUTER ? 0 : lab_box_attribute(r, word, &node->box, &is_known);
        if (rc < 0)
            return rc;
        if (is_known)
            continue;
        if (!found)
            return lab_reader_fail(r, E_UNKNOWN, "'%s' is no attribute of a %s", word, kind_names[node->kind]);
        if (!(found->kinds & 1u << node->kind))
            return lab_reader_fail(r, E_UNKNOWN, "a %s has no attribute '%s'", kind_names[node->kind], word);
        rc = found->set(r, word, node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- attributes of links ------------------------------------------------------------------------------------------ */

/* "from A" or "to B" after a value: it holds in that direction only. */
static int read_sides(struct lab_reader *r, const struct lab_link *link, unsigned *ret_sides)
{
    bool is_from = lab_lex_take(&r->lex, "from");
    *ret_sides = 3;
    if (!is_from && !lab_lex_take(&r->lex, "to"))
        return 0;
    uint32_t node = LAB_NONE;
    int rc = lab_reader_node(r, is_from ? "from" : "to", &node);
    if (rc < 0)
        return rc;
    if (node != link->node[0] && node != link->node[1])
        return lab_reader_fail(r, E_INVALID, "'%s' is not an end of this link", r->s->nodes[node].name);
    *ret_sides = (node == link->node[0]) == is_from ? 1 : 2;
    return 0;
}

static int set_link_name(struct lab_reader *r, struct lab_link *link)
{
    return word_of(r, "name", &link->name);
}

static int set_link_addresses(struct lab_reader *r, struct lab_link *link)
{
    for (int i = 0; i < 2; i++) {
        const char *text = "";
        struct lab_addr addr;
        int rc = word_of(r, "addresses", &text);
        if (rc < 0)
            return rc;
        if (lab_addr_parse(text, &addr) < 0)
            return lab_reader_fail(r, E_INVALID, "addresses: '%s' is no address (one for each end)", text);
        *(lab_addr_is_v4(&addr) ? &link->v4[i] : &link->v6[i]) = addr;
    }
    return 0;
}

static int read_cross(struct lab_reader *r, uint64_t *ret_bps, bool *ret_is_poisson, uint16_t *ret_bytes)
{
    int64_t bytes = 1500;
    int rc = lab_lex_bit_rate(&r->lex, "cross", ret_bps, r->err);
    *ret_is_poisson = lab_lex_take(&r->lex, "poisson");
    if (rc == 0 && lab_lex_take(&r->lex, "size"))
        rc = lab_lex_count(&r->lex, "size", 20, 9216, &bytes, r->err);
    *ret_bytes = (uint16_t)bytes;
    return rc;
}

/* Reads the value of the attribute `word` into *side. */
static int read_side(struct lab_reader *r, const char *word, struct lab_side *side)
{
    int64_t value = 0;
    int rc;
    if (strcmp(word, "delay") == 0)
        return lab_lex_duration(&r->lex, word, &side->delay_ns, r->err);
    if (strcmp(word, "jitter") == 0)
        return lab_lex_duration(&r->lex, word, &side->jitter_ns, r->err);
    if (strcmp(word, "loss") == 0)
        return lab_lex_share(&r->lex, word, &side->loss, r->err);
    if (strcmp(word, "duplicate") == 0)
        return lab_lex_share(&r->lex, word, &side->duplicate, r->err);
    if (strcmp(word, "corrupt") == 0)
        return lab_lex_share(&r->lex, word, &side->corrupt, r->err);
    if (strcmp(word, "reorder") == 0) {
        rc = lab_lex_share(&r->lex, word, &side->reorder, r->err);
        if (rc == 0 && lab_lex_take(&r->lex, "by"))
            rc = lab_lex_duration(&r->lex, "by", &side->reorder_ns, r->err);
        return rc;
    }
    if (strcmp(word, "mtu") == 0) {
        rc = lab_lex_count(&r->lex, word, 68, 9216, &value, r->err);
        side->mtu = (uint16_t)value;
        return rc;
    }
    if (strcmp(word, "metric") == 0) {
        rc = lab_lex_count(&r->lex, word, 1, 1000000, &value, r->err);
        side->metric = (uint32_t)value;
        return rc;
    }
    if (strcmp(word, "rate") == 0)
        return lab_lex_bit_rate(&r->lex, word, &side->rate_bps, r->err);
    if (strcmp(word, "cross") == 0)
        return read_cross(r, &side->cross_bps, &side->is_cross_poisson, &side->cross_bytes);
    if (strcmp(word, "queue") == 0)
        return lab_lex_duration(&r->lex, word, &side->queue_ns, r->err);
    return lab_reader_fail(r, E_UNKNOWN, "'%s' is no attribute of a link", word);
}

/* Takes over the one attribute that `word` names. */
static void copy_side(const char *word, const struct lab_side *from, struct lab_side *to)
{
    switch (word[0]) {
    case 'd':
        if (word[1] == 'e')
            to->delay_ns = from->delay_ns;
        else
            to->duplicate = from->duplicate;
        break;
    case 'j':
        to->jitter_ns = from->jitter_ns;
        break;
    case 'l':
        to->loss = from->loss;
        break;
    case 'c':
        if (word[1] == 'o') {
            to->corrupt = from->corrupt;
        } else {
            to->cross_bps = from->cross_bps;
            to->cross_bytes = from->cross_bytes;
            to->is_cross_poisson = from->is_cross_poisson;
        }
        break;
    case 'm':
        if (word[1] == 't')
            to->mtu = from->mtu;
        else
            to->metric = from->metric;
        break;
    case 'q':
        to->queue_ns = from->queue_ns;
        break;
    default:
        if (word[1] == 'a') {
            to->rate_bps = from->rate_bps;
        } else {
            to->reorder = from->reorder;
            to->reorder_ns = from->reorder_ns;
        }
    }
}

int lab_attribute_link(struct lab_reader *r, struct lab_link *link)
{
    for (const char *word; (word = lab_lex_word(&r->lex)) != NULL;) {
        struct lab_side side = link->side[0];
        unsigned sides = 0;
        int rc;
        if (strcmp(word, "name") == 0)
            rc = set_link_name(r, link);
        else if (strcmp(word, "addresses") == 0)
            rc = set_link_addresses(r, link);
        else if ((rc = read_side(r, word, &side)) == 0)
            rc = read_sides(r, link, &sides);
        if (rc < 0)
            return rc;
        for (unsigned i = 0; i < 2; i++)
            if (sides & 1u << i)
                copy_side(word, &side, &link->side[i]);
    }
    return 0;
}

/* --- effects of faults -------------------------------------------------------------------------------------------- */

static int add_effect(struct lab_reader *r, struct lab_effect **list, const struct lab_effect *effect)
{
    struct lab_effect *copy = arena_alloc(&r->s->arena, sizeof *copy);
    if (!copy)
        return lab_reader_fail(r, E_LIMIT, "the scenario is too large");
    *copy = *effect;
    copy->fault = r->fault;
    while (*list)
        list = &(*list)->next;
    *list = copy;
    return 0;
}

int lab_attribute_node_effect(struct lab_reader *r, struct lab_node *node)
{
    for (const char *word; (word = lab_lex_word(&r->lex)) != NULL;) {
        struct lab_effect effect = {.sides = 3};
        int rc = 0;
        if (strcmp(word, "silent") == 0)
            effect.kind = LAB_EFFECT_SILENT;
        else if (strcmp(word, "down") == 0)
            effect.kind = LAB_EFFECT_DOWN;
        else if (strcmp(word, "ratelimit") == 0) {
            effect.kind = LAB_EFFECT_RATE;
            rc = lab_lex_per_second(&r->lex, word, &effect.share, r->err);
        } else {
            return lab_reader_fail(r, E_UNKNOWN, "'%s' is nothing a fault can do to a node: silent, down, ratelimit",
                                   word);
        }
        if (rc == 0)
            rc = add_effect(r, &node->effects, &effect);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int lab_attribute_link_effect(struct lab_reader *r, struct lab_link **links, size_t count)
{
    static const char *const words[] = {"down", "loss", "delay", "jitter", "duplicate", "reorder", "corrupt", "cross",
                                        NULL};
    if (!lab_lex_peek(&r->lex))
        return lab_reader_fail(r, E_REQUIRED, "what happens to the link? such as: down, loss 40%%, delay +70ms");
    for (const char *word; (word = lab_lex_word(&r->lex)) != NULL;) {
        int kind = str_index(word, words);
        if (kind < 0)
            return lab_reader_fail(r, E_UNKNOWN, "'%s' is nothing a fault can do to a link", word);
        struct lab_effect effect = {.kind = (enum lab_effect_kind)kind};
        const char *value = lab_lex_peek(&r->lex);
        effect.is_added = value && *value == '+';
        if (effect.kind == LAB_EFFECT_CROSS && effect.is_added)
            return lab_reader_fail(r, E_INVALID, "cross: '%s': other people's packets replace what there is", value);
        unsigned sides = 3;
        int rc = 0;
        if (effect.kind == LAB_EFFECT_DELAY || effect.kind == LAB_EFFECT_JITTER)
            rc = lab_lex_duration(&r->lex, word, &effect.ns, r->err);
        else if (effect.kind == LAB_EFFECT_CROSS)
            rc = read_cross(r, &effect.bps, &effect.is_poisson, &effect.bytes);
        else if (effect.kind != LAB_EFFECT_DOWN)
            rc = lab_lex_share(&r->lex, word, &effect.share, r->err);
        if (rc == 0)
            rc = read_sides(r, links[0], &sides);
        for (size_t i = 0; i < count && rc == 0; i++) {
            bool is_turned = links[i]->node[0] != links[0]->node[0];
            effect.sides = (uint8_t)(is_turned && sides != 3 ? 3 - sides : sides);
            rc = add_effect(r, &links[i]->effects, &effect);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}
