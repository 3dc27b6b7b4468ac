#include "lab/scenario.h"

#include <assert.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "lab/reader.h"

#define LINKS_AT_ONCE 16u

typedef int statement_fn(struct lab_reader *r, const char *word);

static int read_statements(struct lab_reader *r);


static int too_many(struct lab_reader *r, const char *what, unsigned ceiling)
{
    return lab_reader_fail(r, E_LIMIT, "more than %u %s", ceiling, what);
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static int add_node(struct lab_reader *r, const char *name, enum lab_node_kind kind, struct lab_node **ret_node)
{
    if (lab_model_find(r->s, name) != LAB_NONE)
        return lab_reader_fail(r, E_EXISTS, "there is a node '%s' already", name);
    struct lab_node *node = lab_model_add_node(r->s, name, kind);
    if (!node)
        return too_many(r, "nodes", LAB_MAX_NODES);
    if (r->defaults[kind].ttl != 0) {
        const char *kept = node->name;
        *node = r->defaults[kind];
        node->name = kept;
    }
    *ret_node = node;
    return 0;
}

static int read_node(struct lab_reader *r, const char *word)
{
    static const char *const kinds[] = {"router", "host", "vantage", NULL};
    enum lab_node_kind kind = (enum lab_node_kind)str_index(word, kinds);
    const char *name = lab_lex_word(&r->lex);
    if (!name)
        return lab_reader_fail(r, E_REQUIRED, "%s needs a name", word);
    if (*name == '\0' || strlen(name) > 64 ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] != '\0')
        return lab_reader_fail(r, E_INVALID, "'%s': a name has 1 to 64 letters, digits, '.', '_' or '-'", name);
    struct lab_node *node;
    int rc = add_node(r, name, kind, &node);
    if (rc == 0)
        rc = lab_attribute_node(r, node);
    if (rc < 0 || kind != LAB_VANTAGE)
        return rc;
    if (node->prefix4.bits == 0 && node->prefix6.bits == 0)
        return lab_reader_fail(r, E_REQUIRED, "vantage '%s' needs an address such as: address 198.18.1.2/24", name);
    if (r->s->vantage_count == LAB_MAX_VANTAGES)
        return too_many(r, "vantages", LAB_MAX_VANTAGES);
    r->s->vantages[r->s->vantage_count++] = (uint32_t)(node - r->s->nodes);
    return 0;
}

static int read_more(struct lab_reader *r, const char *word)
{
    uint32_t node;
    int rc = lab_reader_node(r, word, &node);
    if (rc < 0)
        return rc;
    if (r->fault != LAB_NONE)
        return lab_attribute_node_effect(r, &r->s->nodes[node]);
    return lab_attribute_node(r, &r->s->nodes[node]);
}

static int read_defaults(struct lab_reader *r, const char *word)
{
    static const char *const kinds[] = {"router", "host", "vantage", "block", "link", NULL};
    const char *kind_word = lab_lex_word(&r->lex);
    int kind = kind_word ? str_index(kind_word, kinds) : -1;
    if (kind < 0)
        return lab_reader_fail(r, E_REQUIRED, "%s of what? router, host, vantage, block or link", word);
    if (kind == 4)
        return lab_attribute_link(r, &r->link_defaults);
    return lab_attribute_node(r, &r->defaults[kind]);
}

/* --- networks and blocks ------------------------------------------------------------------------------------------ */

static int add_network(struct lab_reader *r, const struct lab_prefix *prefix, uint32_t node, enum lab_verdict verdict)
{
    char text[LAB_ADDR_TEXT_BYTES];
    for (uint32_t i = 0; i < r->s->network_count; i++) {
        const struct lab_network *other = &r->s->networks[i];
        if (other->prefix.bits == prefix->bits && lab_addr_is_same(&other->prefix.addr, &prefix->addr))
            return lab_reader_fail(r, E_EXISTS, "%s lies somewhere already",
                                   lab_prefix_text(prefix, text, sizeof text));
    }
    struct lab_network *network = lab_model_add_network(r->s);
    if (!network)
        return too_many(r, "networks and blocks", LAB_MAX_PREFIXES);
    *network = (struct lab_network){.prefix = *prefix, .node = node, .verdict = verdict};
    return 0;
}

