#include "agent/identity.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "agent/sealed.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/str.h"
#include "measure/type.h"
#include "probe/engine.h"

#define IDENTITY_BYTES 4096
#define REGISTRATION_BYTES 65536
#define REGISTRATION_ADDRESSES 64
#define REGISTRATION_TIMEOUT_S 30

static void identity_path(const char *state_dir, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/identity", state_dir);
}

int identity_load(const char *state_dir, struct message_identity *ret_identity, struct arena *arena,
                  struct error *err)
{
    char path[512];
    struct buf buf;
    identity_path(state_dir, path, sizeof path);
    buf_init(&buf, IDENTITY_BYTES);
    int rc = sealed_read(path, &buf, err);
    struct message_identity identity;
    if (!rc && (field_from_cbor(&message_identity_table, buf.data, buf.size, &identity, arena, NULL) ||
                field_check(&message_identity_table, &identity, NULL)))
        rc = -E_CORRUPT;
    buf_done(&buf);
    if (rc == -E_CORRUPT)
        return error_set(err, E_CORRUPT, path,
                         "the agent's identity is damaged: restore the file, or remove it to register as a new agent");
    if (!rc)
        *ret_identity = identity;
    return rc;
}

int identity_save(const char *state_dir, const struct message_identity *identity, struct error *err)
{
    char path[512];
    struct buf buf;
    identity_path(state_dir, path, sizeof path);
    buf_init(&buf, IDENTITY_BYTES);
    field_to_cbor(&message_identity_table, identity, &buf);
    int rc = buf.is_overflowed ? error_set(err, E_LIMIT, path, "the identity is too long")
                               : sealed_write(path, buf.data, buf.size, 0600, err);
    buf_done(&buf);
    return rc;
}

int identity_make_room(const char *state_dir, struct error *err)
{
    static const char room[IDENTITY_BYTES];
    char path[512];
    (void)snprintf(path, sizeof path, "%s/identity.room", state_dir);
    int rc = file_write(path, room, sizeof room, 0600, err);
    if (!rc)
        (void)unlink(path);
    return rc;
}

/* --- registration ------------------------------------------------------------------------------------------------- */

struct registration {
    struct registration_settings settings;
    struct buf body;
    struct http_job *job;
    struct loop_timer timer;
    struct backoff backoff;
};

/* Addresses of the machine that mean something to others. */
static void add_addresses(struct field_list *list, struct arena *arena)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    const char **items = arena_alloc_array(arena, REGISTRATION_ADDRESSES, sizeof *items);
    size_t count = 0;
    for (const struct ifaddrs *one = all; one && count < REGISTRATION_ADDRESSES; one = one->ifa_next) {
        if (!one->ifa_addr || (one->ifa_flags & IFF_LOOPBACK) || !(one->ifa_flags & IFF_UP))
            continue;
        int family = one->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6)
            continue;
        union sock_addr addr = {0};
        memcpy(&addr, one->ifa_addr, family == AF_INET ? sizeof addr.in4 : sizeof addr.in6);
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&addr.in6.sin6_addr))
            continue;
        char text[SOCK_TEXT_BYTES];
        items[count++] = arena_strdup(arena, sock_ip_text(&addr, text, sizeof text));
    }
    freeifaddrs(all);
    *list = (struct field_list){.items = items, .count = count};
}

/* In another network namespace the machine's own list says nothing; which address leads out does. */
static void add_sources(const struct probe_engine *engine, struct field_list *list, struct arena *arena)
{
    static const char *const somewhere[] = {"192.0.2.1", "2001:db8::1"};
    const char **items = arena_alloc_array(arena, 2, sizeof *items);
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        union sock_addr dst, src;
        char text[SOCK_TEXT_BYTES];
        if (sock_parse_ip(somewhere[i], &dst) == 0 && probe_engine_source(engine, &dst, &src))
            items[count++] = arena_strdup(arena, sock_ip_text(&src, text, sizeof text));
    }
    *list = (struct field_list){.items = items, .count = count};
}

