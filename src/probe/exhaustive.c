#include "probe/exhaustive.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "probe/exhaustive_core.h"
#include "probe/refusal.h"

#define ESTIMATE_NS (250 * CLOCK_MS) /* for the answer that tells the distance; later it still helps */
#define ESTIMATE_FLOW 0u
#define MAX_ESTIMATE 40u /* more hops than this are a strange initial TTL rather than a long path */
#define USUAL_PATH 30u   /* how far one walks through silence to a target that is known to answer */
#define BEYOND 2u        /* TTLs probed at once beyond a hop that was not thought to be there */
#define FIRST_FLOWS 6u   /* probed at all TTLs up to the estimated distance at once */
#define FIRST_TEST 500u  /* after so many probes it is asked who balances by packet, then after twice as many */
#define WINDOW 250u      /* probes awaiting an answer */
#define PAYLOAD_BYTES 8u
#define MIN_WAIT_NS (100 * CLOCK_MS)
#define LIMITED_GAP_NS (10 * CLOCK_MS) /* first guess at what a router that limits its answers can bear */
#define MIN_GAP_NS (2 * CLOCK_MS)
#define MAX_GAP_NS CLOCK_S
#define MAX_FILL_NS (2 * CLOCK_S) /* for completing the paths that are told */
#define MAX_RETURNS 8u            /* to the search, when a late answer showed something new */

const char *const probe_exhaustive_balancer_names[] = {"none", "per-flow", "per-packet", "unknown", NULL};

enum state { STATE_ESTIMATING, STATE_SEARCHING, STATE_FILLING, STATE_MEASURING };

struct probe_exhaustive {
    struct probe_round round; /* first member */
    enum state state;
    struct search *search; /* in the arena */
    probe_exhaustive_fn *progress, *done;
    void *user;
};

_Static_assert(sizeof(struct probe_exhaustive) <= ROUND_BYTES, "a search fits a slot");

void probe_exhaustive_defaults(struct probe_exhaustive_settings *settings)
{
    *settings = (struct probe_exhaustive_settings){.confidence = 0.95,
                                                   .max_probes = 5000,
                                                   .max_flows = LIMIT_EXHAUSTIVE_FLOWS,
                                                   .max_paths = 16,
                                                   .path_probes = 10,
                                                   .path_gap_ns = 5 * CLOCK_MS,
                                                   .max_ns = 15 * CLOCK_S,
                                                   .wait_ns = CLOCK_S,
                                                   .max_ttl = LIMIT_HOPS,
                                                   .gap_limit = 6,
                                                   .attempts = PROBE_TRACE_MAX_ATTEMPTS};
}

/* --- sending ---------------------------------------------------------------------------- */

static int open_flow(struct search *search, uint16_t number, struct error *err)
{
    struct exhaustive_flow *flow = arena_alloc(search->arena, sizeof *flow);
    uint64_t seed = search->settings.flow_seed;
    uint32_t index = number;
    if (!flow)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    /* Far apart, so that no two flows of a search agree in either byte by plan. */
    uint16_t sum = (uint16_t)(1 + (search->first_sum + index * 0x1357u) % 0xfffe);
    flow->flow.match.protocol = search->settings.protocol;
    flow->flow.match.src = search->settings.src;
    flow->flow.match.dst = search->settings.dst;
    flow->flow.match.payload_size = search->settings.protocol == PROBE_TCP ? 0 : PAYLOAD_BYTES;
    flow->end = PROBE_TRACE_SILENT;
    int rc = flow_open(search->round, &flow->flow, number, sum, seed ? str_hash(&index, sizeof index, seed) : 0, err);
    if (rc == 0)
        search->flows[number] = flow;
    return rc;
}

static struct exhaustive_record *add_record(struct search *search)
{
    if (search->record_count == search->record_room) {
        struct exhaustive_record *chunk = arena_alloc_array(search->arena, EXHAUSTIVE_CHUNK, sizeof *chunk);
        if (!chunk)
            return NULL;
        search->chunks[search->record_room / EXHAUSTIVE_CHUNK] = chunk;
        search->record_room += EXHAUSTIVE_CHUNK;
    }
    struct exhaustive_record *record = exhaustive_record_at(search, search->record_count);
    *record = (struct exhaustive_record){.vertex = MULTIPATH_NONE};
    return record;
}

