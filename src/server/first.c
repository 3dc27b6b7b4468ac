#include "server/first.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/sock.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/auth.h"
#include "server/object.h"
#include "server/seal.h"

#define PATH_BYTES 4096

static const char *path_of(const struct config *config, const char *name, char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "%s/%s", config->data, name);
    return path;
}

static int write_secret(const struct config *config, const char *name, const char *text, struct error *err)
{
    char path[PATH_BYTES];
    return file_write(path_of(config, name, path), text, strlen(text), 0600, err);
}


static int make_account(struct server *server, struct arena *arena, struct error *err)
{
    int64_t now = server_now_s(server);
    char token[AUTH_SECRET_BYTES], password[AUTH_CODE_BYTES], login[200];
    auth_new_secret("oculi-agent_", token);
    struct object_account_group group = {
        .name = "Default", .organization = "Oculi", .agent_token = token, .created_s = now};
    struct object_user_role role = {.aid = OBJECT_ALL_GROUPS, .role_id = PERMISSION_ORGANIZATION_ADMIN};
    struct object_user user = {.email = FIRST_EMAIL,
                               .login = FIRST_EMAIL,
                               .name = "Administrator",
                               .created_s = now,
                               .roles = {&role, 1}};
    int rc = auth_one_time_password(&user, arena, password, err);
    if (rc)
        return rc;
    (void)snprintf(login, sizeof login, "email: %s\npassword: %s\n", FIRST_EMAIL, password);
    rc = store_begin(server->store, err);
    if (rc)
        return rc;
    rc = object_put(server->store, &object_account_group_kind, &group, now, err);
    user.login_aid = group.head.id;
    if (!rc)
        rc = api_make_default_rule(server->store, group.head.id, now, err);
    if (!rc)
        rc = object_put(server->store, &object_user_kind, &user, now, err);
    if (!rc)
        rc = write_secret(server->config, "first-login", login, err);
    rc = store_end(server->store, rc, err);
    if (!rc)
        rc = store_sync(server->store, err); /* before agent-token tells that there was something here */
    if (rc)
        return rc;
    char path[PATH_BYTES];
    if (getenv("JOURNAL_STREAM")) /* the journal keeps, and shows to others, what it is told */
        printf("First start: how to sign in is in %s\n", path_of(server->config, "first-login", path));
    else
        printf("First start: sign in as %s with the one-time password %s\n", FIRST_EMAIL, password);
    (void)fflush(stdout);
    return 0;
}

/* The roles that come with the product; a data directory of an older version gets them too. */
static int make_roles(struct server *server, struct arena *arena, struct error *err)
{
    struct field_list roles = {0};
    int rc = object_list(server->store, &object_role_kind, 0, NULL, arena, &roles, err);
    for (uint64_t id = roles.count + 1; !rc && id <= PERMISSION_ROLES; id++) {
        struct object_role role = {.name = permission_role_names[id]};
        rc = object_put(server->store, &object_role_kind, &role, server_now_s(server), err);
        assert(rc || role.head.id == id);
    }
    return rc;
}

/* The first user who may do everything everywhere; 0 when there is none. */
static int find_administrator(struct store *store, struct arena *arena, uint64_t *ret_uid, struct error *err)
{
    struct field_list users = {0};
    int rc = object_list(store, &object_user_kind, 0, NULL, arena, &users, err);
    const struct object_user *user = users.items;
    for (size_t i = 0; !rc && i < users.count; i++) {
        const struct object_user_role *roles = user[i].roles.items;
        for (size_t j = 0; j < user[i].roles.count && !*ret_uid; j++) {
            if (roles[j].aid == OBJECT_ALL_GROUPS && roles[j].role_id == PERMISSION_ORGANIZATION_ADMIN)
                *ret_uid = user[i].head.id;
        }
    }
    return rc;
}

/* The local token is made anew, so that a copy of an old file is worth nothing. */
static int make_local_token(struct server *server, struct arena *arena, struct error *err)
{
    struct field_list tokens = {0};
    uint64_t uid = 0;
    int rc = find_administrator(server->store, arena, &uid, err);
    if (!rc && !uid)
        return 0;
    if (!rc)
        rc = object_list(server->store, &object_token_kind, 0, NULL, arena, &tokens, err);
    const struct object_token *token = tokens.items;
    for (size_t i = 0; !rc && i < tokens.count; i++) {
        if (token[i].is_local || token[i].expires_s < server_now_s(server))
            rc = store_purge(server->store, "token", token[i].head.id, err);
    }
    char secret[AUTH_SECRET_BYTES], line[AUTH_SECRET_BYTES + 1];
    if (!rc)
        rc = auth_make_token(server, &object_token_kind, uid, AUTH_TOKEN_DAYS * 86400LL, true, secret, err);
    if (rc)
        return rc;
    (void)snprintf(line, sizeof line, "%s\n", secret);
    return write_secret(server->config, "api-token", line, err);
}

