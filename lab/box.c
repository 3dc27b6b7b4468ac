/*
 * Middleboxes: what routers do to packets beyond forwarding them.
 *
 * NAT follows RFC 3022 and 4787 with mappings that do not depend on the destination: an inside address and port keeps
 * its outside port for all destinations, and everybody may answer to it. ICMP echo identifiers are ports here (RFC
 * 5508). Quoted packets in ICMP errors are translated back as far as the scenario says.
 *
 * Sequence numbers are randomized by adding to each direction of a connection a number drawn from its addresses and
 * ports, so that no state is needed and both directions fit each other.
 */
#include "lab/core.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"

#define CLASSES 3u /* TCP, UDP, ICMP echo: each has its own ports */
#define PORTS 65536u
#define FIRST_PORT 1024u
#define HEADS 65536u
#define WATCHES 65536u
#define WATCH_NS (30 * CLOCK_S) /* a SYN is remembered so long */

struct mapping {
    uint8_t inside[4];
    uint16_t inside_port;
    bool is_used;
    uint32_t next; /* of the same hash: 1 + mapping, 0 = none */
    int64_t last_ns;
};

struct nat_now {
    struct mapping maps[CLASSES * PORTS]; /* by class and outside port */
    uint32_t heads[HEADS];
    uint16_t next_port[CLASSES];
    uint32_t count;
};

/* What is remembered of one direction of a TCP connection that passes a router. */
struct watch {
    uint64_t key; /* 0 = free */
    int64_t last_ns;
    uint32_t isn, next, out_of_order;
    bool has_isn, has_next;
};

/* A connection whose handshake a proxy made: the destination numbers its bytes otherwise than the proxy said. */
struct splice {
    uint64_t key; /* 0 = free */
    uint32_t client_isn, shift;
    bool is_open; /* the destination has accepted too */
};

