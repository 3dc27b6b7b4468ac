#include "lab/truth.h"

#include <assert.h>
#include <inttypes.h>

#include "base/mem.h"
#include "lab/core.h"
#include "lab/truth_core.h"

#define ANSWERED_AT_ONCE 64u /* probes by one compressed acknowledgement */

uint32_t lab_index_find(const struct lab_index *index, uint64_t hash, lab_index_same_fn *same, const void *user,
                        uint32_t *ret_slot)
{
    uint32_t slot = (uint32_t)(hash ^ hash >> 32) & (index->room - 1);
    for (; index->slots[slot] != 0; slot = (slot + 1) & (index->room - 1))
        if (same(user, index->slots[slot] - 1))
            return index->slots[slot] - 1;
    *ret_slot = slot;
    return LAB_NONE;
}

static void index_init(struct lab_index *index, uint32_t most)
{
    for (index->room = 64; index->room < most * 2; index->room *= 2)
        ;
    index->slots = mem_alloc_array(index->room, sizeof *index->slots);
}

struct lab_truth *lab_truth_new(struct lab_net *net, uint32_t probes, uint32_t streams)
{
    struct lab_truth *truth = mem_alloc(sizeof *truth);
    truth->net = net;
    truth->probe_room = probes;
    truth->stream_room = streams;
    truth->probes = mem_alloc_array(probes, sizeof *truth->probes);
    truth->streams = mem_alloc_array(streams, sizeof *truth->streams);
    truth->target_room = streams < LAB_TRUTH_TARGETS ? streams : LAB_TRUTH_TARGETS;
    truth->flow_room = probes < LAB_TRUTH_FLOWS ? probes : LAB_TRUTH_FLOWS;
    truth->path_room = probes < LAB_TRUTH_PATHS / 4 ? probes * 4 : LAB_TRUTH_PATHS;
    truth->hop_room = truth->path_room * LAB_TRUTH_PATH_HOPS;
    truth->targets = mem_alloc_array(truth->target_room, sizeof *truth->targets);
    truth->flows = mem_alloc_array(truth->flow_room, sizeof *truth->flows);
    truth->paths = mem_alloc_array(truth->path_room, sizeof *truth->paths);
    truth->hops = mem_alloc_array(truth->hop_room, sizeof *truth->hops);
    index_init(&truth->stream_index, streams);
    index_init(&truth->target_index, truth->target_room);
    index_init(&truth->flow_index, truth->flow_room);
    index_init(&truth->path_index, truth->path_room);
    return truth;
}

void lab_truth_free(struct lab_truth *truth)
{
    if (!truth)
        return;
    mem_free(truth->probes);
    mem_free(truth->streams);
    mem_free(truth->targets);
    mem_free(truth->flows);
    mem_free(truth->sessions);
    mem_free(truth->paths);
    mem_free(truth->hops);
    mem_free(truth->stream_index.slots);
    mem_free(truth->target_index.slots);
    mem_free(truth->flow_index.slots);
    mem_free(truth->path_index.slots);
    mem_free(truth);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 31;
}

/* --- ways ----------------------------------------------------------------------------------------------------------- */

struct path_key {
    const struct lab_truth *truth;
    const struct lab_path *way;
    bool is_v4;
    enum lab_verdict end;
};

static bool is_same_path(const void *user, uint32_t i)
{
    const struct path_key *key = user;
    const struct lab_truth_path *path = &key->truth->paths[i];
    return path->count == key->way->count && path->is_v4 == key->is_v4 && path->end == key->end &&
           memcmp(key->truth->hops + path->first, key->way->hops, path->count * sizeof(struct lab_hop)) == 0;
}