static int load_key(struct server *server, struct error *err)
{
    char path[PATH_BYTES];
    struct buf key;
    buf_init(&key, 64);
    int rc = access(path_of(server->config, "key", path), F_OK) == 0 ? file_read(path, &key, err) : 0;
    if (!rc && key.size == sizeof server->key) {
        memcpy(server->key, key.data, key.size);
    } else if (!rc) {
        rng_secret(server->key, sizeof server->key);
        rc = file_write(path, server->key, sizeof server->key, 0600, err);
    }
    buf_done(&key);
    return rc;
}

int first_open_store(const struct config *config, struct arena *arena, struct store **ret_store, struct error *err)
{
    const char *url = config->store ? config->store : arena_printf(arena, "sqlite:%s/oculi.db", config->data);
    return store_open(url, ret_store, err);
}

int first_tell_agent_token(const struct server *server, struct error *err)
{
    struct arena arena;
    struct field_list groups = {0};
    char line[AUTH_SECRET_BYTES + 1];
    arena_init(&arena, 16u << 20);
    int rc = object_list(server->store, &object_account_group_kind, 0, NULL, &arena, &groups, err);
    const struct object_account_group *group = groups.items;
    if (!rc && groups.count) {
        (void)snprintf(line, sizeof line, "%s\n", group[0].agent_token);
        rc = write_secret(server->config, "agent-token", line, err);
    }
    arena_done(&arena);
    return rc;
}

/* An empty store beside agent-token was lost, not never filled: to begin anew would hide that, and turn the agents away. */
static int check_not_lost(const struct config *config, struct error *err)
{
    char path[PATH_BYTES];
    if (config->store || access(path_of(config, "agent-token", path), F_OK) != 0)
        return 0;
    return error_set(err, E_CORRUPT, path_of(config, "oculi.db", path),
                     "there is nothing in it, although this directory was in use; restore a backup, or remove agent-token "
                     "to begin anew");
}

int first_open(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    struct arena arena;
    arena_init(&arena, 16u << 20);
    char path[PATH_BYTES];
    int rc = file_make_dir(config->data, 0700, err);
    if (!rc)
        rc = first_open_store(config, &arena, &server->store, err);
    if (!rc)
        rc = load_key(server, err);
    bool had_keys = access(path_of(config, "seal-keys", path), F_OK) == 0;
    if (!rc)
        rc = seal_load(path, &server->seal, err);
    struct field_list groups = {0};
    if (!rc)
        rc = make_roles(server, &arena, err);
    if (!rc)
        rc = object_list(server->store, &object_account_group_kind, 0, NULL, &arena, &groups, err);
    if (!rc && groups.count > 0 && !had_keys)
        log_warning("server", "%s was not there and was made anew: secrets sealed before cannot be read", path);
    if (!rc && groups.count == 0) {
        rc = check_not_lost(config, err);
        if (!rc)
            rc = make_account(server, &arena, err);
        if (!rc)
            rc = object_list(server->store, &object_account_group_kind, 0, NULL, &arena, &groups, err);
    }
    if (!rc)
        rc = first_tell_agent_token(server, err);
    if (!rc)
        rc = make_local_token(server, &arena, err);
    arena_done(&arena);
    return rc;
}

int first_tell(struct server *server, struct error *err)
{
    char host[128], path[PATH_BYTES], url[400];
    uint16_t port;
    int rc = http_split_listen(server->config->listen, host, sizeof host, &port, err);
    if (rc)
        return rc;
    const char *scheme = http_is_tls(server->http) ? "https" : "http";
    (void)snprintf(url, sizeof url, strchr(host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme, host,
                   http_port(server->http));
    json_t *json = json_pack("{s:s, s:s, s:i, s:s}", "url",
                             server->config->public_url ? server->config->public_url : url, "local", url, "pid",
                             (int)getpid(), "version", OCULI_VERSION);
    char *text = json_dumps(json, JSON_COMPACT);
    rc = file_write(path_of(server->config, "run.json", path), text, strlen(text), 0600, err);
    free(text);
    json_decref(json);
    log_info("server", "oculid %s listens at %s, data in %s", OCULI_VERSION, url, server->config->data);
    return rc;
}

void first_forget_password(const struct server *server)
{
    char path[PATH_BYTES];
    if (unlink(path_of(server->config, "first-login", path)) != 0 && errno != ENOENT)
        log_warning("server", "cannot remove %s: %s", path, strerror(errno));
}

int first_print_token(const struct config *config, struct error *err)
{
    char path[PATH_BYTES];
    struct buf token;
    buf_init(&token, 4096);
    int rc = file_read(path_of(config, "api-token", path), &token, err);
    if (!rc)
        printf("%s", buf_str(&token));
    buf_done(&token);
    return rc;
}