static const char *const verdict_words[] = {
    "drop", "net-unreachable", "host-unreachable", "port-unreachable", "prohibited", "reset", NULL,
};
static const enum lab_verdict verdicts[] = {
    LAB_DROP, LAB_NET_UNREACHABLE, LAB_HOST_UNREACHABLE, LAB_PORT_UNREACHABLE, LAB_PROHIBITED, LAB_RESET,
};

static int read_verdict(struct lab_reader *r, const char *what, bool may_reset, enum lab_verdict *ret_verdict)
{
    const char *word = lab_lex_word(&r->lex);
    int i = word ? str_index(word, verdict_words) : -1;
    if (word && strcmp(word, "blackhole") == 0)
        i = 0;
    if (i < 0 || (!may_reset && verdicts[i] == LAB_RESET))
        return lab_reader_fail(r, word ? E_UNKNOWN : E_REQUIRED,
                               "%s: '%s' is none of drop, net-unreachable, host-unreachable, port-unreachable, "
                               "prohibited%s",
                               what, word ? word : "", may_reset ? ", reset" : "");
    *ret_verdict = verdicts[i];
    return 0;
}

static int expect_end(struct lab_reader *r)
{
    const char *word = lab_lex_peek(&r->lex);
    return word ? lab_reader_fail(r, E_UNKNOWN, "'%s' is not understood here", word) : 0;
}

static int read_network(struct lab_reader *r, const char *word)
{
    struct lab_prefix prefix;
    uint32_t node;
    enum lab_verdict verdict = LAB_HOST_UNREACHABLE;
    int rc = lab_reader_prefix(r, word, &prefix);
    if (rc == 0 && !lab_lex_take(&r->lex, "behind"))
        rc = lab_reader_fail(r, E_REQUIRED, "%s PREFIX behind ROUTER", word);
    if (rc == 0)
        rc = lab_reader_node(r, word, &node);
    if (rc == 0 && lab_lex_peek(&r->lex))
        rc = read_verdict(r, word, false, &verdict);
    if (rc == 0)
        rc = add_network(r, &prefix, node, verdict);
    return rc < 0 ? rc : expect_end(r);
}

static int read_block(struct lab_reader *r, const char *word)
{
    struct lab_prefix prefixes[2];
    size_t count = 0;
    uint32_t router;
    int64_t delay_ns = 0;
    int rc = 0;
    while (rc == 0 && count < 2 && (count == 0 || strcmp(lab_lex_peek(&r->lex) ? lab_lex_peek(&r->lex) : "behind",
                                                         "behind") != 0))
        rc = lab_reader_prefix(r, word, &prefixes[count++]);
    if (rc == 0 && !lab_lex_take(&r->lex, "behind"))
        rc = lab_reader_fail(r, E_REQUIRED, "%s PREFIX behind ROUTER", word);
    if (rc == 0)
        rc = lab_reader_node(r, word, &router);
    if (rc == 0 && lab_lex_take(&r->lex, "delay"))
        rc = lab_lex_duration(&r->lex, "delay", &delay_ns, r->err);
    if (rc < 0)
        return rc;
    char name[LAB_ADDR_TEXT_BYTES];
    struct lab_node *node;
    rc = add_node(r, lab_prefix_text(&prefixes[0], name, sizeof name), LAB_BLOCK, &node);
    if (rc == 0)
        rc = lab_attribute_node(r, node);
    uint32_t index = r->s->node_count - 1;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_network(r, &prefixes[i], index, LAB_PASS);
    if (rc < 0)
        return rc;
    struct lab_link *link = lab_model_add_link(r->s, router, index);
    if (!link)
        return too_many(r, "links", LAB_MAX_LINKS);
    link->side[0].delay_ns = link->side[1].delay_ns = delay_ns;
    return 0;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

/* The links a fault names: `link NAME` or all between `link A B`. */
static int find_links(struct lab_reader *r, const char *word, struct lab_link **links, size_t *ret_count)
{
    const char *name = lab_lex_peek(&r->lex);
    size_t count = 0;
    for (uint32_t i = 0; name && i < r->s->link_count; i++)
        if (str_equal(r->s->links[i].name, name) && count < LINKS_AT_ONCE)
            links[count++] = &r->s->links[i];
    *ret_count = count;
    if (count > 0) {
        (void)lab_lex_word(&r->lex);
        return 0;
    }
    uint32_t a, b;
    int rc = lab_reader_node(r, word, &a);
    if (rc == 0)
        rc = lab_reader_node(r, word, &b);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < r->s->link_count && count < LINKS_AT_ONCE; i++) {
        const uint32_t *node = r->s->links[i].node;
        if ((node[0] == a && node[1] == b) || (node[0] == b && node[1] == a))
            links[count++] = &r->s->links[i];
    }
    if (count == 0)
        return lab_reader_fail(r, E_NOT_FOUND, "there is no link between '%s' and '%s' above this line",
                               r->s->nodes[a].name, r->s->nodes[b].name);
    *ret_count = count;
    return 0;
}