/* The number of this way, remembered once; LAB_NONE when there is no room. */
static uint32_t intern(struct lab_truth *truth, const struct lab_path *way, bool is_v4, enum lab_verdict end)
{
    struct path_key key = {truth, way, is_v4, end};
    uint64_t hash = mix((uint64_t)is_v4 + 2 * (uint64_t)end, way->count);
    for (uint32_t i = 0; i < way->count; i++) {
        uint64_t hop;
        memcpy(&hop, &way->hops[i], sizeof hop);
        hash = mix(hash, hop);
    }
    uint32_t slot;
    uint32_t found = lab_index_find(&truth->path_index, hash, is_same_path, &key, &slot);
    if (found != LAB_NONE)
        return found;
    if (truth->path_count == truth->path_room || truth->hop_count + way->count > truth->hop_room) {
        truth->refused_paths++;
        return LAB_NONE;
    }
    truth->paths[truth->path_count] = (struct lab_truth_path){truth->hop_count, way->count, is_v4, end};
    memcpy(truth->hops + truth->hop_count, way->hops, way->count * sizeof(struct lab_hop));
    truth->hop_count += way->count;
    truth->path_index.slots[slot] = ++truth->path_count;
    return truth->path_count - 1;
}

bool lab_truth_next_way(struct lab_net *net, const struct lab_packet *packet, struct lab_choices *choices,
                        bool is_first, struct lab_path *ret_way, enum lab_verdict *ret_end)
{
    if (!is_first) {
        while (choices->count > 0 && choices->taken[choices->count - 1] + 1 >= choices->of[choices->count - 1])
            choices->count--;
        if (choices->count == 0)
            return false;
        choices->taken[choices->count - 1]++;
    }
    *ret_end = lab_walk_way(net, packet, choices, ret_way);
    return true;
}

/* All ways this target could be reached by in the present state of the links. */
static void enumerate(struct lab_truth *truth, struct lab_target *target, const struct lab_packet *packet)
{
    struct lab_choices choices = {.count = 0};
    struct lab_path way;
    enum lab_verdict end;
    target->topology = truth->net->topology;
    for (uint32_t i = 0; lab_truth_next_way(truth->net, packet, &choices, i == 0, &way, &end); i++) {
        uint32_t path = i < LAB_TRUTH_TARGET_PATHS * 4 ? intern(truth, &way, packet->is_v4, end) : LAB_NONE;
        bool is_known = false;
        for (uint32_t k = 0; k < target->path_count; k++)
            is_known |= target->paths[k] == path;
        if (is_known)
            continue;
        if (path == LAB_NONE || target->path_count == LAB_TRUTH_TARGET_PATHS) {
            target->is_cut = true;
            return;
        }
        target->paths[target->path_count++] = path;
    }
    target->is_cut |= choices.is_cut;
}

/* --- targets and flows ---------------------------------------------------------------------------------------------- */

struct target_key {
    const struct lab_truth *truth;
    const struct lab_packet *packet;
    uint16_t port;
};

static bool is_same_target(const void *user, uint32_t i)
{
    const struct target_key *key = user;
    const struct lab_target *target = &key->truth->targets[i];
    return target->vantage == key->packet->vantage && target->protocol == key->packet->protocol &&
           target->port == key->port && lab_addr_is_same(&target->address, &key->packet->dst);
}

static uint32_t find_target(struct lab_truth *truth, const struct lab_packet *packet)
{
    /* A TCP port may be behind a firewall of its own; the ports of UDP traces are not worth telling apart. */
    uint16_t port = packet->protocol == LAB_IPPROTO_TCP ? lab_packet_port(packet, true) : 0;
    struct target_key key = {truth, packet, port};
    uint64_t hash = mix(lab_addr_hash(&packet->dst),
                        (uint64_t)packet->vantage << 32 | (uint64_t)packet->protocol << 16 | port);
    uint32_t slot;
    uint32_t found = lab_index_find(&truth->target_index, hash, is_same_target, &key, &slot);
    if (found == LAB_NONE) {
        if (truth->target_count == truth->target_room)
            return LAB_NONE;
        found = truth->target_count;
        truth->target_index.slots[slot] = ++truth->target_count;
        truth->targets[found] = (struct lab_target){
            .vantage = packet->vantage, .protocol = packet->protocol, .port = port, .address = packet->dst};
    }
    if (truth->targets[found].topology != truth->net->topology)
        enumerate(truth, &truth->targets[found], packet);
    return found;
}