static void make_body(struct registration *registration)
{
    const struct agent_options *options = registration->settings.options;
    struct arena arena;
    struct message_registration message;
    char hostname[256] = "";
    arena_init(&arena, REGISTRATION_BYTES);
    field_defaults(&message_registration_table, &message);
    (void)gethostname(hostname, sizeof hostname - 1);
    message.token = options->token;
    message.hostname = *hostname ? hostname : NULL;
    message.agent_name = options->name ? options->name : *hostname ? hostname : "agent";
    message.version = OCULI_VERSION;
    if (options->netns)
        add_sources(registration->settings.engine, &message.addresses, &arena);
    else
        add_addresses(&message.addresses, &arena);
    size_t types = 0;
    while (measure_types[types])
        types++;
    const char **names = arena_alloc_array(&arena, types + 1, sizeof *names);
    for (size_t i = 0; i < types; i++)
        names[i] = measure_types[i]->name;
    message.types = (struct field_list){.items = names, .count = types};
    message.location = options->location;
    message.country_id = options->country;
    message.latitude = options->latitude;
    message.longitude = options->longitude;
    buf_reset(&registration->body);
    field_to_cbor(&message_registration_table, &message, &registration->body);
    arena_done(&arena);
}

static void try_later(struct registration *registration, const char *why)
{
    const struct registration_settings *s = &registration->settings;
    s->retry(s->user, why);
    loop_timer_start(s->loop, &registration->timer,
                     loop_now_ns(s->loop) + backoff_next_ns(&registration->backoff, s->rng));
}

static void take_identity(struct registration *registration, const struct http_answer *answer)
{
    const struct registration_settings *s = &registration->settings;
    struct arena arena;
    struct message_identity identity;
    struct error err = {0};
    arena_init(&arena, IDENTITY_BYTES);
    if (field_from_cbor(&message_identity_table, answer->body, answer->body_size, &identity, &arena, &err) ||
        field_check(&message_identity_table, &identity, &err)) {
        try_later(registration, "the answer is not an identity: is this an Oculi server?");
    } else {
        int rc = identity_save(s->options->state_dir, &identity, &err);
        s->done(s->user, rc, rc ? NULL : &identity, &err);
    }
    arena_done(&arena);
}

static void on_answer(void *user, const struct http_answer *answer)
{
    struct registration *registration = user;
    const struct registration_settings *s = &registration->settings;
    struct error err;
    registration->job = NULL;
    if (answer->status == 201 || answer->status == 200) {
        take_identity(registration, answer);
    } else if (answer->status == 401) {
        int rc = error_set(&err, E_AUTH, s->options->server,
                           "the server does not know the account group token (%s)", answer->error);
        s->done(s->user, rc, NULL, &err);
    } else if (answer->status == 400 || answer->status == 422) {
        int rc = error_set(&err, E_INVALID, s->options->server, "the server refuses the registration (%s)",
                           answer->error);
        s->done(s->user, rc, NULL, &err);
    } else {
        try_later(registration, answer->error);
    }
}

static void on_timer(void *user)
{
    struct registration *registration = user;
    struct http_request request = {.method = "POST",
                                   .path = "/oculi/v1/agent/register",
                                   .body = registration->body.data,
                                   .body_size = registration->body.size,
                                   .timeout_s = REGISTRATION_TIMEOUT_S};
    registration->job = http_start(registration->settings.http, &request, on_answer, registration);
}

struct registration *registration_start(const struct registration_settings *settings)
{
    struct registration *registration = mem_alloc(sizeof *registration);
    registration->settings = *settings;
    registration->timer = (struct loop_timer){.fn = on_timer, .user = registration};
    buf_init(&registration->body, REGISTRATION_BYTES);
    make_body(registration);
    loop_timer_start(settings->loop, &registration->timer, 0);
    return registration;
}

void registration_free(struct registration *registration)
{
    if (!registration)
        return;
    if (registration->job)
        http_cancel(registration->job);
    loop_timer_stop(registration->settings.loop, &registration->timer);
    buf_done(&registration->body);
    mem_free(registration);
}
