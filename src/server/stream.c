#include "server/stream.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "server/shares.h"

#define ROUND_GAP_NS CLOCK_S
#define PING_GAP_NS (15 * CLOCK_S)
#define DATA_BYTES 112

struct event {
    uint64_t aid;
    enum stream_topic_kind kind;
    uint64_t test_id;
    const char *name; /* "round" */
    char data[DATA_BYTES];
};

struct test_rounds { /* what was told of a test's rounds, and what is held back */
    uint64_t aid, test_id;
    int64_t told_ns;
    bool is_held;
    int64_t round_id;
    uint64_t agent_id;
};

struct stream_reader {
    struct stream *stream;
    size_t index; /* in stream->readers */
    uint64_t aid;
    struct stream_topics topics;
    uint64_t next;  /* number of the first event not taken yet */
    size_t waiting; /* events from next on that are for this reader */
    bool is_lost;   /* it missed something */
    bool is_ping_due;
    bool is_awake; /* wake has been called and nothing taken since */
    stream_wake_fn *wake;
    void *user;
};

struct stream {
    const struct clock *clock;
    const struct shares *shares; /* NULL = nothing is shared */
    struct event *history; /* event n is at n % LIMIT_SSE_HISTORY */
    uint64_t first, next;  /* numbers kept: first <= n < next */
    struct stream_reader **readers;
    size_t reader_count, reader_room;
    struct map tests;          /* test id -> struct test_rounds */
    struct test_rounds **held; /* those with is_held */
    size_t held_count, held_room;
    int64_t held_due_ns, ping_ns;
};

int stream_topics_read(const char *text, struct stream_topics *ret_topics, struct error *err)
{
    struct stream_topics topics = {.count = 0};
    while (*text) {
        size_t length = strcspn(text, ",");
        char word[64];
        if (length >= sizeof word)
            return error_set(err, E_UNKNOWN, "topics", "there is no such topic");
        memcpy(word, text, length);
        word[length] = 0;
        struct stream_topic topic = {.id = 0};
        if (!strcmp(word, "tests"))
            topic.kind = STREAM_TOPIC_TESTS;
        else if (!strcmp(word, "agents"))
            topic.kind = STREAM_TOPIC_AGENTS;
        else if (str_starts(word, "test:") && !str_to_u64(word + 5, INT64_MAX, &topic.id))
            topic.kind = STREAM_TOPIC_TEST;
        else
            return error_set(err, E_UNKNOWN, "topics", "there is no topic \"%s\"; known are test:ID, tests, agents",
                             word);
        if (topics.count == STREAM_TOPICS_MAX)
            return error_set(err, E_LIMIT, "topics", "at most %u topics", STREAM_TOPICS_MAX);
        topics.items[topics.count++] = topic;
        text += length + (text[length] == ',');
    }
    if (!topics.count)
        return error_set(err, E_REQUIRED, "topics", "name at least one topic");
    *ret_topics = topics;
    return 0;
}

struct stream *stream_new(const struct clock *clock)
{
    struct stream *stream = mem_alloc(sizeof *stream);
    stream->clock = clock;
    stream->history = mem_alloc_array(LIMIT_SSE_HISTORY, sizeof *stream->history);
    /* Numbers go on counting after a restart, so that an id from before it is never taken for one of now. */
    stream->first = stream->next = (uint64_t)(clock_wall_ns(clock) / CLOCK_US);
    stream->ping_ns = clock_mono_ns(clock) + PING_GAP_NS;
    return stream;
}

void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    assert(!stream->reader_count);
    size_t position = 0;
    struct test_rounds *rounds;
    while ((rounds = map_next(&stream->tests, &position)))
        mem_free(rounds);
    map_done(&stream->tests);
    mem_free(stream->held);
    mem_free(stream->readers);
    mem_free(stream->history);
    mem_free(stream);
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static bool is_for(const struct stream_reader *reader, const struct event *event)
{
    const struct shares *shares = reader->stream->shares;
    if (reader->aid != event->aid && !(event->test_id && shares && shares_has(shares, event->test_id, reader->aid)))
        return false;
    for (size_t i = 0; i < reader->topics.count; i++) {
        const struct stream_topic *topic = &reader->topics.items[i];
        if (topic->kind == STREAM_TOPIC_TEST ? event->test_id && topic->id == event->test_id
                                             : topic->kind == event->kind)
            return true;
    }
    return false;
}