static int64_t wait_of(const struct search *search)
{
    int64_t wait = search->max_rtt_ns * 2 + 50 * CLOCK_MS;
    if (search->max_rtt_ns == 0)
        return search->settings.wait_ns;
    return wait > MIN_WAIT_NS ? wait : MIN_WAIT_NS;
}

/* Whether the pace of a TTL allows a probe now; if so it is used up. */
static bool is_paced(struct search *search, uint8_t ttl, int64_t now)
{
    struct exhaustive_pace *pace = &search->paces[ttl];
    if (pace->gap_ns == 0)
        return true;
    if (pace->next_ns > now) {
        if (pace->next_ns < search->blocked_until_ns)
            search->blocked_until_ns = pace->next_ns;
        return false;
    }
    pace->next_ns = now + pace->gap_ns;
    return true;
}

static bool has_room(struct search *search, enum exhaustive_purpose purpose)
{
    if (search->out >= WINDOW)
        search->is_full = true;
    if (purpose == EXHAUSTIVE_SEARCH && search->search_sent >= search->settings.max_probes)
        search->mp.is_cut = true;
    return !search->is_full && !search->is_exhausted && (purpose != EXHAUSTIVE_SEARCH || !search->mp.is_cut);
}

bool exhaustive_send(struct search *search, uint16_t number, uint8_t ttl, enum exhaustive_purpose purpose,
                     uint16_t path)
{
    int64_t now = probe_engine_mono_ns(search->round->engine);
    bool is_cell = purpose == EXHAUSTIVE_SEARCH || purpose == EXHAUSTIVE_FILL;
    assert(ttl > 0);
    if (!has_room(search, purpose) || (is_cell && !is_paced(search, ttl, now)))
        return false;
    if (number == search->mp.flow_count &&
        (multipath_add_flow(&search->mp) == MULTIPATH_NONE || open_flow(search, number, NULL) != 0)) {
        search->mp.flow_count = number;
        search->mp.is_cut = true;
        return false;
    }
    struct exhaustive_flow *flow = search->flows[number];
    struct exhaustive_record *record = flow->next_offset < MATCH_FLOW_PROBES ? add_record(search) : NULL;
    if (!record) {
        search->mp.is_cut = search->is_exhausted = true;
        return false;
    }
    struct probe_send send = {.offset = flow->next_offset,
                              .probe = search->record_count,
                              .ttl = ttl,
                              .tos = (uint8_t)(search->settings.dscp << 2)};
    if (!flow_send(&flow->flow, &send)) {
        search->is_full = true;
        return false;
    }
    record->flow = number;
    record->offset = flow->next_offset++;
    record->next = flow->last_record;
    record->ttl = ttl;
    record->purpose = purpose;
    record->path = path;
    /* What is told as loss of a path is waited for the longest: the search asks again instead. */
    int64_t wait = wait_of(search);
    if (purpose == EXHAUSTIVE_SERIES && wait < search->settings.wait_ns)
        wait = search->settings.wait_ns;
    record->give_up_ns = now + wait;
    flow->last_record = ++search->record_count;
    search->out++;
    search->search_sent += purpose == EXHAUSTIVE_SEARCH;
    if (is_cell) {
        struct multipath_cell *cell = multipath_cell_at(&search->mp, number, ttl);
        if (cell->sent < UINT8_MAX)
            cell->sent++;
        cell->out++;
        search->mp.high = ttl > search->mp.high ? ttl : search->mp.high;
    }
    return true;
}

static bool send_search(void *user, uint16_t flow, uint8_t ttl)
{
    return exhaustive_send(user, flow, ttl, EXHAUSTIVE_SEARCH, 0);
}

/* --- what has no answer ---------------------------------------------------------------------------- */

static struct multipath_cell *cell_of(const struct search *search, const struct exhaustive_record *record)
{
    return multipath_cell_at(&search->mp, record->flow, record->ttl);
}

static bool is_of_cell(const struct exhaustive_record *record)
{
    return record->purpose == EXHAUSTIVE_SEARCH || record->purpose == EXHAUSTIVE_FILL;
}

