#include "fake_server.h"

#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"
#include "measure/part.h"

#define FAKE_SECRET "s3cret"
#define FAKE_TROUBLES 64
#define FAKE_WAIT_S 60

struct fake_server {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct MHD_Daemon *daemon;
    uint16_t port;
    char url[64];
    const char *certificate, *key; /* NULL = no TLS */
    struct buf plan;
    int64_t plan_version;
    bool is_refusing, is_closing, is_old;
    char displaced[MESSAGE_INSTANCE_BYTES]; /* the instance that gets 409; "" = none */
    int64_t ahead_s;                        /* of its clock */
    int troubles[FAKE_TROUBLES];
    size_t trouble_count;
    size_t ceiling;
    struct fake_round *rounds;
    size_t round_count;
    struct fake_counts counts;
};

struct request {
    struct buf body;
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const struct field_table *table,
                              const void *record)
{
    struct buf buf;
    buf_init(&buf, LIMIT_RESPONSE_BYTES);
    if (table)
        field_to_cbor(table, record, &buf);
    else if (status >= 400)
        buf_printf(&buf, "{\"title\":\"no\",\"status\":%u,\"detail\":\"as the check wants it\"}", status);
    struct MHD_Response *response = MHD_create_response_from_buffer(buf.size, buf.data, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(response, "Content-Type", table ? "application/cbor" : "application/problem+json");
    if (status == 429)
        MHD_add_response_header(response, "Retry-After", "1");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    buf_done(&buf);
    return result;
}

static enum MHD_Result on_register(struct fake_server *server, struct MHD_Connection *connection,
                                   struct request *request)
{
    struct arena arena;
    struct message_registration message;
    arena_init(&arena, 1 << 20);
    int rc = field_from_cbor(&message_registration_table, request->body.data, request->body.size, &message, &arena,
                             NULL);
    if (!rc)
        rc = field_check(&message_registration_table, &message, NULL);
    bool is_known = !rc && str_equal(message.token, FAKE_TOKEN);
    if (is_known) {
        struct fake_counts *counts = &server->counts;
        counts->registrations++;
        (void)snprintf(counts->agent_name, sizeof counts->agent_name, "%s", message.agent_name);
        (void)snprintf(counts->version, sizeof counts->version, "%s", message.version);
        (void)snprintf(counts->country, sizeof counts->country, "%s", message.country_id ? message.country_id : "");
        (void)snprintf(counts->types, sizeof counts->types, "%s", ((const char **)message.types.items)[0]);
        counts->latitude = message.latitude;
    }
    arena_done(&arena);
    struct message_identity identity = {.agent_id = FAKE_AGENT_ID, .secret = FAKE_SECRET, .aid = 5};
    if (rc)
        return answer(connection, 400, NULL, NULL);
    return is_known ? answer(connection, 201, &message_identity_table, &identity) : answer(connection, 401, NULL, NULL);
}

static int64_t query_number(struct MHD_Connection *connection, const char *name)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
    int64_t value = -1;
    assert(text && str_to_i64(text, 0, INT64_MAX, &value) == 0);
    return value;
}

static struct timespec in_seconds(int64_t seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    return until;
}

static enum MHD_Result on_plan(struct fake_server *server, struct MHD_Connection *connection)
{
    int64_t version = query_number(connection, "version"), wait = query_number(connection, "wait");
    struct timespec until = in_seconds(wait < 55 ? wait : 55);
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MESSAGE_INSTANCE_HEADER);
    char instance[MESSAGE_INSTANCE_BYTES];
    (void)str_copy(instance, sizeof instance, header ? header : "");
    (void)str_copy(server->counts.instance, sizeof server->counts.instance, instance);
    server->counts.polls++;
    (void)pthread_cond_broadcast(&server->changed);
    while (server->plan_version == version && !server->is_closing && !server->is_refusing &&
           !(*server->displaced && str_equal(server->displaced, instance))) {
        if (pthread_cond_timedwait(&server->changed, &server->mutex, &until))
            break;
    }
    if (server->is_refusing)
        return answer(connection, 401, NULL, NULL);
    if (*server->displaced && str_equal(server->displaced, instance))
        return answer(connection, 409, NULL, NULL);
    if (server->plan_version == version)
        return answer(connection, 204, NULL, NULL);
    struct arena arena;
    struct message_plan plan;
    arena_init(&arena, 1 << 20);
    int rc = field_from_cbor(&message_plan_table, server->plan.data, server->plan.size, &plan, &arena, NULL);
    assert(rc == 0);
    plan.server_ns = clock_wall_ns(&clock_real) + server->ahead_s * CLOCK_S;
    enum MHD_Result result = answer(connection, 200, &message_plan_table, &plan);
    arena_done(&arena);
    return result;
}