struct lab_boxes {
    uint64_t salt;
    uint32_t nat_count;
    struct nat_now **nats;
    struct splice *splices;
    struct watch *watches; /* by hash; a later connection may take the place of an earlier one */
    uint16_t *ip_ids;      /* of each node: the next */
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

struct lab_boxes *lab_boxes_new(const struct lab_scenario *s, uint64_t seed)
{
    struct lab_boxes *boxes = mem_alloc(sizeof *boxes);
    boxes->salt = seed;
    boxes->nat_count = s->nat_count;
    boxes->nats = mem_alloc_array(s->nat_count + 1, sizeof *boxes->nats);
    for (uint32_t i = 0; i < s->nat_count; i++) {
        boxes->nats[i] = mem_alloc(sizeof(struct nat_now));
        for (uint32_t class = 0; class < CLASSES; class++)
            boxes->nats[i]->next_port[class] = (uint16_t)(FIRST_PORT + mix(seed, i * CLASSES + class) % 60000);
    }
    for (uint32_t i = 0; i < s->node_count && !boxes->watches; i++)
        if (s->nodes[i].box.is_dropping_syn_change || s->nodes[i].box.drop_every > 0)
            boxes->watches = mem_alloc_array(WATCHES, sizeof *boxes->watches);
    for (uint32_t i = 0; i < s->node_count && !boxes->splices; i++)
        if (s->nodes[i].box.proxies)
            boxes->splices = mem_alloc_array(WATCHES, sizeof *boxes->splices);
    boxes->ip_ids = mem_alloc_array(s->node_count + 1, sizeof *boxes->ip_ids);
    return boxes;
}

void lab_boxes_free(struct lab_boxes *boxes)
{
    for (uint32_t i = 0; i < boxes->nat_count; i++)
        mem_free(boxes->nats[i]);
    mem_free(boxes->nats);
    mem_free(boxes->splices);
    mem_free(boxes->watches);
    mem_free(boxes->ip_ids);
    mem_free(boxes);
}

uint32_t lab_box_mappings(const struct lab_boxes *boxes, uint32_t nat)
{
    return boxes->nats[nat]->count;
}

/* --- the ports of a NAT --------------------------------------------------------------------------------------------- */

/* Where an IPv4 packet, whole or quoted, carries the port of its source or destination, and of which class; NULL when
 * it has none within `size` bytes. Echo requests have a source only, replies a destination only. */
static uint8_t *port_of(uint8_t *ip, size_t size, bool is_destination, uint32_t *ret_class)
{
    size_t l4 = (size_t)(ip[0] & 15) * 4;
    if (ip[0] >> 4 != 4 || l4 < 20 || size < l4 + 8 || bytes_get16(ip + 6) & 0x1fff)
        return NULL;
    uint8_t type = ip[l4];
    switch (ip[9]) {
    case LAB_IPPROTO_TCP:
        *ret_class = 0;
        return ip + l4 + (is_destination ? 2 : 0);
    case LAB_IPPROTO_UDP:
        *ret_class = 1;
        return ip + l4 + (is_destination ? 2 : 0);
    case LAB_IPPROTO_ICMP:
        *ret_class = 2;
        return type == (is_destination ? 0 : 8) ? ip + l4 + 4 : NULL;
    default:
        return NULL;
    }
}

static uint32_t *head_of(struct nat_now *now, const uint8_t inside[4], uint32_t class, uint16_t port)
{
    return &now->heads[mix(mix(bytes_get32(inside), class), port) >> 16 & (HEADS - 1)];
}

static void forget(struct nat_now *now, uint32_t i)
{
    struct mapping *map = &now->maps[i];
    uint32_t *at = head_of(now, map->inside, i / PORTS, map->inside_port);
    while (*at != i + 1)
        at = &now->maps[*at - 1].next;
    *at = map->next;
    map->is_used = false;
    now->count--;
}

static bool is_free(struct nat_now *now, uint32_t i, int64_t idle_ns, int64_t now_ns)
{
    if (now->maps[i].is_used && now_ns - now->maps[i].last_ns > idle_ns)
        forget(now, i);
    return !now->maps[i].is_used;
}

/* The outside port of an inside port, given to it when it has none; 0 when there is no more. */
static uint16_t map_out(const struct lab_nat *nat, struct nat_now *now, const uint8_t inside[4], uint32_t class,
                        uint16_t port, int64_t now_ns)
{
    uint32_t *head = head_of(now, inside, class, port), found = 0;
    for (uint32_t i = *head; i != 0; i = now->maps[i - 1].next) {
        struct mapping *map = &now->maps[i - 1];
        if (map->inside_port == port && (i - 1) / PORTS == class && memcmp(map->inside, inside, 4) == 0) {
            map->last_ns = now_ns;
            return (uint16_t)((i - 1) % PORTS);
        }
    }
    uint32_t base = class * PORTS;
    if (nat->is_keeping_ports && port != 0 && is_free(now, base + port, nat->idle_ns, now_ns))
        found = port;
    for (uint32_t i = 0; i < PORTS && found == 0; i++) {
        uint16_t candidate = now->next_port[class]++;
        if (candidate >= FIRST_PORT && (candidate != port || nat->is_keeping_ports) &&
            is_free(now, base + candidate, nat->idle_ns, now_ns))
            found = candidate;
    }
    if (found == 0)
        return 0;
    struct mapping *map = &now->maps[base + found];
    *map = (struct mapping){.inside_port = port, .is_used = true, .next = *head, .last_ns = now_ns};
    memcpy(map->inside, inside, 4);
    *head = base + found + 1;
    now->count++;
    return (uint16_t)found;
}

/* Outwards: false when there is no port left. */
static bool leave_nat(struct lab_net *net, const struct lab_box *box, struct lab_packet *packet, int64_t now_ns)
{
    for (uint32_t i = packet->is_v4 ? box->nat : LAB_NONE; i != LAB_NONE; i = net->s->nats[i].next) {
        const struct lab_nat *nat = &net->s->nats[i];
        size_t size;
        uint32_t class;
        if (!lab_prefix_has(&nat->inside, &packet->src) || lab_prefix_has(&nat->inside, &packet->dst))
            continue;
        uint8_t *port = packet->has_l4 ? port_of(packet->bytes, packet->size, false, &class) : NULL;
        if (port) {
            uint16_t outside = map_out(nat, net->boxes->nats[i], packet->bytes + 12, class, bytes_get16(port), now_ns);
            if (outside == 0)
                return false;
            bytes_put16(port, outside);
        }
        memcpy(packet->bytes + 12, lab_addr_bytes(&nat->outside, &size), 4);
        lab_packet_seal(packet);
        return true;
    }
    return true;
}

/* One 16-bit word and the checksum that covers it, by equation 3 of RFC 1624. */
static void replace_word(uint8_t *at, uint16_t value, uint8_t *checksum)
{
    if (checksum) {
        uint32_t sum = (uint32_t)(uint16_t)~bytes_get16(checksum) + (uint16_t)~bytes_get16(at) + value;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        bytes_put16(checksum, (uint16_t)~sum);
    }
    bytes_put16(at, value);
}

/* The transport checksum of a quoted IPv4 packet, or NULL when the quotation ends before or there is none. */
static uint8_t *quoted_checksum(uint8_t *ip, size_t size)
{
    size_t l4 = (size_t)(ip[0] & 15) * 4;
    size_t at = l4 + (ip[9] == LAB_IPPROTO_TCP ? 16 : ip[9] == LAB_IPPROTO_UDP ? 6 : 2);
    if (at + 2 > size || (ip[9] == LAB_IPPROTO_UDP && bytes_get16(ip + at) == 0))
        return NULL;
    return ip + at;
}

/* The packet that an ICMP error quotes gets its source back. */
static void restore_quote(const struct lab_nat *nat, const struct mapping *map, uint8_t *quote, size_t size)
{
    uint32_t class;
    uint8_t *port = port_of(quote, size, false, &class);
    uint8_t *sum = nat->is_quoted_checksum_kept ? NULL : quoted_checksum(quote, size);
    if (nat->quotes == LAB_QUOTES_NONE)
        return;
    for (int i = 0; i < 2; i++) {
        uint8_t *at = quote + 12 + i * 2;
        uint16_t value = bytes_get16(map->inside + i * 2);
        if (quote[9] != LAB_IPPROTO_ICMP && sum) {
            uint8_t before[2] = {at[0], at[1]};
            replace_word(before, value, sum); /* of the pseudo header */
        }
        replace_word(at, value, quote + 10);
    }
    if (nat->quotes == LAB_QUOTES_FULL)
        replace_word(port, map->inside_port, sum);
}

static struct mapping *find_in(const struct lab_nat *nat, struct nat_now *now, uint32_t class, uint16_t port,
                               int64_t now_ns)
{
    uint32_t i = class * PORTS + port;
    if (is_free(now, i, nat->idle_ns, now_ns))
        return NULL;
    now->maps[i].last_ns = now_ns;
    return &now->maps[i];
}

static void enter_nat(struct lab_packet *packet, const struct lab_nat *nat, struct nat_now *now, int64_t now_ns)
{
    uint8_t *ip = packet->bytes, *quote = ip + packet->l4 + 8, *port;
    size_t quote_size = (size_t)packet->size - packet->l4 - 8;
    bool is_error = lab_packet_is_icmp_error(packet);
    uint32_t class;
    port = is_error ? port_of(quote, quote_size, false, &class) : port_of(ip, packet->size, true, &class);
    if (!port || !lab_packet_is_intact(packet) || (is_error && memcmp(quote + 12, ip + 16, 4) != 0))
        return;
    struct mapping *map = find_in(nat, now, class, bytes_get16(port), now_ns);
    if (!map)
        return;
    if (is_error)
        restore_quote(nat, map, quote, quote_size);
    else
        bytes_put16(port, map->inside_port);
    memcpy(ip + 16, map->inside, 4);
    lab_packet_seal(packet);
}

void lab_box_enter(struct lab_net *net, struct lab_packet *packet, int64_t now_ns)
{
    uint32_t first = net->s->nodes[packet->node].box.nat;
    for (uint32_t i = packet->is_v4 && packet->has_l4 ? first : LAB_NONE; i != LAB_NONE; i = net->s->nats[i].next)
        if (lab_addr_is_same(&net->s->nats[i].outside, &packet->dst)) {
            enter_nat(packet, &net->s->nats[i], net->boxes->nats[i], now_ns);
            return;
        }
}

/* --- TCP ------------------------------------------------------------------------------------------------------------ */

/* The number that belongs to one direction of a connection. */
static uint64_t direction(const struct lab_net *net, uint32_t node, const struct lab_addr *from,
                          const struct lab_addr *to, const uint8_t *from_port, const uint8_t *to_port)
{
    uint64_t hash = mix(net->boxes->salt, node);
    hash = mix(mix(hash, lab_addr_hash(from)), lab_addr_hash(to));
    hash = mix(hash, (uint64_t)bytes_get16(from_port) << 16 | bytes_get16(to_port));
    return hash | 1;
}

static uint64_t direction_of(const struct lab_net *net, const struct lab_packet *packet, bool is_back)
{
    const uint8_t *ports = packet->bytes + packet->l4;
    return is_back ? direction(net, packet->node, &packet->dst, &packet->src, ports + 2, ports)
                   : direction(net, packet->node, &packet->src, &packet->dst, ports, ports + 2);
}

static uint32_t shift_of(uint64_t direction)
{
    return (uint32_t)(direction * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

/* The next option of a TCP header from *at on, or NULL; *at moves behind it. */
static uint8_t *next_option(uint8_t *tcp, size_t *at)
{
    size_t end = (size_t)(tcp[12] >> 4) * 4;
    while (*at < end && tcp[*at] == 1)
        ++*at;
    if (*at + 1 >= end || tcp[*at] == 0 || tcp[*at + 1] < 2 || *at + tcp[*at + 1] > end)
        return NULL;
    uint8_t *option = tcp + *at;
    *at += option[1];
    return option;
}

static void randomize(struct lab_net *net, const struct lab_box *box, struct lab_packet *packet)
{
    uint8_t *tcp = packet->bytes + packet->l4;
    uint32_t there = shift_of(direction_of(net, packet, false)), back = shift_of(direction_of(net, packet, true));
    bytes_put32(tcp + 4, bytes_get32(tcp + 4) + there);
    if (tcp[13] & LAB_TCP_ACK)
        bytes_put32(tcp + 8, bytes_get32(tcp + 8) - back);
    size_t at = 20;
    for (uint8_t *o; box->sequence == LAB_SEQUENCE_RANDOM && (o = next_option(tcp, &at)) != NULL;)
        for (uint8_t *edge = o + 2; o[0] == 5 && edge + 4 <= o + o[1]; edge += 4)
            bytes_put32(edge, bytes_get32(edge) - back);
}

/* The sequence number that an ICMP error to the sender quotes. */
static void restore_sequence(struct lab_net *net, struct lab_packet *packet)
{
    uint8_t *quote = packet->bytes + packet->l4 + 8, *sum;
    size_t size = (size_t)packet->size - packet->l4 - 8, header = packet->is_v4 ? (size_t)(quote[0] & 15) * 4 : 40;
    if (size < header + 8 || quote[0] >> 4 != (packet->is_v4 ? 4 : 6) || !lab_packet_is_intact(packet) ||
        quote[packet->is_v4 ? 9 : 6] != LAB_IPPROTO_TCP)
        return;
    uint8_t *tcp = quote + header;
    struct lab_addr from = lab_addr_from(quote + (packet->is_v4 ? 12 : 8), packet->is_v4);
    struct lab_addr to = lab_addr_from(quote + (packet->is_v4 ? 16 : 24), packet->is_v4);
    uint32_t seq = bytes_get32(tcp + 4) - shift_of(direction(net, packet->node, &from, &to, tcp, tcp + 2));
    sum = size >= header + 18 ? tcp + 16 : NULL;
    replace_word(tcp + 4, (uint16_t)(seq >> 16), sum);
    replace_word(tcp + 6, (uint16_t)seq, sum);
    lab_packet_seal(packet);
}

static struct watch *watch_of(struct lab_net *net, const struct lab_packet *packet, bool is_back, bool is_new)
{
    uint64_t key = direction_of(net, packet, is_back);
    struct watch *watch = &net->boxes->watches[key >> 24 & (WATCHES - 1)];
    if (watch->key == key)
        return watch;
    if (!is_new)
        return NULL;
    *watch = (struct watch){.key = key};
    return watch;
}

/* True when the packet must not pass. */
static bool is_syn_changed(struct lab_net *net, const struct lab_packet *packet, int64_t now_ns)
{
    const uint8_t *tcp = packet->bytes + packet->l4;
    if (tcp[13] & LAB_TCP_RST) {
        for (int i = 0; i < 2; i++) {
            struct watch *watch = watch_of(net, packet, i == 1, false);
            if (watch)
                watch->has_isn = false;
        }
        return false;
    }
    if ((tcp[13] & (LAB_TCP_SYN | LAB_TCP_ACK)) != LAB_TCP_SYN)
        return false;
    struct watch *watch = watch_of(net, packet, false, true);
    if (watch->has_isn && now_ns - watch->last_ns <= WATCH_NS)
        return watch->isn != bytes_get32(tcp + 4);
    watch->has_isn = true;
    watch->isn = bytes_get32(tcp + 4);
    watch->last_ns = now_ns;
    return false;
}

static bool is_unlucky(struct lab_net *net, const struct lab_box *box, const struct lab_packet *packet)
{
    const uint8_t *tcp = packet->bytes + packet->l4;
    uint32_t seq = bytes_get32(tcp + 4), size = (uint32_t)(packet->size - packet->l4 - (tcp[12] >> 4) * 4);
    bool is_syn = tcp[13] & LAB_TCP_SYN;
    if (!is_syn && size == 0)
        return false;
    struct watch *watch = watch_of(net, packet, false, true);
    if (is_syn || !watch->has_next) {
        watch->next = seq + size + is_syn;
        watch->has_next = true;
        watch->out_of_order = 0;
        return false;
    }
    if ((int32_t)(seq - watch->next) > 0)
        return ++watch->out_of_order % box->drop_every == 0;
    if ((int32_t)(seq + size - watch->next) > 0)
        watch->next = seq + size;
    return false;
}

static void edit_options(const struct lab_box *box, struct lab_packet *packet)
{
    uint8_t *tcp = packet->bytes + packet->l4;
    size_t at = 20;
    for (uint8_t *o; (o = next_option(tcp, &at)) != NULL;) {
        bool is_stripped = (o[0] == 4 && box->strip & LAB_STRIP_SACK_PERMITTED) ||
                           (o[0] == 5 && box->strip & LAB_STRIP_SACK) || (o[0] == 8 && box->strip & LAB_STRIP_TIMESTAMPS);
        if (is_stripped)
            memset(o, 1, o[1]);
        else if (o[0] == 2 && o[1] == 4 && box->mss_clamp > 0 && bytes_get16(o + 2) > box->mss_clamp)
            bytes_put16(o + 2, box->mss_clamp);
    }
}

/* --- proxies -------------------------------------------------------------------------------------------------------- */

static struct splice *splice_of(const struct lab_net *net, const struct lab_packet *packet, bool is_back)
{
    uint64_t key = direction_of(net, packet, is_back);
    struct splice *splice = &net->boxes->splices[key >> 24 & (WATCHES - 1)];
    return splice->key == key ? splice : NULL;
}

const struct lab_proxy *lab_box_proxy(const struct lab_net *net, const struct lab_packet *packet)
{
    const struct lab_proxy *proxy = net->s->nodes[packet->node].box.proxies;
    if (!proxy || packet->protocol != LAB_IPPROTO_TCP || !packet->has_l4 || packet->is_answer)
        return NULL;
    uint16_t port = lab_packet_port(packet, true);
    bool is_syn = packet->bytes[packet->l4 + 13] & LAB_TCP_SYN;
    for (; proxy; proxy = proxy->next)
        if (port >= proxy->port_low && port <= proxy->port_high &&
            (!proxy->has_to || lab_prefix_has(&proxy->to, &packet->dst)))
            return !is_syn && splice_of(net, packet, false) ? NULL : proxy;
    return NULL;
}

/* A segment of the proxy's own, to the destination in the client's name. */
static void send_own(struct lab_net *net, uint32_t node, const struct lab_tcp_ends *ends,
                     const struct lab_tcp_header *header, int64_t now_ns)
{
    struct lab_packet *packet = lab_net_packet(net);
    if (!packet)
        return;
    lab_packet_make_tcp(packet, ends, header, 64);
    packet->node = node;
    packet->event = LAB_EVENT_CONTINUE;
    lab_net_schedule(net, packet, now_ns);
}

void lab_box_hand_over(struct lab_net *net, const struct lab_packet *ack, const struct lab_handshake *handshake,
                       int64_t now_ns)
{
    uint64_t key = direction_of(net, ack, false);
    net->boxes->splices[key >> 24 & (WATCHES - 1)] =
        (struct splice){.key = key, .client_isn = handshake->client_isn, .shift = handshake->proxy_isn};
    struct lab_tcp_header syn = {.seq = handshake->client_isn, .window = 65535, .flags = LAB_TCP_SYN,
                                 .options = {2, 4, (uint8_t)(handshake->mss >> 8), (uint8_t)handshake->mss, 1, 1, 4, 2},
                                 .options_size = handshake->has_sack ? 8 : 4};
    struct lab_tcp_ends ends = {ack->src, ack->dst, lab_packet_port(ack, false), lab_packet_port(ack, true)};
    send_own(net, ack->node, &ends, &syn, now_ns);
}

/* Either direction of a connection that was handed over. False when the packet is the proxy's, or too early. */
static bool pass_splice(struct lab_net *net, struct lab_packet *packet, int64_t now_ns)
{
    uint8_t *tcp = packet->bytes + packet->l4;
    struct splice *there = splice_of(net, packet, false), *back = splice_of(net, packet, true);
    if (there) {
        bytes_put32(tcp + 8, tcp[13] & LAB_TCP_ACK ? bytes_get32(tcp + 8) + there->shift : bytes_get32(tcp + 8));
        lab_packet_seal(packet);
        return there->is_open;
    }
    if (!back)
        return true;
    if (!back->is_open && (tcp[13] & (LAB_TCP_SYN | LAB_TCP_ACK)) == (LAB_TCP_SYN | LAB_TCP_ACK)) {
        back->is_open = true;
        back->shift = bytes_get32(tcp + 4) - back->shift;
        struct lab_tcp_ends ends = lab_packet_turned(packet);
        struct lab_tcp_header ack = {.seq = back->client_isn + 1, .ack = bytes_get32(tcp + 4) + 1, .window = 65535,
                                     .flags = LAB_TCP_ACK};
        send_own(net, packet->node, &ends, &ack, now_ns);
        return false;
    }
    bytes_put32(tcp + 4, bytes_get32(tcp + 4) - back->shift);
    lab_packet_seal(packet);
    return true;
}

static bool pass_tcp(struct lab_net *net, const struct lab_box *box, struct lab_packet *packet, int64_t now_ns,
                     bool is_dry)
{
    if (!is_dry && box->is_dropping_syn_change && is_syn_changed(net, packet, now_ns))
        return false;
    if (!is_dry && box->drop_every > 0 && is_unlucky(net, box, packet))
        return false;
    if (!is_dry && box->proxies && lab_packet_is_intact(packet) && !pass_splice(net, packet, now_ns))
        return false;
    bool is_edited = box->strip || box->mss_clamp > 0 || box->sequence != LAB_SEQUENCE_KEPT;
    if (!is_edited || !lab_packet_is_intact(packet)) /* what is damaged must stay so */
        return true;
    if (box->sequence != LAB_SEQUENCE_KEPT)
        randomize(net, box, packet);
    edit_options(box, packet);
    lab_packet_seal(packet);
    return true;
}

bool lab_box_pass(struct lab_net *net, struct lab_packet *packet, int64_t now_ns, bool is_dry)
{
    const struct lab_box *box = &net->s->nodes[packet->node].box;
    if (box->ecn >= 0)
        lab_packet_set_ecn(packet, (uint8_t)box->ecn);
    if (!is_dry && box->ip_id != LAB_IP_ID_KEPT && packet->is_v4) {
        uint16_t *next = &net->boxes->ip_ids[packet->node];
        uint16_t random = (uint16_t)rng_u64(&net->nodes[packet->node].rng);
        lab_packet_set_ip_id(packet, box->ip_id == LAB_IP_ID_ZERO ? 0 : box->ip_id == LAB_IP_ID_COUNT ? ++*next : random);
    }
    if (packet->protocol == LAB_IPPROTO_TCP && packet->has_l4 && !pass_tcp(net, box, packet, now_ns, is_dry))
        return false;
    if (box->sequence != LAB_SEQUENCE_KEPT && box->is_quote_restored && packet->has_l4 &&
        lab_packet_is_icmp_error(packet))
        restore_sequence(net, packet);
    return box->nat == LAB_NONE || !lab_packet_is_intact(packet) || leave_nat(net, box, packet, now_ns);
}
