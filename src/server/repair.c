#include "server/repair.h"

#include <stdio.h>

#include "base/limit.h"
#include "server/api/api.h"
#include "server/auth.h"
#include "server/first.h"
#include "server/object.h"
#include "server/seal.h"

static int64_t now_s(void)
{
    return clock_wall_ns(&clock_real) / CLOCK_S;
}

static int open_store(const struct config *config, struct arena *arena, struct store **ret_store, struct error *err)
{
    int rc = first_open_store(config, arena, ret_store, err);
    if (rc == -E_CONFLICT)
        rc = error_set(err, E_CONFLICT, config->data, "a server uses this directory: stop it first");
    return rc;
}

/* --- passwords ----------------------------------------------------------------------------------------------------------- */

static int end_sessions(struct store *store, uint64_t uid, struct arena *arena, struct error *err)
{
    struct field_list sessions = {0};
    int rc = object_list(store, &object_session_kind, 0, NULL, arena, &sessions, err);
    const struct object_token *session = sessions.items;
    for (size_t i = 0; !rc && i < sessions.count; i++) {
        if (session[i].uid == uid)
            rc = store_purge(store, object_session_kind.name, session[i].head.id, err);
    }
    return rc;
}

static int store_reset(struct store *store, struct object_user *user, struct arena *arena, struct error *err)
{
    struct object_audit entry = {.head.aid = user->login_aid,
                                 .event = "Password reset",
                                 .user = "Operator of the server",
                                 .resource_type = "userDisplayName",
                                 .resource_name = user->name};
    int rc = store_begin(store, err);
    if (rc)
        return rc;
    rc = object_put(store, &object_user_kind, user, now_s(), err);
    if (!rc)
        rc = object_put(store, &object_audit_kind, &entry, now_s(), err);
    if (!rc)
        rc = end_sessions(store, user->head.id, arena, err);
    return store_end(store, rc, err);
}

int repair_reset_password(const struct config *config, const char *email, struct error *err)
{
    struct arena arena;
    struct store *store = NULL;
    struct object_user user;
    char password[AUTH_CODE_BYTES];
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    int rc = open_store(config, &arena, &store, err);
    if (!rc)
        rc = object_find(store, &object_user_kind, 0, auth_login_name(&arena, email), &arena, &user, err);
    if (rc == -E_NOT_FOUND)
        rc = error_set(err, E_NOT_FOUND, email, "there is no user with this e-mail address");
    if (!rc)
        rc = auth_one_time_password(&user, &arena, password, err);
    if (!rc)
        rc = store_reset(store, &user, &arena, err);
    if (!rc)
        printf("email: %s\npassword: %s\n", user.email, password);
    store_close(store);
    arena_done(&arena);
    return rc;
}

/* --- keys ---------------------------------------------------------------------------------------------------------------- */

struct rotation {
    const struct seal *seal;
    struct arena *arena;
    size_t count; /* texts sealed anew */
    struct error *err;
};

static int renew_text(struct rotation *rotation, const char **text)
{
    if (!*text || !seal_is_sealed(*text))
        return 0;
    const char *sealed;
    int rc = seal_again(rotation->seal, *text, rotation->arena, &sealed, rotation->err);
    rotation->count += !rc && sealed != *text;
    if (!rc)
        *text = sealed;
    return rc;
}

/* Every text of a record that is a sealed one, however deep. */
static int renew(struct rotation *rotation, const struct field_table *table, char *record)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < table->count; i++) {
        const struct field *field = &table->fields[i];
        void *at = record + field->offset;
        struct field_list *list = at;
        if (field->kind == FIELD_KIND_STR)
            rc = renew_text(rotation, at);
        else if (field->kind == FIELD_KIND_RECORD)
            rc = renew(rotation, field->table, at);
        else if (field->kind == FIELD_KIND_RECORD_PTR && *(char **)at)
            rc = renew(rotation, field->table, *(char **)at);
        for (size_t j = 0; field->kind == FIELD_KIND_STRS && !rc && j < list->count; j++)
            rc = renew_text(rotation, (const char **)list->items + j);
        for (size_t j = 0; field->kind == FIELD_KIND_LIST && !rc && j < list->count; j++)
            rc = renew(rotation, field->table, (char *)list->items + j * field->table->size);
    }
    return rc;
}

static int renew_kind(struct rotation *rotation, struct store *store, const struct object_kind *kind)
{
    struct field_list records = {0};
    int rc = object_list(store, kind, 0, NULL, rotation->arena, &records, rotation->err);
    for (size_t i = 0; !rc && i < records.count; i++) {
        char *record = (char *)records.items + i * kind->table->size;
        size_t before = rotation->count;
        rc = renew(rotation, kind->table, record);
        if (!rc && rotation->count != before)
            rc = object_put(store, kind, record, ((const struct object_head *)(void *)record)->modified_s, rotation->err);
    }
    return rc;
}

static int renew_all(struct rotation *rotation, struct store *store)
{
    int rc = store_begin(store, rotation->err);
    if (rc)
        return rc;
    for (const struct object_kind *const *kind = api_kinds; !rc && *kind; kind++) {
        if (*kind != &object_audit_kind)
            rc = renew_kind(rotation, store, *kind);
    }
    return store_end(store, rc, rotation->err);
}

int repair_rotate_keys(const struct config *config, struct error *err)
{
    struct arena arena;
    struct store *store = NULL;
    struct seal *seal = NULL;
    arena_init(&arena, 1u << 30);
    int rc = open_store(config, &arena, &store, err);
    if (!rc)
        rc = seal_load(arena_printf(&arena, "%s/seal-keys", config->data), &seal, err);
    if (!rc)
        rc = seal_rotate(seal, err);
    struct rotation rotation = {.seal = seal, .arena = &arena, .err = err};
    if (!rc)
        rc = renew_all(&rotation, store);
    if (!rc)
        printf("A new key seals from now on; %zu secrets were sealed with it again.\n", rotation.count);
    seal_free(seal);
    store_close(store);
    arena_done(&arena);
    return rc;
}