struct flow_key {
    const struct lab_truth *truth;
    uint32_t target, flow, topology;
};

static bool is_same_flow(const void *user, uint32_t i)
{
    const struct flow_key *key = user;
    const struct lab_flow *flow = &key->truth->flows[i];
    return flow->target == key->target && flow->flow == key->flow && flow->topology == key->topology;
}

static void note_flow(struct lab_truth *truth, const struct lab_packet *packet, uint32_t target)
{
    struct flow_key key = {truth, target, packet->flow, truth->net->topology};
    uint32_t slot;
    if (lab_index_find(&truth->flow_index, mix(mix(target, packet->flow), key.topology), is_same_flow, &key, &slot) !=
        LAB_NONE)
        return;
    if (truth->flow_count == truth->flow_room) {
        truth->refused_flows++;
        return;
    }
    struct lab_path way;
    enum lab_verdict end = lab_walk_way(truth->net, packet, NULL, &way);
    const uint8_t *l4 = packet->bytes + packet->l4;
    struct lab_flow *flow = &truth->flows[truth->flow_count];
    *flow = (struct lab_flow){.target = target, .flow = packet->flow, .topology = key.topology};
    if (packet->size >= packet->l4 + 4) {
        flow->first = (uint16_t)(l4[0] << 8 | l4[1]);
        flow->second = (uint16_t)(l4[2] << 8 | l4[3]);
    }
    flow->path = intern(truth, &way, packet->is_v4, end);
    const struct lab_packet *arrived = truth->net->scratch;
    if (!lab_addr_is_same(&arrived->src, &packet->src)) {
        flow->seen = arrived->src;
        flow->seen_port = lab_packet_port(arrived, false);
    }
    truth->flow_index.slots[slot] = ++truth->flow_count;
}

/* --- streams and probes --------------------------------------------------------------------------------------------- */

struct stream_key {
    const struct lab_truth *truth;
    const struct lab_packet *packet;
    enum lab_kind kind;
    uint16_t id, seq;
    uint8_t ttl;
};

static bool is_same_stream(const void *user, uint32_t i)
{
    const struct stream_key *key = user;
    const struct lab_stream *stream = &key->truth->streams[i];
    return stream->vantage == key->packet->vantage && stream->kind == key->kind && stream->id == key->id &&
           stream->ttl == key->ttl && lab_addr_is_same(&stream->address, &key->packet->dst);
}

static enum lab_kind tcp_kind(struct lab_truth *truth, const struct lab_packet *packet, uint32_t target)
{
    const uint8_t *l4 = packet->bytes + packet->l4;
    uint32_t seq = (uint32_t)l4[4] << 24 | (uint32_t)l4[5] << 16 | (uint32_t)l4[6] << 8 | l4[7];
    uint32_t size = (uint32_t)(packet->size - packet->l4 - (l4[12] >> 4) * 4), right = seq + size;
    uint32_t slot = (uint32_t)(mix(target, packet->flow) >> 20) & (LAB_TRUTH_SESSIONS - 1);
    if (!truth->sessions)
        truth->sessions = mem_alloc_array(LAB_TRUTH_SESSIONS, sizeof *truth->sessions);
    struct lab_session *session = &truth->sessions[slot];
    if ((l4[13] & (LAB_TCP_SYN | LAB_TCP_ACK)) == LAB_TCP_SYN) {
        *session = (struct lab_session){target, packet->flow, seq + 1, true};
        return LAB_KIND_TCP_SYN;
    }
    if (size == 0)
        return LAB_KIND_TCP;
    if (!session->is_used || session->target != target || session->flow != packet->flow)
        return LAB_KIND_TCP_DATA;
    if ((int32_t)(right - session->next) <= 0)
        return LAB_KIND_TCP_OLD;
    if ((int32_t)(seq - session->next) <= 0)
        session->next = right;
    return LAB_KIND_TCP_DATA;
}