/* What the round says went wrong, of its part "network". */
static void read_error(const struct message_round *message, struct fake_round *round)
{
    const struct message_part *parts = message->parts.items;
    struct measure_network network;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < message->parts.count; i++) {
        if (str_equal(parts[i].name, "network") &&
            field_from_cbor(&measure_network_table, parts[i].record.data, parts[i].record.size, &network, &arena, NULL) == 0)
            (void)str_copy(round->error, sizeof round->error, network.error_details ? network.error_details : "");
    }
    arena_done(&arena);
}

static void commit(struct fake_server *server, const struct message_batch *batch, struct message_receipt *receipt)
{
    const struct message_round *rounds = batch->rounds.items;
    for (size_t i = 0; i < batch->rounds.count; i++) {
        const struct fake_round *known = NULL;
        for (size_t j = 0; j < server->round_count && !known; j++) {
            if (server->rounds[j].test_id == rounds[i].test_id && server->rounds[j].round_id == rounds[i].round_id)
                known = &server->rounds[j];
        }
        if (known) {
            receipt->duplicates++;
            server->counts.duplicates++;
            server->counts.repeated += known->start_ns != rounds[i].start_ns;
            continue;
        }
        assert(server->round_count < FAKE_ROUNDS);
        struct fake_round *round = &server->rounds[server->round_count++];
        *round = (struct fake_round){.test_id = rounds[i].test_id, .run_id = rounds[i].run_id,
                                     .round_id = rounds[i].round_id, .start_ns = rounds[i].start_ns,
                                     .end_ns = rounds[i].end_ns, .test_version = rounds[i].test_version,
                                     .part_count = rounds[i].parts.count};
        (void)str_copy(round->problem, sizeof round->problem,
                       rounds[i].local_problem ? rounds[i].local_problem : "");
        read_error(&rounds[i], round);
        const struct message_part *parts = rounds[i].parts.items;
        for (size_t j = 0; j < rounds[i].parts.count; j++) {
            size_t used = strlen(round->parts);
            (void)snprintf(round->parts + used, sizeof round->parts - used, "%s%s", used ? " " : "", parts[j].name);
        }
        receipt->accepted++;
    }
}

static enum MHD_Result on_batch(struct fake_server *server, struct MHD_Connection *connection,
                                const struct message_batch *batch)
{
    int trouble = server->trouble_count ? server->troubles[0] : FAKE_NONE;
    struct message_receipt receipt = {0};
    if (batch->rounds.count > server->counts.largest_batch)
        server->counts.largest_batch = batch->rounds.count;
    server->counts.has_offset = batch->clock_offset_ns != FIELD_NO_I64 && batch->clock_offset_ns < -19 * CLOCK_S &&
                                batch->clock_offset_ns > -21 * CLOCK_S;
    if (server->ceiling && batch->rounds.count > server->ceiling)
        return answer(connection, 413, NULL, NULL);
    if (trouble != FAKE_NONE) {
        server->counts.troubles++;
        memmove(server->troubles, server->troubles + 1, --server->trouble_count * sizeof server->troubles[0]);
    }
    if (trouble == FAKE_SHORT)
        return answer(connection, 200, &message_receipt_table, &receipt);
    if (trouble != FAKE_NONE && trouble != FAKE_DROP_LATE)
        return answer(connection, (unsigned)trouble, NULL, NULL);
    commit(server, batch, &receipt);
    return trouble == FAKE_DROP_LATE ? MHD_NO : answer(connection, 200, &message_receipt_table, &receipt);
}