static int read_link(struct lab_reader *r, const char *word)
{
    if (r->fault != LAB_NONE) {
        struct lab_link *links[LINKS_AT_ONCE];
        size_t count;
        int rc = find_links(r, word, links, &count);
        return rc < 0 ? rc : lab_attribute_link_effect(r, links, count);
    }
    uint32_t a, b;
    int rc = lab_reader_node(r, word, &a);
    if (rc == 0)
        rc = lab_reader_node(r, word, &b);
    if (rc < 0)
        return rc;
    if (a == b)
        return lab_reader_fail(r, E_INVALID, "a link from '%s' to itself", r->s->nodes[a].name);
    if (r->s->nodes[a].kind == LAB_BLOCK || r->s->nodes[b].kind == LAB_BLOCK)
        return lab_reader_fail(r, E_INVALID, "a block has the one link its own statement makes");
    struct lab_link *link = lab_model_add_link(r->s, a, b);
    if (!link)
        return too_many(r, "links", LAB_MAX_LINKS);
    for (int i = 0; i < 2; i++)
        link->side[i] = r->link_defaults.side[i];
    return lab_attribute_link(r, link);
}

/* --- routes, rules, tunnels --------------------------------------------------------------------------------------- */

static int add_via(struct lab_reader *r, uint32_t at, struct lab_route *route)
{
    uint32_t via;
    int rc = lab_reader_node(r, "via", &via);
    if (rc < 0)
        return rc;
    uint32_t before = route->port_count;
    for (uint32_t p = 0; p < r->s->link_count * 2; p++) {
        if (lab_port_from(r->s, p) != at || lab_port_to(r->s, p) != via)
            continue;
        if (route->port_count == LAB_MAX_VIA)
            return too_many(r, "ways in one route", LAB_MAX_VIA);
        route->ports[route->port_count++] = p;
    }
    return route->port_count > before ? 0
                                      : lab_reader_fail(r, E_NOT_FOUND,
                                                        "there is no link between '%s' and '%s' above this line",
                                                        r->s->nodes[at].name, r->s->nodes[via].name);
}

static int read_route(struct lab_reader *r, const char *word)
{
    uint32_t at;
    int rc = lab_reader_node(r, word, &at);
    struct lab_route *route = arena_alloc(&r->s->arena, sizeof *route);
    if (rc == 0 && !route)
        return lab_reader_fail(r, E_LIMIT, "the scenario is too large");
    if (rc == 0)
        rc = lab_reader_prefix(r, word, &route->to);
    if (rc < 0)
        return rc;
    if (lab_lex_take(&r->lex, "via")) {
        do {
            rc = add_via(r, at, route);
        } while (rc == 0 && lab_lex_peek(&r->lex));
    } else {
        rc = read_verdict(r, word, false, &route->verdict);
    }
    struct lab_route **list = &r->s->nodes[at].routes;
    while (*list && (*list)->to.bits >= route->to.bits)
        list = &(*list)->next;
    route->next = *list;
    *list = route;
    return rc < 0 ? rc : expect_end(r);
}