static void identify(struct lab_truth *truth, struct stream_key *key, uint32_t target)
{
    const struct lab_packet *packet = key->packet;
    const uint8_t *l4 = packet->bytes + packet->l4;
    key->kind = LAB_KIND_OTHER;
    key->ttl = lab_packet_ttl(packet);
    if (lab_packet_is_echo_request(packet)) {
        key->kind = LAB_KIND_ECHO;
        key->id = (uint16_t)(l4[4] << 8 | l4[5]);
        key->seq = (uint16_t)(l4[6] << 8 | l4[7]);
    } else if (packet->has_l4 && (packet->protocol == LAB_IPPROTO_TCP || packet->protocol == LAB_IPPROTO_UDP)) {
        key->kind = packet->protocol == LAB_IPPROTO_UDP ? LAB_KIND_UDP : tcp_kind(truth, packet, target);
        key->id = lab_packet_port(packet, true);
        key->seq = lab_packet_port(packet, false);
    }
}

static uint32_t find_stream(struct lab_truth *truth, struct stream_key *key)
{
    const struct lab_packet *packet = key->packet;
    uint64_t hash = mix(lab_addr_hash(&packet->dst), (uint64_t)packet->vantage << 32 | (uint64_t)key->kind << 24 |
                                                         (uint64_t)key->ttl << 16 | key->id);
    uint32_t slot;
    uint32_t found = lab_index_find(&truth->stream_index, hash, is_same_stream, key, &slot);
    if (found != LAB_NONE)
        return found;
    if (truth->stream_count == truth->stream_room) {
        truth->refused_streams++;
        return LAB_NONE;
    }
    truth->streams[truth->stream_count] = (struct lab_stream){
        .vantage = packet->vantage, .kind = key->kind, .id = key->id, .ttl = key->ttl, .address = packet->dst,
        .rtt_min_ns = INT64_MAX};
    truth->stream_index.slots[slot] = ++truth->stream_count;
    return truth->stream_count - 1;
}

void lab_truth_sent(struct lab_truth *truth, struct lab_packet *packet, int64_t now_ns)
{
    struct stream_key key = {.truth = truth, .packet = packet};
    uint32_t target = find_target(truth, packet);
    identify(truth, &key, target);
    packet->mark.stream = find_stream(truth, &key);
    if (target != LAB_NONE)
        note_flow(truth, packet, target);
    if (packet->mark.stream == LAB_NONE)
        return;
    struct lab_stream *stream = &truth->streams[packet->mark.stream];
    packet->mark.number = (uint32_t)stream->sent++;
    stream->target = target;
    if (truth->probe_count == truth->probe_room) {
        truth->refused_probes++;
        return;
    }
    packet->mark.probe = truth->probe_count++;
    truth->probes[packet->mark.probe] = (struct lab_probe){
        .sent_ns = now_ns, .rtt_ns = -1, .stream = packet->mark.stream, .seq = key.seq, .path = LAB_NONE, .where = LAB_NONE,
        .also = LAB_NONE, .number = packet->mark.number};
}

static struct lab_stream *stream_of(struct lab_truth *truth, const struct lab_mark *mark)
{
    return mark->stream == LAB_NONE ? NULL : &truth->streams[mark->stream];
}

static struct lab_probe *probe_of(struct lab_truth *truth, const struct lab_mark *mark)
{
    return mark->probe == LAB_NONE ? NULL : &truth->probes[mark->probe];
}

void lab_truth_way(struct lab_truth *truth, const struct lab_packet *packet, const struct lab_path *way)
{
    struct lab_probe *probe = probe_of(truth, &packet->mark);
    if (probe)
        probe->path = intern(truth, way, packet->is_v4, LAB_PASS);
}

void lab_truth_arrived(struct lab_truth *truth, const struct lab_packet *packet)
{
    struct lab_stream *stream = stream_of(truth, &packet->mark);
    if (stream && !packet->mark.is_copy)
        stream->arrived++;
    struct lab_probe *probe = probe_of(truth, &packet->mark);
    if (probe && probe->fate == LAB_FATE_PENDING)
        probe->fate = LAB_FATE_ARRIVED;
}