static void wake(struct stream_reader *reader)
{
    if (reader->is_awake)
        return;
    reader->is_awake = true;
    reader->wake(reader->user);
}

static void cut(struct stream_reader *reader)
{
    limit_hit(LIMIT_KIND_SSE_QUEUE);
    reader->is_lost = true;
    reader->waiting = 0;
    reader->next = reader->stream->next;
}

static void publish(struct stream *stream, const struct event *event)
{
    stream->history[stream->next % LIMIT_SSE_HISTORY] = *event;
    stream->next++;
    if (stream->next - stream->first > LIMIT_SSE_HISTORY)
        stream->first++;
    for (size_t i = 0; i < stream->reader_count; i++) {
        struct stream_reader *reader = stream->readers[i];
        if (!is_for(reader, event))
            continue;
        if (!reader->waiting++)
            reader->next = stream->next - 1;
        if (reader->waiting > LIMIT_SSE_QUEUE || reader->next < stream->first)
            cut(reader);
        wake(reader);
    }
}

static void tell_round(struct stream *stream, struct test_rounds *rounds, int64_t now_ns)
{
    struct event event = {.aid = rounds->aid, .kind = STREAM_TOPIC_TESTS, .test_id = rounds->test_id, .name = "round"};
    (void)snprintf(event.data, sizeof event.data, "{\"testId\":\"%llu\",\"roundId\":%lld,\"agentId\":\"%llu\"}",
                   (unsigned long long)rounds->test_id, (long long)rounds->round_id,
                   (unsigned long long)rounds->agent_id);
    rounds->told_ns = now_ns;
    rounds->is_held = false;
    publish(stream, &event);
}

static void hold(struct stream *stream, struct test_rounds *rounds)
{
    if (rounds->is_held)
        return;
    if (stream->held_count == stream->held_room) {
        size_t room = stream->held_room ? stream->held_room * 2 : 16;
        stream->held = mem_resize(stream->held, stream->held_room * sizeof(void *), room * sizeof(void *));
        stream->held_room = room;
    }
    int64_t due = rounds->told_ns + ROUND_GAP_NS;
    if (!stream->held_count || due < stream->held_due_ns)
        stream->held_due_ns = due;
    stream->held[stream->held_count++] = rounds;
    rounds->is_held = true;
}

void stream_set_shares(struct stream *stream, const struct shares *shares)
{
    stream->shares = shares;
}

void stream_round(struct stream *stream, uint64_t aid, uint64_t test_id, int64_t round_id, uint64_t agent_id)
{
    int64_t now_ns = clock_mono_ns(stream->clock);
    struct test_rounds *rounds = map_get(&stream->tests, test_id);
    if (!rounds) {
        rounds = mem_alloc(sizeof *rounds);
        *rounds = (struct test_rounds){.test_id = test_id, .told_ns = now_ns - ROUND_GAP_NS};
        map_put(&stream->tests, test_id, rounds);
    }
    rounds->aid = aid;
    /* The newest round is what a watcher wants to hear of; agents catching up tell old ones. */
    if (!rounds->is_held || round_id >= rounds->round_id) {
        rounds->round_id = round_id;
        rounds->agent_id = agent_id;
    }
    if (now_ns - rounds->told_ns >= ROUND_GAP_NS && !rounds->is_held)
        tell_round(stream, rounds, now_ns);
    else
        hold(stream, rounds);
}

void stream_test(struct stream *stream, uint64_t aid, uint64_t test_id)
{
    struct event event = {.aid = aid, .kind = STREAM_TOPIC_TESTS, .test_id = test_id, .name = "test"};
    (void)snprintf(event.data, sizeof event.data, "{\"testId\":\"%llu\"}", (unsigned long long)test_id);
    publish(stream, &event);
}

void stream_agent(struct stream *stream, uint64_t aid, uint64_t agent_id, const char *state)
{
    struct event event = {.aid = aid, .kind = STREAM_TOPIC_AGENTS, .name = "agent"};
    (void)snprintf(event.data, sizeof event.data, "{\"agentId\":\"%llu\",\"agentState\":\"%s\"}",
                   (unsigned long long)agent_id, state);
    publish(stream, &event);
}