static int read_rule_words(struct lab_reader *r, struct lab_rule *rule)
{
    static const char *const protocols[] = {"any", "icmp", "echo", "time-exceeded", "unreachable", "tcp", "udp", NULL};
    const char *word = lab_lex_word(&r->lex);
    int protocol = word ? str_index(word, protocols) : -1;
    if (protocol < 0)
        return lab_reader_fail(r, E_UNKNOWN,
                               "firewall: '%s' is none of any, icmp, echo, time-exceeded, unreachable, tcp, udp",
                               word ? word : "");
    rule->protocol = (enum lab_protocol)protocol;
    int rc = 0;
    while (rc == 0 && (word = lab_lex_word(&r->lex)) != NULL) {
        if (strcmp(word, "port") == 0 && (rule->protocol == LAB_TCP || rule->protocol == LAB_UDP)) {
            const char *range = lab_lex_word(&r->lex);
            rc = lab_reader_port_range(r, range ? range : "", &rule->port_low, &rule->port_high);
        } else if (strcmp(word, "from") == 0) {
            rc = lab_reader_prefix(r, word, &rule->from);
            rule->has_from = true;
        } else if (strcmp(word, "to") == 0) {
            rc = lab_reader_prefix(r, word, &rule->to);
            rule->has_to = true;
        } else if (strcmp(word, "with") == 0 && rule->verdict != LAB_PASS) {
            rc = read_verdict(r, word, true, &rule->verdict);
        } else {
            rc = lab_reader_fail(r, E_UNKNOWN, "firewall: '%s' is not understood here", word);
        }
    }
    return rc;
}

static int read_firewall(struct lab_reader *r, const char *word)
{
    uint32_t at;
    int rc = lab_reader_node(r, word, &at);
    if (rc < 0)
        return rc;
    struct lab_rule *rule = arena_alloc(&r->s->arena, sizeof *rule);
    if (!rule)
        return lab_reader_fail(r, E_LIMIT, "the scenario is too large");
    rule->port_high = 65535;
    bool is_allowing = lab_lex_take(&r->lex, "allow");
    if (!is_allowing && !lab_lex_take(&r->lex, "deny"))
        return lab_reader_fail(r, E_REQUIRED, "firewall ROUTER allow|deny PROTOCOL ...");
    rule->verdict = is_allowing ? LAB_PASS : LAB_DROP;
    rc = read_rule_words(r, rule);
    struct lab_rule **list = &r->s->nodes[at].rules;
    while (*list)
        list = &(*list)->next;
    *list = rule;
    return rc;
}

static const char *const tunnel_kinds[] = {"explicit", "implicit", "opaque", "invisible", NULL};

/* The nodes of a tunnel up to the word that says its kind. */
static int read_tunnel_nodes(struct lab_reader *r, struct lab_tunnel *tunnel, uint32_t *ret_ingress)
{
    uint32_t last = LAB_NONE;
    for (;;) {
        const char *word = lab_lex_peek(&r->lex);
        if (word && str_index(word, tunnel_kinds) >= 0)
            break;
        uint32_t node;
        int rc = lab_reader_node(r, "mpls", &node);
        if (rc < 0)
            return rc;
        if (r->s->nodes[node].kind != LAB_ROUTER)
            return lab_reader_fail(r, E_INVALID, "mpls: '%s' is no router", r->s->nodes[node].name);
        uint32_t port = LAB_NONE;
        for (uint32_t p = 0; last != LAB_NONE && p < r->s->link_count * 2 && port == LAB_NONE; p++)
            if (lab_port_from(r->s, p) == last && lab_port_to(r->s, p) == node)
                port = p;
        if (last != LAB_NONE && port == LAB_NONE)
            return lab_reader_fail(r, E_NOT_FOUND, "there is no link between '%s' and '%s' above this line",
                                   r->s->nodes[last].name, r->s->nodes[node].name);
        if (last == LAB_NONE)
            *ret_ingress = node;
        else if (tunnel->hops == LAB_MAX_TUNNEL_HOPS - 1)
            return too_many(r, "hops in one tunnel", LAB_MAX_TUNNEL_HOPS - 1);
        else
            tunnel->ports[tunnel->hops++] = port;
        last = node;
    }
    return tunnel->hops >= 2 ? 0 : lab_reader_fail(r, E_RANGE, "mpls: a tunnel has at least three nodes");
}