void lab_truth_also(struct lab_truth *truth, uint32_t newer, uint32_t older)
{
    if (newer != LAB_NONE && older != LAB_NONE && newer != older)
        truth->probes[newer].also = older;
}

/* The marks of all probes that an answer answers, the oldest first; returns their number. */
static unsigned marks_of(const struct lab_truth *truth, const struct lab_packet *answer,
                         struct lab_mark marks[static ANSWERED_AT_ONCE])
{
    unsigned count = 0;
    uint32_t probes[ANSWERED_AT_ONCE];
    for (uint32_t i = answer->mark.probe; i != LAB_NONE && count < ANSWERED_AT_ONCE; i = truth->probes[i].also)
        probes[count++] = i;
    for (unsigned k = 0; k + 1 < count; k++) {
        const struct lab_probe *probe = &truth->probes[probes[count - 1 - k]];
        marks[k] = (struct lab_mark){.stream = probe->stream, .probe = probes[count - 1 - k], .number = probe->number,
                                     .is_copy = answer->mark.is_copy, .sent_ns = probe->sent_ns};
    }
    if (count == 0)
        count = 1;
    marks[count - 1] = answer->mark;
    return count;
}

void lab_truth_answered(struct lab_truth *truth, const struct lab_packet *answer)
{
    struct lab_mark marks[ANSWERED_AT_ONCE];
    unsigned count = answer->is_again ? 0 : marks_of(truth, answer, marks);
    for (unsigned i = 0; i < count; i++) {
        struct lab_stream *stream = stream_of(truth, &marks[i]);
        if (!stream)
            continue;
        if (answer->is_error)
            stream->errors_made++;
        else
            stream->answers_made++;
    }
}

static void note_rtt(struct lab_stream *stream, int64_t rtt_ns)
{
    if (rtt_ns < stream->rtt_min_ns)
        stream->rtt_min_ns = rtt_ns;
    if (rtt_ns > stream->rtt_max_ns)
        stream->rtt_max_ns = rtt_ns;
    stream->rtt_sum_ns += rtt_ns;
}

static void note_answer(struct lab_truth *truth, const struct lab_mark *mark, bool is_error, int64_t now_ns)
{
    struct lab_stream *stream = stream_of(truth, mark);
    struct lab_probe *probe = probe_of(truth, mark);
    if (!stream)
        return;
    bool is_first = probe ? probe->rtt_ns < 0 : !mark->is_copy;
    if (probe)
        probe->answers++;
    if (!is_first) {
        stream->duplicates++;
        return;
    }
    int64_t rtt_ns = now_ns - mark->sent_ns;
    if (mark->number < stream->next_number)
        stream->reordered++;
    else
        stream->next_number = mark->number + 1;
    if (is_error) {
        stream->errors++;
        stream->error_rtt_sum_ns += rtt_ns;
    } else {
        stream->received++;
        note_rtt(stream, rtt_ns);
    }
    if (probe) {
        probe->rtt_ns = rtt_ns;
        probe->fate = is_error ? LAB_FATE_ERROR : LAB_FATE_ANSWERED;
        probe->reason = LAB_REASON_NONE;
        probe->where = LAB_NONE;
    }
}

void lab_truth_received(struct lab_truth *truth, const struct lab_packet *answer, int64_t now_ns)
{
    struct lab_mark marks[ANSWERED_AT_ONCE];
    if (answer->is_again) {
        struct lab_stream *stream = stream_of(truth, &answer->mark);
        if (stream)
            stream->again++;
        return;
    }
    unsigned count = marks_of(truth, answer, marks);
    for (unsigned i = 0; i < count; i++)
        note_answer(truth, &marks[i], answer->is_error, now_ns);
}