static enum MHD_Result on_results(struct fake_server *server, struct MHD_Connection *connection,
                                  struct request *request)
{
    struct buf plain;
    struct arena arena;
    struct message_batch batch;
    buf_init(&plain, LIMIT_REQUEST_BYTES);
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    unsigned long long size = ZSTD_getFrameContentSize(request->body.data, request->body.size);
    void *to = size < LIMIT_REQUEST_BYTES ? buf_reserve(&plain, (size_t)size) : NULL;
    bool is_good = to && !ZSTD_isError(ZSTD_decompress(to, (size_t)size, request->body.data, request->body.size));
    if (is_good) {
        buf_grow(&plain, (size_t)size);
        is_good = field_from_cbor(&message_batch_table, plain.data, plain.size, &batch, &arena, NULL) == 0 &&
                  field_check(&message_batch_table, &batch, NULL) == 0 && batch.agent_id == FAKE_AGENT_ID;
    }
    enum MHD_Result result = is_good ? on_batch(server, connection, &batch) : answer(connection, 400, NULL, NULL);
    server->counts.malformed += !is_good;
    server->counts.uploads++;
    arena_done(&arena);
    buf_done(&plain);
    return result;
}

static enum MHD_Result on_report(struct fake_server *server, struct MHD_Connection *connection,
                                 struct request *request)
{
    struct arena arena;
    struct message_report report;
    struct fake_counts *counts = &server->counts;
    arena_init(&arena, 1 << 20);
    bool is_good =
        field_from_cbor(&message_report_table, request->body.data, request->body.size, &report, &arena, NULL) == 0 &&
        field_check(&message_report_table, &report, NULL) == 0;
    if (is_good) {
        counts->reports++;
        counts->leaves += report.is_leaving;
        counts->queues = report.queues.count;
        counts->is_clock_corrected = report.is_clock_corrected;
        (void)str_copy(counts->version, sizeof counts->version, report.version);
        (void)str_copy(counts->report_instance, sizeof counts->report_instance, report.instance);
        (void)str_copy(counts->problem, sizeof counts->problem, report.local_problem ? report.local_problem : "");
    }
    counts->malformed += !is_good;
    arena_done(&arena);
    return answer(connection, is_good ? 204 : 400, NULL, NULL);
}

static enum MHD_Result route(struct fake_server *server, struct MHD_Connection *connection, const char *path,
                             const char *method, struct request *request)
{
    const char *who = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (str_equal(path, "/oculi/v1/agent/register") && str_equal(method, "POST"))
        return on_register(server, connection, request);
    if (server->is_refusing || !str_equal(who, "Bearer 31." FAKE_SECRET))
        return answer(connection, 401, NULL, NULL);
    if (str_equal(path, "/oculi/v1/agent/plan"))
        return on_plan(server, connection);
    if (str_equal(path, "/oculi/v1/agent/results"))
        return on_results(server, connection, request);
    if (str_equal(path, "/oculi/v1/agent/report") && !server->is_old)
        return on_report(server, connection, request);
    return answer(connection, 404, NULL, NULL);
}

/* --- libmicrohttpd ------------------------------------------------------------------------------------------------ */

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *bytes, size_t *size, void **state)
{
    (void)version;
    struct fake_server *server = user;
    struct request *request = *state;
    if (!request) {
        request = mem_alloc(sizeof *request);
        buf_init(&request->body, LIMIT_REQUEST_BYTES);
        *state = request;
        return MHD_YES;
    }
    (void)pthread_mutex_lock(&server->mutex);
    if (*size) {
        buf_put(&request->body, bytes, *size);
        *size = 0;
        bool is_dropped = server->trouble_count && server->troubles[0] == FAKE_DROP_EARLY;
        if (is_dropped) {
            server->counts.troubles++;
            server->counts.uploads++;
            memmove(server->troubles, server->troubles + 1, --server->trouble_count * sizeof server->troubles[0]);
            (void)pthread_cond_broadcast(&server->changed);
        }
        (void)pthread_mutex_unlock(&server->mutex);
        return is_dropped ? MHD_NO : MHD_YES;
    }
    enum MHD_Result result = route(server, connection, path, method, request);
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
    return result;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)user;
    (void)connection;
    (void)code;
    struct request *request = *state;
    if (!request)
        return;
    buf_done(&request->body);
    mem_free(request);
}