/* Labels are given for every node that receives one, or not at all. */
static int read_labels(struct lab_reader *r, struct lab_tunnel *tunnel, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (const char *next; (next = lab_lex_peek(&r->lex)) != NULL && *next >= '0' && *next <= '9'; count++) {
        int64_t value = 0;
        int rc = lab_lex_count(&r->lex, "labels", 16, 1048575, &value, r->err);
        if (rc < 0)
            return rc;
        if (count == LAB_MAX_TUNNEL_HOPS)
            break;
        tunnel->labels[count] = (uint32_t)value;
    }
    *ret_count = count;
    return 0;
}

static int read_tunnel_options(struct lab_reader *r, struct lab_tunnel *tunnel)
{
    int rc = 0;
    int64_t value = 0;
    uint32_t labels = LAB_NONE;
    for (const char *word; rc == 0 && (word = lab_lex_word(&r->lex)) != NULL;) {
        if (strcmp(word, "labels") == 0) {
            rc = read_labels(r, tunnel, &labels);
        } else if (strcmp(word, "bottom") == 0) {
            rc = lab_lex_count(&r->lex, word, 16, 1048575, &value, r->err);
            tunnel->bottom = (uint32_t)value;
        } else if (strcmp(word, "tc") == 0) {
            rc = lab_lex_count(&r->lex, word, 0, 7, &value, r->err);
            tunnel->traffic_class = (uint8_t)value;
        } else if (strcmp(word, "to") == 0) {
            tunnel->has_to = true;
            rc = lab_reader_prefix(r, word, &tunnel->to);
        } else if (strcmp(word, "uturn") == 0) {
            tunnel->is_uturn = true;
        } else if (strcmp(word, "lesser-ttl") == 0) {
            tunnel->is_lesser_ttl = true;
        } else if (strcmp(word, "uhp") == 0) {
            tunnel->is_uhp = true;
        } else {
            rc = lab_reader_fail(r, E_UNKNOWN, "mpls: '%s' is not understood here", word);
        }
    }
    uint32_t need = tunnel->hops - (tunnel->is_uhp ? 0 : 1);
    if (rc == 0 && labels != LAB_NONE && labels != need)
        return lab_reader_fail(r, E_RANGE, "mpls: %u labels for %u nodes that receive one", labels, need);
    return rc;
}

static int read_mpls(struct lab_reader *r, const char *word)
{
    (void)word;
    struct lab_tunnel *tunnel = lab_model_add_tunnel(r->s);
    if (!tunnel)
        return too_many(r, "tunnels", LAB_MAX_TUNNELS);
    uint32_t ingress = 0, number = r->s->tunnel_count - 1;
    int rc = read_tunnel_nodes(r, tunnel, &ingress);
    if (rc < 0)
        return rc;
    tunnel->kind = (enum lab_tunnel_kind)str_index(lab_lex_word(&r->lex), tunnel_kinds);
    /* An opaque tunnel is one whose last node pops the label itself and shows it. */
    tunnel->is_uhp = tunnel->kind == LAB_TUNNEL_OPAQUE;
    for (uint32_t i = 0; i < tunnel->hops; i++)
        tunnel->labels[i] = 24000 + number * LAB_MAX_TUNNEL_HOPS + i;
    struct lab_node *node = &r->s->nodes[ingress];
    tunnel->next = node->tunnel;
    node->tunnel = number;
    return read_tunnel_options(r, tunnel);
}

/* --- faults, seed, include ---------------------------------------------------------------------------------------- */