/* A router limits its answers: ask more slowly, and take back that anybody is silent. */
static void slow_down(struct search *search, uint8_t ttl)
{
    struct exhaustive_pace *pace = &search->paces[ttl];
    pace->gap_ns = pace->gap_ns == 0 ? LIMITED_GAP_NS : pace->gap_ns + pace->gap_ns / 4;
    if (pace->gap_ns > MAX_GAP_NS)
        pace->gap_ns = MAX_GAP_NS;
    for (uint32_t f = 0; f < search->mp.flow_count; f++) {
        struct multipath_cell *cell = multipath_cell_at(&search->mp, f, ttl);
        if (cell->vertex == MULTIPATH_NONE) {
            cell->is_silent = false;
            cell->sent = cell->out;
        }
    }
}

static void give_up(struct search *search, struct exhaustive_record *record)
{
    struct multipath_cell *cell = cell_of(search, record);
    struct exhaustive_pace *pace = &search->paces[record->ttl];
    record->is_over = true;
    search->out--;
    search->has_news = true;
    if (!is_of_cell(record))
        return;
    cell->out--;
    if (record->is_control)
        pace->is_control_out = false;
    bool has_answers = search->mp.hops[record->ttl].width > 0;
    if (pace->gap_ns) {
        slow_down(search, record->ttl);
    } else if (record->is_control) {
        pace->wants_control = true; /* one may be lost by chance */
        if (++pace->lost_controls == 2)
            slow_down(search, record->ttl);
    } else if (cell->vertex == MULTIPATH_NONE) {
        pace->wants_control |= has_answers;
        cell->is_silent = cell->out == 0 && cell->sent >= search->settings.attempts;
    }
}

/* Gives up probes whose time is over; an answer that comes after that still counts. */
static void expire(struct search *search, int64_t now)
{
    for (uint32_t i = search->oldest; i < search->record_count; i++) {
        struct exhaustive_record *record = exhaustive_record_at(search, i);
        if (!record->is_over && record->give_up_ns <= now)
            give_up(search, record);
        if (record->is_over && i == search->oldest)
            search->oldest++;
    }
}

/* When the next probe is to be given up. */
static int64_t next_expiry(const struct search *search)
{
    int64_t due = PROBE_IO_NEVER;
    for (uint32_t i = search->oldest; i < search->record_count; i++) {
        const struct exhaustive_record *record = exhaustive_record_at(search, i);
        if (!record->is_over && record->give_up_ns < due)
            due = record->give_up_ns;
    }
    return due;
}

/* Where some flows got no answer, one that did is asked again: if it gets none now, somebody limits answers. */
static void send_controls(struct search *search)
{
    const struct multipath *mp = &search->mp;
    for (uint32_t ttl = 1; ttl <= mp->high; ttl++) {
        struct exhaustive_pace *pace = &search->paces[ttl];
        if (!pace->wants_control || pace->is_control_out || pace->gap_ns)
            continue;
        for (uint32_t i = 0; i < mp->flow_count; i++) {
            uint16_t flow = (uint16_t)((pace->next_control + i) % mp->flow_count);
            const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
            if (cell->vertex == MULTIPATH_NONE || cell->out)
                continue;
            if (send_search(search, flow, (uint8_t)ttl)) {
                exhaustive_record_at(search, search->record_count - 1)->is_control = true;
                pace->is_control_out = true;
                pace->wants_control = false;
                pace->next_control = flow + 1u;
            }
            break;
        }
    }
}

/* --- how far to go ---------------------------------------------------------------------------- */

/* The highest TTL a flow should probe that begins the search, as far as one knows now. */
static uint32_t goal_of(const struct search *search, uint32_t flow)
{
    const struct multipath *mp = &search->mp;
    uint32_t last = 0, high = 0;
    if (mp->flow_count > flow && mp->flows[flow].end_ttl)
        return mp->flows[flow].end_ttl;
    if (flow >= MULTIPATH_SCOUTS)
        return search->distance ? search->distance - 1u : 0;
    for (uint32_t ttl = 1; mp->flow_count > flow && ttl <= mp->high; ttl++) {
        const struct multipath_cell *cell = multipath_cell_at(mp, flow, ttl);
        last = cell->vertex != MULTIPATH_NONE ? ttl : last;
        high = cell->sent > 0 ? ttl : high;
    }
    uint32_t goal = last + search->settings.gap_limit;
    if (search->distance && high <= search->distance)
        goal = search->distance;
    else if (search->distance && last == high)
        goal = high + BEYOND; /* further than thought */
    else if (search->distance && !multipath_cell_at(mp, flow, high)->is_silent)
        goal = high;
    else if (search->has_answered && goal < USUAL_PATH)
        goal = USUAL_PATH;
    return goal < mp->max_ttl ? goal : mp->max_ttl;
}