void fake_server_up(struct fake_server *server)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(server->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server->is_closing = false;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)server->certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)server->key},
                                   {MHD_OPTION_END, 0, NULL}};
    if (!server->certificate)
        tls[0] = tls[2];
    server->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                                          (server->certificate ? MHD_USE_TLS : 0),
                                      0, NULL, NULL, on_request, server, MHD_OPTION_SOCK_ADDR, &addr,
                                      MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                                      MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    assert(server->daemon);
    server->port = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    (void)snprintf(server->url, sizeof server->url, "%s://127.0.0.1:%u", server->certificate ? "https" : "http",
                   server->port);
}

void fake_server_down(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->is_closing = true;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}

struct fake_server *fake_server_start(const char *certificate, const char *key)
{
    struct fake_server *server = mem_alloc(sizeof *server);
    server->certificate = certificate;
    server->key = key;
    server->ahead_s = 20;
    (void)pthread_mutex_init(&server->mutex, NULL);
    (void)pthread_cond_init(&server->changed, NULL);
    server->rounds = mem_alloc_array(FAKE_ROUNDS, sizeof *server->rounds);
    buf_init(&server->plan, 1 << 20);
    fake_server_up(server);
    return server;
}

void fake_server_free(struct fake_server *server)
{
    if (server->daemon)
        fake_server_down(server);
    buf_done(&server->plan);
    mem_free(server->rounds);
    (void)pthread_cond_destroy(&server->changed);
    (void)pthread_mutex_destroy(&server->mutex);
    mem_free(server);
}

const char *fake_server_url(const struct fake_server *server)
{
    return server->url;
}

/* --- what a check says and sees ----------------------------------------------------------------------------------- */

void fake_server_plan(struct fake_server *server, const struct message_plan *plan)
{
    (void)pthread_mutex_lock(&server->mutex);
    struct message_plan mine = *plan;
    mine.version = ++server->plan_version;
    buf_reset(&server->plan);
    field_to_cbor(&message_plan_table, &mine, &server->plan);
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_refuse(struct fake_server *server, bool is_refusing)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->is_refusing = is_refusing;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_displace(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    (void)str_copy(server->displaced, sizeof server->displaced, server->counts.instance);
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_old(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->is_old = true;
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_clock(struct fake_server *server, int64_t ahead_s)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->ahead_s = ahead_s;
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_trouble(struct fake_server *server, int trouble)
{
    (void)pthread_mutex_lock(&server->mutex);
    assert(server->trouble_count < FAKE_TROUBLES);
    server->troubles[server->trouble_count++] = trouble;
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_clear(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->trouble_count = 0;
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_ceiling(struct fake_server *server, size_t rounds)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->ceiling = rounds;
    (void)pthread_mutex_unlock(&server->mutex);
}

static bool wait_for(struct fake_server *server, const size_t *counter, size_t count)
{
    struct timespec until = in_seconds(FAKE_WAIT_S);
    (void)pthread_mutex_lock(&server->mutex);
    while (*counter < count) {
        if (pthread_cond_timedwait(&server->changed, &server->mutex, &until))
            break;
    }
    bool is_reached = *counter >= count;
    (void)pthread_mutex_unlock(&server->mutex);
    return is_reached;
}

bool fake_server_wait_rounds(struct fake_server *server, size_t count)
{
    return wait_for(server, &server->round_count, count);
}

bool fake_server_wait_uploads(struct fake_server *server, size_t count)
{
    return wait_for(server, &server->counts.uploads, count);
}

bool fake_server_wait_troubles(struct fake_server *server, size_t count)
{
    return wait_for(server, &server->counts.troubles, count);
}

bool fake_server_wait_reports(struct fake_server *server, size_t count)
{
    return wait_for(server, &server->counts.reports, count);
}

bool fake_server_wait_polls(struct fake_server *server, size_t count)
{
    return wait_for(server, &server->counts.polls, count);
}

size_t fake_server_rounds(struct fake_server *server, const struct fake_round **ret_rounds)
{
    (void)pthread_mutex_lock(&server->mutex);
    *ret_rounds = server->rounds;
    size_t count = server->round_count;
    (void)pthread_mutex_unlock(&server->mutex);
    return count;
}

struct fake_counts fake_server_counts(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    struct fake_counts counts = server->counts;
    (void)pthread_mutex_unlock(&server->mutex);
    return counts;
}