static int read_fault_head(struct lab_reader *r, const char *word, struct lab_fault *fault)
{
    static const char *const kinds[] = {"at", "every", "after", NULL};
    int rc = 0;
    fault->kind = (enum lab_fault_kind)str_index(word, kinds);
    fault->duration_ns = INT64_MAX;
    if (fault->kind == LAB_FAULT_AT) {
        const char *when = lab_lex_word(&r->lex);
        int64_t epoch_s = 0;
        if (!when || clock_parse_iso(when, &epoch_s) < 0 || epoch_s > INT64_MAX / CLOCK_S / 2 ||
            epoch_s < INT64_MIN / CLOCK_S / 2)
            return lab_reader_fail(r, E_INVALID, "at needs a time such as 2026-11-21T10:00:00Z");
        fault->begin_ns = epoch_s * CLOCK_S;
    } else {
        rc = lab_lex_duration(&r->lex, word, fault->kind == LAB_FAULT_EVERY ? &fault->period_ns : &fault->begin_ns,
                              r->err);
    }
    if (rc == 0 && lab_lex_take(&r->lex, "for"))
        rc = lab_lex_duration(&r->lex, "for", &fault->duration_ns, r->err);
    if (rc == 0 && fault->kind == LAB_FAULT_EVERY && lab_lex_take(&r->lex, "offset"))
        rc = lab_lex_duration(&r->lex, "offset", &fault->begin_ns, r->err);
    if (rc < 0)
        return rc;
    if (fault->duration_ns <= 0)
        return lab_reader_fail(r, E_RANGE, "%s: a fault lasts longer than nothing", word);
    if (fault->kind == LAB_FAULT_EVERY && (fault->period_ns <= 0 || fault->duration_ns > fault->period_ns))
        return lab_reader_fail(r, E_RANGE, "every PERIOD for DURATION: the duration is at most the period");
    return expect_end(r);
}

static int read_fault(struct lab_reader *r, const char *word)
{
    if (r->fault != LAB_NONE)
        return lab_reader_fail(r, E_INVALID, "a fault inside a fault");
    struct lab_fault *fault = lab_model_add_fault(r->s);
    if (!fault)
        return too_many(r, "faults", LAB_MAX_FAULTS);
    int rc = read_fault_head(r, word, fault);
    if (rc < 0)
        return rc;
    if (r->lex.terminator != '{')
        return lab_reader_fail(r, E_REQUIRED, "%s ... { what happens }", word);
    r->fault = r->s->fault_count - 1;
    rc = read_statements(r);
    r->fault = LAB_NONE;
    return rc;
}

static int read_seed(struct lab_reader *r, const char *word)
{
    int64_t seed;
    int rc = lab_lex_count(&r->lex, word, 1, INT64_MAX, &seed, r->err);
    r->s->seed = (uint64_t)seed;
    return rc < 0 ? rc : expect_end(r);
}

static int read_file(struct lab_reader *r, const char *path)
{
    struct buf buf;
    buf_init(&buf, LAB_SCENARIO_BYTES);
    int rc = file_read(path, &buf, r->err);
    if (rc == 0) {
        struct lab_lex outer = r->lex;
        lab_lex_init(&r->lex, path, buf_str(&buf), buf.size);
        rc = read_statements(r);
        r->lex = outer;
    }
    buf_done(&buf);
    return rc;
}