/* The first flows at all TTLs at once. False while it is open how far the paths go. */
static bool send_scouts(struct search *search)
{
    bool is_open = false;
    const struct multipath *mp = &search->mp;
    for (uint16_t flow = 0; flow < FIRST_FLOWS; flow++) {
        uint32_t goal = goal_of(search, flow);
        for (uint32_t ttl = 1; ttl <= goal && ttl <= mp->max_ttl && !search->is_full; ttl++) {
            const struct multipath_cell *cell = flow < mp->flow_count ? multipath_cell_at(mp, flow, ttl) : NULL;
            bool is_first = !cell || cell->sent == 0;
            bool is_again = cell && flow < MULTIPATH_SCOUTS && cell->vertex == MULTIPATH_NONE && cell->out == 0 &&
                            cell->sent < mp->attempts && !cell->is_silent;
            is_open |= flow < MULTIPATH_SCOUTS && (is_first || is_again || cell->out > 0);
            if (is_first || is_again)
                (void)send_search(search, flow, (uint8_t)ttl);
        }
    }
    return !is_open;
}

/* --- steps ---------------------------------------------------------------------------- */

static void forget(struct probe_exhaustive *exhaustive)
{
    struct search *search = exhaustive->search;
    for (uint32_t i = 0; i < search->mp.flow_count; i++)
        flow_close(&search->flows[i]->flow);
    round_free(&exhaustive->round);
}

static void end(struct probe_exhaustive *exhaustive)
{
    struct search *search = exhaustive->search;
    probe_exhaustive_fn *done = exhaustive->done;
    void *user = exhaustive->user;
    exhaustive_show(search);
    forget(exhaustive);
    done(user, search->result);
}

/* One turn of the search; true when nothing is left to ask, or nothing more may be. */
static bool search_on(struct search *search, int64_t now)
{
    struct multipath *mp = &search->mp;
    bool is_far_enough = false, is_testing = false;
    bool is_late = now - search->result->start_ns >= search->settings.max_ns;
    if (is_late)
        mp->is_cut = true;
    if (!mp->is_cut) {
        is_far_enough = send_scouts(search);
        send_controls(search);
    }
    multipath_analyse(mp);
    if (mp->is_cut)
        return true;
    if (is_far_enough && search->search_sent >= search->next_test) {
        /* A balancer by packet makes a net look like a larger one: better to know early. */
        if (multipath_plan_tests(mp, send_search, search, &is_testing) == 0 && !is_testing)
            search->next_test *= 2;
    }
    uint32_t planned = multipath_plan(mp, send_search, search);
    if (planned || search->is_full || search->blocked_until_ns != PROBE_IO_NEVER)
        return false;
    if (is_far_enough && multipath_is_complete(mp) && multipath_plan_tests(mp, send_search, search, &is_testing) > 0)
        return false;
    return search->out == 0 || (is_far_enough && !is_testing && multipath_is_complete(mp));
}

/* Whether what came after the search seemed over has left it so. */
static bool is_found(struct search *search)
{
    bool was_complete = search->was_complete;
    multipath_analyse(&search->mp);
    return search->mp.is_cut || !was_complete || multipath_is_complete(&search->mp) || search->returns++ == MAX_RETURNS;
}