/* Did the packet get where it wanted, or far enough to be answered, and was not? */
static bool is_suppression(enum lab_reason reason)
{
    switch (reason) {
    case LAB_REASON_SILENT:
    case LAB_REASON_RATE_LIMIT:
    case LAB_REASON_HOST_DOWN:
    case LAB_REASON_ECHO_OFF:
    case LAB_REASON_ECHO_LOSS:
    case LAB_REASON_PORT_SILENT:
    case LAB_REASON_BACKLOG:
    case LAB_REASON_NO_ERROR:
    case LAB_REASON_CONSUMED:
        return true;
    case LAB_REASON_NONE:
    case LAB_REASON_LOSS:
    case LAB_REASON_QUEUE:
    case LAB_REASON_LINK_DOWN:
    case LAB_REASON_MIDDLEBOX:
    case LAB_REASON_FIREWALL:
    case LAB_REASON_BLACKHOLE:
    case LAB_REASON_CHECKSUM:
    case LAB_REASON_NO_ROUTE:
    case LAB_REASON_TTL:
    case LAB_REASON_FRAGMENT:
    case LAB_REASON_MALFORMED:
    case LAB_REASON_NO_BUFFER:
    case LAB_REASON_COUNT:
        break;
    }
    return false;
}

static void note_drop(struct lab_truth *truth, const struct lab_mark *mark, enum lab_fate fate,
                      enum lab_reason reason, uint32_t where)
{
    struct lab_stream *stream = stream_of(truth, mark);
    if (!stream)
        return;
    if (fate == LAB_FATE_LOST_RETURN) {
        stream->lost_return++;
        stream->return_reasons[reason]++;
    } else {
        if (fate == LAB_FATE_LOST_FORWARD)
            stream->lost_forward++;
        else if (reason != LAB_REASON_CONSUMED)
            stream->suppressed++;
        stream->forward_reasons[reason]++;
    }
    struct lab_probe *probe = probe_of(truth, mark);
    if (!probe || probe->rtt_ns >= 0)
        return;
    probe->fate = (uint8_t)fate;
    probe->reason = (uint8_t)reason;
    probe->where = where;
}

void lab_truth_dropped(struct lab_truth *truth, const struct lab_packet *packet, enum lab_reason reason, uint32_t port)
{
    struct lab_mark marks[ANSWERED_AT_ONCE];
    uint32_t where = port != LAB_NONE ? port : LAB_WHERE_NODE | packet->node;
    if (packet->mark.is_copy || packet->is_again)
        return;
    if (!packet->is_answer) {
        enum lab_fate fate = is_suppression(reason) ? LAB_FATE_UNANSWERED : LAB_FATE_LOST_FORWARD;
        note_drop(truth, &packet->mark, fate, reason, where);
        return;
    }
    unsigned count = marks_of(truth, packet, marks);
    for (unsigned i = 0; i < count; i++)
        note_drop(truth, &marks[i], LAB_FATE_LOST_RETURN, reason, where);
}

void lab_truth_sum(const struct lab_truth *truth, unsigned vantage, const char *destination, enum lab_kind kind,
                   unsigned ttl, struct lab_truth_sum *ret)
{
    struct lab_addr addr;
    *ret = (struct lab_truth_sum){.sent = 0};
    if (lab_addr_parse(destination, &addr) < 0)
        return;
    for (uint32_t i = 0; i < truth->stream_count; i++) {
        const struct lab_stream *stream = &truth->streams[i];
        if (stream->vantage != vantage || stream->kind != kind || (ttl != 0 && stream->ttl != ttl) ||
            !lab_addr_is_same(&stream->address, &addr))
            continue;
        ret->sent += stream->sent;
        ret->arrived += stream->arrived;
        ret->received += stream->received;
        ret->errors += stream->errors;
        ret->duplicates += stream->duplicates;
        ret->reordered += stream->reordered;
        ret->again += stream->again;
        ret->lost_forward += stream->lost_forward;
        ret->lost_return += stream->lost_return;
        ret->suppressed += stream->suppressed;
        ret->rtt_sum_ns += stream->rtt_sum_ns;
        if (stream->received > 0 && (ret->rtt_min_ns == 0 || stream->rtt_min_ns < ret->rtt_min_ns))
            ret->rtt_min_ns = stream->rtt_min_ns;
        if (stream->rtt_max_ns > ret->rtt_max_ns)
            ret->rtt_max_ns = stream->rtt_max_ns;
    }
}