static int read_include(struct lab_reader *r, const char *word)
{
    const char *name = lab_lex_word(&r->lex);
    if (!name || *name == '\0')
        return lab_reader_fail(r, E_REQUIRED, "%s needs a file", word);
    if (!r->may_include)
        return lab_reader_fail(r, E_NOT_SUPPORTED, "%s: this scenario is no file and cannot include one", word);
    if (r->depth == LAB_MAX_INCLUDES)
        return too_many(r, "files inside one another", LAB_MAX_INCLUDES);
    const char *slash = strrchr(r->lex.file, '/');
    int dir = *name == '/' || !slash ? 0 : (int)(slash - r->lex.file) + 1;
    const char *path = arena_printf(&r->s->arena, "%.*s%s", dir, r->lex.file, name);
    int rc = expect_end(r);
    if (rc < 0 || !path)
        return rc < 0 ? rc : lab_reader_fail(r, E_LIMIT, "the scenario is too large");
    r->depth++;
    rc = read_file(r, path);
    r->depth--;
    return rc;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static const struct statement {
    const char *word;
    statement_fn *read;
    bool is_for_faults;
} statements[] = {
    {"router", read_node, false},     {"host", read_node, false},     {"vantage", read_node, false},
    {"node", read_more, true},        {"link", read_link, true},      {"block", read_block, false},
    {"network", read_network, false}, {"route", read_route, false},   {"firewall", read_firewall, false},
    {"nat", lab_box_read_nat, false}, {"syn-proxy", lab_box_read_proxy, false},
    {"mpls", read_mpls, false},       {"seed", read_seed, false},     {"include", read_include, false},
    {"at", read_fault, true},         {"every", read_fault, true},    {"after", read_fault, true},
    {"defaults", read_defaults, false},
};

static int read_statement(struct lab_reader *r)
{
    const char *word = lab_lex_word(&r->lex);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        const struct statement *statement = &statements[i];
        if (strcmp(word, statement->word) != 0)
            continue;
        if (r->fault != LAB_NONE && !statement->is_for_faults)
            return lab_reader_fail(r, E_INVALID, "'%s' cannot stand in a fault: link and node can", word);
        if (r->lex.terminator == '{' && statement->read != read_fault)
            return lab_reader_fail(r, E_INVALID, "'%s' has no block", word);
        return statement->read(r, word);
    }
    return lab_reader_fail(r, E_UNKNOWN, "'%s' is no statement", word);
}

/* Up to the end of the file, or of the fault's block. */
static int read_statements(struct lab_reader *r)
{
    bool is_block = r->fault != LAB_NONE;
    unsigned begin = r->lex.statement_line;
    for (;;) {
        int rc = lab_lex_next(&r->lex, &r->s->arena, r->err);
        if (rc < 0)
            return rc;
        char terminator = r->lex.terminator;
        bool is_empty = r->lex.count == 0;
        if (is_empty && terminator == '{')
            return lab_reader_fail(r, E_INVALID, "a '{' that belongs to no fault");
        rc = is_empty ? 0 : read_statement(r);
        if (rc < 0)
            return rc;
        if (is_empty && terminator == '}')
            return is_block ? 0 : lab_reader_fail(r, E_INVALID, "a '}' too many");
        if (terminator == 0) {
            if (!is_block)
                return 0;
            r->lex.statement_line = begin;
            return lab_reader_fail(r, E_INVALID, "the block that begins here is not closed");
        }
    }
}

static struct lab_reader reader_begin(const char *name, struct error *err)
{
    struct lab_reader r = {.s = lab_model_new(), .err = err, .fault = LAB_NONE};
    r.s->title = arena_strdup(&r.s->arena, name);
    for (int kind = 0; kind <= LAB_BLOCK; kind++) {
        r.defaults[kind] = *lab_model_add_node(r.s, "", (enum lab_node_kind)kind);
        r.s->node_count = 0;
    }
    r.link_defaults = *lab_model_add_link(r.s, 0, 0);
    r.s->link_count = 0;
    memset(r.s->nodes, 0, sizeof *r.s->nodes);
    memset(r.s->links, 0, sizeof *r.s->links);
    return r;
}

static int reader_end(struct lab_reader *r, int rc, struct lab_scenario **ret_scenario)
{
    if (rc == 0)
        rc = lab_model_finish(r->s, r->err);
    if (rc < 0) {
        lab_scenario_free(r->s);
        return rc;
    }
    *ret_scenario = r->s;
    return 0;
}

int lab_scenario_load(const char *path, struct lab_scenario **ret_scenario, struct error *err)
{
    struct lab_reader r = reader_begin(path, err);
    r.may_include = true;
    return reader_end(&r, read_file(&r, r.s->title), ret_scenario);
}

int lab_scenario_parse(const char *text, size_t size, const char *name, struct lab_scenario **ret_scenario,
                       struct error *err)
{
    struct lab_reader r = reader_begin(name, err);
    lab_lex_init(&r.lex, r.s->title, text, size);
    return reader_end(&r, read_statements(&r), ret_scenario);
}

void lab_scenario_free(struct lab_scenario *scenario)
{
    if (!scenario)
        return;
    arena_done(&scenario->arena);
    mem_free(scenario);
}