static void step_timer(struct probe_exhaustive *exhaustive, int64_t now)
{
    struct search *search = exhaustive->search;
    int64_t due = PROBE_IO_NEVER, later = PROBE_IO_NEVER;
    expire(search, now);
    search->is_full = false;
    search->blocked_until_ns = PROBE_IO_NEVER;
    if (search->result->error_text && !search->has_sent) {
        end(exhaustive); /* our kernel takes nothing for this target */
        return;
    }
    switch (exhaustive->state) {
    case STATE_ESTIMATING:
        if (search->estimate_until_ns == 0 &&
            exhaustive_send(search, ESTIMATE_FLOW, EXHAUSTIVE_ECHO_TTL, EXHAUSTIVE_ESTIMATE, 0))
            search->estimate_until_ns = now + ESTIMATE_NS;
        if (search->estimate_until_ns > now || search->estimate_until_ns == 0) {
            due = search->estimate_until_ns ? search->estimate_until_ns : now;
            break;
        }
        exhaustive->state = STATE_SEARCHING;
        /* fall through */
    case STATE_SEARCHING:
        if (!search_on(search, now))
            break;
        search->was_complete = multipath_is_complete(&search->mp);
        search->result->found_ns = now;
        exhaustive->state = STATE_FILLING;
        /* fall through */
    case STATE_FILLING:
        if (!exhaustive_fill_paths(search) && now - search->result->found_ns < MAX_FILL_NS)
            break;
        search->series_start_ns = now;
        exhaustive->state = STATE_MEASURING;
        /* fall through */
    case STATE_MEASURING:
        if (!exhaustive_send_series(search, now, &later) || search->out > 0)
            break;
        if (is_found(search)) {
            end(exhaustive);
            return;
        }
        exhaustive->state = STATE_SEARCHING;
        due = now;
        break;
    }
    if (search->is_full && search->out < WINDOW)
        due = now; /* the transmit buffer, not the window */
    int64_t expiry = next_expiry(search);
    due = later < due ? later : due;
    due = expiry < due ? expiry : due;
    due = search->blocked_until_ns < due ? search->blocked_until_ns : due;
    if (exhaustive->state == STATE_FILLING && search->result->found_ns + MAX_FILL_NS < due)
        due = search->result->found_ns + MAX_FILL_NS;
    round_wake_at(&exhaustive->round, due);
    if (search->has_news && exhaustive->progress) {
        search->has_news = false;
        exhaustive_show(search);
        exhaustive->progress(exhaustive->user, search->result); /* may stop us: nothing may follow */
    }
}

/* How far away a host is that answers with this TTL, taking the next of the usual initial values. */
static uint8_t distance_from(uint8_t ttl)
{
    uint32_t initial = ttl <= 64 ? 64 : ttl <= 128 ? 128 : 255;
    uint32_t distance = initial - ttl + 1;
    return ttl == 0 || distance > MAX_ESTIMATE ? 0 : (uint8_t)distance;
}

/* The target itself has answered, as its protocol has it. */
static bool is_reply(const struct search *search, const struct probe_answer *answer)
{
    return answer->kind == PACKET_ECHO_REPLY || answer->tcp || answer->udp ||
           sock_same_ip(&answer->packet->src, &search->settings.dst);
}

/* How an answer ends a path; false when it does not. */
static bool is_end(const struct search *search, const struct probe_answer *answer, enum probe_trace_end *ret_end)
{
    int family = search->settings.dst.sa.sa_family;
    *ret_end = PROBE_TRACE_REACHED;
    switch (answer->kind) {
    case PACKET_ECHO_REPLY:
    case PACKET_SYN_ACK:
    case PACKET_RESET:
    case PACKET_DATAGRAM:
        return true;
    case PACKET_UNREACHABLE:
        if (is_reply(search, answer) && packet_is_port_unreachable(family, answer->icmp))
            return true;
        *ret_end = packet_is_prohibited(family, answer->icmp) ? PROBE_TRACE_PROHIBITED : PROBE_TRACE_UNREACHABLE;
        return true;
    case PACKET_TOO_BIG:
    case PACKET_PARAMETER:
        *ret_end = is_reply(search, answer) ? PROBE_TRACE_REACHED : PROBE_TRACE_UNREACHABLE;
        return true;
    case PACKET_TTL_EXCEEDED:
        return is_reply(search, answer);
    case PACKET_ECHO_REQUEST:
    case PACKET_SEGMENT:
    case PACKET_OTHER:
        break;
    }
    return false;
}