void stream_tick(struct stream *stream)
{
    int64_t now_ns = clock_mono_ns(stream->clock);
    size_t kept = 0;
    for (size_t i = 0; i < stream->held_count; i++) {
        struct test_rounds *rounds = stream->held[i];
        int64_t due = rounds->told_ns + ROUND_GAP_NS;
        if (due <= now_ns) {
            tell_round(stream, rounds, now_ns);
            continue;
        }
        if (!kept || due < stream->held_due_ns)
            stream->held_due_ns = due;
        stream->held[kept++] = rounds;
    }
    stream->held_count = kept;
    if (now_ns < stream->ping_ns)
        return;
    stream->ping_ns = now_ns + PING_GAP_NS;
    for (size_t i = 0; i < stream->reader_count; i++) {
        stream->readers[i]->is_ping_due = true;
        wake(stream->readers[i]);
    }
}

int64_t stream_due_ns(const struct stream *stream)
{
    bool is_sooner = stream->held_count && stream->held_due_ns < stream->ping_ns;
    return is_sooner ? stream->held_due_ns : stream->ping_ns;
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

/* Where a reader that has seen event last_event_id goes on; what is not kept any more is lost. */
static void resume(struct stream_reader *reader, const char *last_event_id)
{
    const struct stream *stream = reader->stream;
    uint64_t last;
    reader->next = stream->next;
    if (!last_event_id || !last_event_id[0])
        return;
    if (str_to_u64(last_event_id, UINT64_MAX - 1, &last) || last >= stream->next || last + 1 < stream->first) {
        reader->is_lost = true;
        return;
    }
    for (uint64_t n = last + 1; n < stream->next; n++)
        reader->waiting += is_for(reader, &stream->history[n % LIMIT_SSE_HISTORY]);
    if (reader->waiting > LIMIT_SSE_QUEUE)
        cut(reader);
    else
        reader->next = last + 1;
}

struct stream_reader *stream_join(struct stream *stream, uint64_t aid, const struct stream_topics *topics,
                                  const char *last_event_id, stream_wake_fn *wake_fn, void *user)
{
    if (stream->reader_count >= LIMIT_SSE_CLIENTS) {
        limit_hit(LIMIT_KIND_SSE_CLIENTS);
        return NULL;
    }
    if (stream->reader_count == stream->reader_room) {
        size_t room = stream->reader_room ? stream->reader_room * 2 : 16;
        stream->readers = mem_resize(stream->readers, stream->reader_room * sizeof(void *), room * sizeof(void *));
        stream->reader_room = room;
    }
    struct stream_reader *reader = mem_alloc(sizeof *reader);
    *reader = (struct stream_reader){
        .stream = stream, .index = stream->reader_count, .aid = aid, .topics = *topics, .wake = wake_fn, .user = user};
    resume(reader, last_event_id);
    reader->is_ping_due = true; /* a first event tells the page at once that the stream works */
    stream->readers[stream->reader_count++] = reader;
    return reader;
}

void stream_leave(struct stream_reader *reader)
{
    struct stream *stream = reader->stream;
    struct stream_reader *last = stream->readers[--stream->reader_count];
    stream->readers[reader->index] = last;
    last->index = reader->index;
    mem_free(reader);
}

bool stream_take(struct stream_reader *reader, struct buf *out)
{
    struct stream *stream = reader->stream;
    size_t before = out->size;
    if (reader->next < stream->first && reader->waiting)
        cut(reader);
    if (reader->is_lost)
        buf_printf(out, "id: %llu\nevent: reset\ndata: {}\n\n", (unsigned long long)(reader->next - 1));
    for (uint64_t n = reader->next; reader->waiting && n < stream->next; n++) {
        const struct event *event = &stream->history[n % LIMIT_SSE_HISTORY];
        if (!is_for(reader, event))
            continue;
        buf_printf(out, "id: %llu\nevent: %s\ndata: %s\n\n", (unsigned long long)n, event->name, event->data);
        reader->waiting--;
    }
    reader->next = stream->next;
    if (reader->is_ping_due)
        buf_printf(out, "id: %llu\nevent: ping\ndata: {\"time\":%lld}\n\n", (unsigned long long)(stream->next - 1),
                   (long long)(clock_wall_ns(stream->clock) / CLOCK_S));
    reader->waiting = 0;
    reader->is_lost = reader->is_ping_due = reader->is_awake = false;
    return out->size > before;
}

size_t stream_reader_count(const struct stream *stream)
{
    return stream->reader_count;
}