static void see(struct search *search, uint16_t v, const struct probe_answer *answer)
{
    if (v >= search->seen_room) {
        uint32_t room = search->seen_room ? search->seen_room : 64;
        while (room <= v)
            room *= 2;
        struct exhaustive_seen *seen = arena_alloc_array(search->arena, room, sizeof *seen);
        if (!seen)
            return;
        if (search->seen_room)
            memcpy(seen, search->seen, search->seen_room * sizeof *seen);
        search->seen = seen;
        search->seen_room = room;
    }
    struct exhaustive_seen *seen = &search->seen[v];
    const struct packet_icmp *icmp = answer->icmp;
    if (seen->reply_ttl == 0)
        seen->reply_ttl = answer->packet->ttl;
    if (!icmp)
        return;
    if (seen->icmp_type == 0 && !seen->has_quote) {
        seen->icmp_type = icmp->type;
        seen->icmp_code = icmp->code;
        seen->has_quote = icmp->has_quote;
        seen->quoted_ttl = icmp->has_quote ? icmp->quote.ttl : 0;
        seen->quoted_dscp = icmp->has_quote ? icmp->quote.tos >> 2 : 0;
    }
    if (seen->label_count || icmp->label_count == 0)
        return;
    struct packet_label *labels = arena_alloc_array(search->arena, icmp->label_count, sizeof *labels);
    if (labels) {
        memcpy(labels, icmp->labels, icmp->label_count * sizeof *labels);
        seen->labels = labels;
        seen->label_count = icmp->label_count;
    }
}

static void step_estimate(struct probe_exhaustive *exhaustive, const struct probe_answer *answer)
{
    struct search *search = exhaustive->search;
    if (is_reply(search, answer)) {
        search->has_answered = true;
        if (search->distance == 0)
            search->distance = distance_from(answer->packet->ttl);
    }
    if (exhaustive->state == STATE_ESTIMATING)
        exhaustive->state = STATE_SEARCHING;
}

static struct exhaustive_record *find_record(const struct search *search, const struct probe_answer *answer)
{
    if (answer->flow >= search->mp.flow_count)
        return NULL;
    uint32_t i = search->flows[answer->flow]->last_record;
    while (i && exhaustive_record_at(search, i - 1)->offset != answer->offset)
        i = exhaustive_record_at(search, i - 1)->next;
    return i ? exhaustive_record_at(search, i - 1) : NULL;
}

static void take_cell(struct search *search, struct exhaustive_record *record, const struct probe_answer *answer)
{
    struct multipath_cell *cell = cell_of(search, record);
    struct exhaustive_pace *pace = &search->paces[record->ttl];
    enum probe_trace_end how;
    bool has_end = is_end(search, answer, &how);
    bool is_target = is_reply(search, answer);
    if (!record->is_over)
        cell->out--;
    if (cell->received < UINT8_MAX)
        cell->received++;
    cell->is_silent = false;
    if (record->is_control) {
        pace->is_control_out = false;
        pace->lost_controls = 0;
    }
    if (pace->gap_ns > MIN_GAP_NS)
        pace->gap_ns -= pace->gap_ns / 8;
    uint8_t end_before = search->mp.flows[record->flow].end_ttl;
    record->vertex = multipath_answer(&search->mp, record->flow, record->ttl, &answer->packet->src, has_end, is_target);
    if (record->vertex == MULTIPATH_NONE)
        return;
    see(search, record->vertex, answer);
    if (has_end)
        search->flows[record->flow]->end = how;
    else if (search->mp.flows[record->flow].end_ttl != end_before)
        search->flows[record->flow]->end = PROBE_TRACE_LOOP;
}

static void step_answer(struct probe_exhaustive *exhaustive, const struct probe_answer *answer)
{
    struct search *search = exhaustive->search;
    struct exhaustive_record *record = find_record(search, answer);
    if (!record || record->tx_ns == 0 || record->rx_ns != 0)
        return; /* an answer to what was not sent, or a duplicate */
    record->rx_ns = answer->packet->rx_ns;
    search->has_news = true;
    round_wake_at(&exhaustive->round, 0); /* still at this wake-up */
    if (record->rx_ns - record->tx_ns > search->max_rtt_ns)
        search->max_rtt_ns = record->rx_ns - record->tx_ns;
    if (record->purpose == EXHAUSTIVE_ESTIMATE)
        step_estimate(exhaustive, answer);
    else if (is_of_cell(record))
        take_cell(search, record, answer);
    else if (exhaustive_is_wrong_end(search, record, is_reply(search, answer)))
        record->rx_ns = 0; /* not from where the series goes: lost */
    search->out -= !record->is_over;
    record->is_over = true;
}

static void step_sent(struct search *search, const struct probe_event *event)
{
    if (event->probe >= search->record_count)
        return;
    struct exhaustive_record *record = exhaustive_record_at(search, event->probe);
    if (event->kind == PROBE_EVENT_SENT) {
        search->has_sent = true;
        record->is_taken = true;
        record->tx_ns = event->at_ns;
    } else if (record->tx_ns != 0 && event->at_ns >= record->tx_ns - 100 * CLOCK_US) {
        search->has_stamps = record->is_stamped = true;
        record->tx_ns = event->at_ns;
    }
}

static void step_refused(struct probe_exhaustive *exhaustive, const struct probe_event *event)
{
    struct search *search = exhaustive->search;
    if (!search->result->error_text)
        search->result->error_text = arena_strdup(search->arena, refusal_text(event->sys_errno, &search->settings.src));
    if (event->probe < search->record_count)
        give_up(search, exhaustive_record_at(search, event->probe));
    round_wake_at(&exhaustive->round, 0);
}

static void step(struct probe_round *round, const struct probe_event *event)
{
    struct probe_exhaustive *exhaustive = (struct probe_exhaustive *)round;
    switch (event->kind) {
    case PROBE_EVENT_TIMER:
        step_timer(exhaustive, event->at_ns);
        break;
    case PROBE_EVENT_SENT:
    case PROBE_EVENT_STAMP:
        step_sent(exhaustive->search, event);
        break;
    case PROBE_EVENT_REFUSED:
        step_refused(exhaustive, event);
        break;
    case PROBE_EVENT_ANSWER:
        step_answer(exhaustive, event->answer);
        break;
    }
}

/* --- the interface ---------------------------------------------------------------------------- */

static int check(const struct probe_exhaustive_settings *settings, struct error *err)
{
    if (!sock_is_set(&settings->dst))
        return error_set(err, E_REQUIRED, "dst", "an address to probe is needed");
    if (sock_is_set(&settings->src) && settings->src.sa.sa_family != settings->dst.sa.sa_family)
        return error_set(err, E_INVALID, "src", "the source address is not of the target's family");
    if (settings->protocol == PROBE_TCP && sock_port(&settings->dst) == 0)
        return error_set(err, E_REQUIRED, "dst", "a TCP port to probe is needed");
    if (!(settings->confidence >= 0.5 && settings->confidence <= 0.9999))
        return error_set(err, E_RANGE, "confidence", "must be from 0.5 to 0.9999");
    if (settings->max_probes < 1 || settings->max_probes > LIMIT_EXHAUSTIVE_PROBES)
        return error_set(err, E_RANGE, "max_probes", "must be from 1 to %u", LIMIT_EXHAUSTIVE_PROBES);
    if (settings->max_flows < MULTIPATH_SCOUTS || settings->max_flows > LIMIT_EXHAUSTIVE_FLOWS)
        return error_set(err, E_RANGE, "max_flows", "must be from %u to %u", MULTIPATH_SCOUTS, LIMIT_EXHAUSTIVE_FLOWS);
    if (settings->max_paths > LIMIT_EXHAUSTIVE_PATHS)
        return error_set(err, E_RANGE, "max_paths", "must be at most %u", LIMIT_EXHAUSTIVE_PATHS);
    if (settings->path_probes > LIMIT_EXHAUSTIVE_PATH_PROBES)
        return error_set(err, E_RANGE, "path_probes", "must be at most %u", LIMIT_EXHAUSTIVE_PATH_PROBES);
    if (settings->path_gap_ns < CLOCK_MS || settings->path_gap_ns > 10 * CLOCK_S)
        return error_set(err, E_RANGE, "path_gap_ns", "must be from 1 ms to 10 s");
    if (settings->max_ns < 100 * CLOCK_MS || settings->max_ns > 3600 * CLOCK_S)
        return error_set(err, E_RANGE, "max_ns", "must be from 100 ms to 1 h");
    if (settings->wait_ns < CLOCK_MS || settings->wait_ns > 10 * CLOCK_S)
        return error_set(err, E_RANGE, "wait_ns", "must be from 1 ms to 10 s");
    if (settings->max_ttl < 1 || settings->max_ttl > LIMIT_HOPS)
        return error_set(err, E_RANGE, "max_ttl", "must be from 1 to %u", LIMIT_HOPS);
    if (settings->gap_limit < 1 || settings->gap_limit > LIMIT_HOPS)
        return error_set(err, E_RANGE, "gap_limit", "must be from 1 to %u", LIMIT_HOPS);
    if (settings->attempts < 1 || settings->attempts > PROBE_TRACE_MAX_ATTEMPTS)
        return error_set(err, E_RANGE, "attempts", "must be from 1 to %u", PROBE_TRACE_MAX_ATTEMPTS);
    if (settings->distance > LIMIT_HOPS)
        return error_set(err, E_RANGE, "distance", "must be at most %u", LIMIT_HOPS);
    if (settings->dscp > 63)
        return error_set(err, E_RANGE, "dscp", "must be at most 63");
    return 0;
}

/* Everything in the arena; NULL at its ceiling. */
static struct search *make_search(const struct probe_exhaustive_settings *settings, struct arena *arena)
{
    struct search *search = arena_alloc(arena, sizeof *search);
    uint32_t series = settings->max_paths * (settings->path_probes + LIMIT_HOPS * PROBE_TRACE_MAX_ATTEMPTS);
    uint32_t records = settings->max_probes + series + 1;
    if (!search)
        return NULL;
    search->settings = *settings;
    if (settings->protocol == PROBE_UDP && sock_port(&settings->dst) == 0)
        sock_set_port(&search->settings.dst, PROBE_TRACE_UDP_PORT);
    search->arena = arena;
    search->distance = settings->distance;
    search->next_test = FIRST_TEST;
    search->mp = (struct multipath){.arena = arena,
                                    .confidence = settings->confidence,
                                    .is_strict = settings->is_strict,
                                    .max_ttl = settings->max_ttl,
                                    .attempts = settings->attempts,
                                    .gap_limit = settings->gap_limit,
                                    .max_flows = settings->max_flows};
    search->flows = arena_alloc_array(arena, settings->max_flows, sizeof *search->flows);
    search->chunks = arena_alloc_array(arena, records / EXHAUSTIVE_CHUNK + 1, sizeof *search->chunks);
    search->paces = arena_alloc_array(arena, LIMIT_HOPS + 1u, sizeof *search->paces);
    search->rooms = arena_alloc_array(arena, LIMIT_HOPS + 1u, sizeof *search->rooms);
    search->paths = arena_alloc_array(arena, settings->max_paths + 1, sizeof *search->paths);
    search->result = arena_alloc(arena, sizeof *search->result);
    bool is_whole =
        search->flows && search->chunks && search->paces && search->rooms && search->paths && search->result;
    return is_whole && multipath_init(&search->mp) ? search : NULL;
}

int probe_exhaustive_start(struct probe_engine *engine, const struct probe_exhaustive_settings *settings,
                           struct arena *arena, probe_exhaustive_fn *progress, probe_exhaustive_fn *done, void *user,
                           struct probe_exhaustive **ret_exhaustive, struct error *err)
{
    assert(done);
    int rc = check(settings, err);
    if (rc)
        return rc;
    struct search *search = make_search(settings, arena);
    if (!search)
        return error_set(err, E_LIMIT, "", "no memory left for the round");
    struct probe_exhaustive *exhaustive = round_new(engine, WINDOW, step, err);
    if (!exhaustive)
        return -E_LIMIT;
    exhaustive->search = search;
    exhaustive->progress = progress;
    exhaustive->done = done;
    exhaustive->user = user;
    exhaustive->state = settings->distance ? STATE_SEARCHING : STATE_ESTIMATING;
    search->round = &exhaustive->round;
    search->first_sum = settings->flow_seed ? (uint16_t)(settings->flow_seed >> 16) : flow_random_sum(engine);
    search->result->start_ns = probe_engine_mono_ns(engine);
    search->result->start_wall_ns = probe_engine_wall_ns(engine);
    search->result->confidence = settings->confidence;
    if (multipath_add_flow(&search->mp) != 0) {
        rc = error_set(err, E_LIMIT, "", "no memory left for the round");
    } else {
        rc = open_flow(search, 0, err);
    }
    if (rc) {
        round_free(&exhaustive->round);
        return rc;
    }
    *ret_exhaustive = exhaustive;
    return 0;
}

const struct probe_exhaustive_result *probe_exhaustive_result(struct probe_exhaustive *exhaustive)
{
    multipath_analyse(&exhaustive->search->mp);
    exhaustive_show(exhaustive->search);
    return exhaustive->search->result;
}

void probe_exhaustive_finish(struct probe_exhaustive *exhaustive)
{
    end(exhaustive);
}

void probe_exhaustive_stop(struct probe_exhaustive *exhaustive)
{
    forget(exhaustive);
}
