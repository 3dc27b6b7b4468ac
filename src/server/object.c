#include "server/object.h"

#include <assert.h>
#include <string.h>

#include "base/limit.h"
#include "base/str.h"

static const char *const old_role_names[] = {"Organization Admin", "Account Admin", "Regular User", NULL};
const char *const object_ipv6_policies[] = {"force-ipv4", "prefer-ipv6", "force-ipv6", NULL};

static const struct field account_group_fields[] = {
    FIELD_STR(struct object_account_group, name, "accountGroupName", (), "Name of the account group"),
    FIELD_STR(struct object_account_group, organization, "organizationName", (), "Name of the organization"),
    FIELD_STR(struct object_account_group, agent_token, "agentToken", (.flags = FIELD_SECRET),
              "What an agent shows to register"),
    FIELD_TIME(struct object_account_group, created_s, "createdDate", (), "When it was created"),
};
static const struct field_table account_group_table = FIELD_TABLE(
    "StoredAccountGroup", struct object_account_group, account_group_fields, NULL, "An account group as it is kept");

static const struct field user_role_fields[] = {
    FIELD_ID(struct object_user_role, aid, "aid", (), "Account group"),
    FIELD_ID(struct object_user_role, role_id, "roleId", (), "Role in it"),
    FIELD_ENUM(struct object_user_role, old_role, "role", old_role_names, (), "Role in it, as older versions kept it"),
};
static const struct field_table user_role_table =
    FIELD_TABLE("StoredUserRole", struct object_user_role, user_role_fields, NULL, "A user's role in an account group");

static const struct field user_fields[] = {
    FIELD_STR(struct object_user, email, "email", (), "E-mail address, the name to sign in with"),
    FIELD_STR(struct object_user, name, "name", (), "Name shown"),
    FIELD_STR(struct object_user, login, "login", (), "What the user signs in with: the address in small letters"),
    FIELD_STR(struct object_user, password_hash, "passwordHash", (.flags = FIELD_SECRET), "Argon2id hash"),
    FIELD_BOOL(struct object_user, must_change_password, "mustChangePassword", (),
               "The password is the one made at the first start"),
    FIELD_ID(struct object_user, login_aid, "loginAid", (), "Account group entered at sign-in"),
    FIELD_TIME(struct object_user, created_s, "dateRegistered", (), "When the user was created"),
    FIELD_TIME(struct object_user, last_login_s, "lastLogin", (), "When the user last signed in"),
    FIELD_LIST(struct object_user, roles, "roles", &user_role_table, (), "Roles in account groups"),
    FIELD_STR(struct object_user, totp_key, "totpKey", (.flags = FIELD_SECRET), "Key of the second factor, sealed"),
    FIELD_STR(struct object_user, totp_next_key, "totpNextKey", (.flags = FIELD_SECRET), "One being enrolled, sealed"),
    FIELD_I64(struct object_user, totp_step, "totpStep", (.flags = FIELD_INTERNAL, .preset = "0"), "Step of the last code taken"),
    FIELD_I32(struct object_user, totp_failures, "totpFailures", (.flags = FIELD_INTERNAL, .preset = "0"),
              "Wrong codes since the last right one"),
    FIELD_TIME(struct object_user, totp_wait_s, "totpWait", (.flags = FIELD_INTERNAL), "No code is looked at before"),
    FIELD_STRS(struct object_user, recovery_codes, "recoveryCodes", (.flags = FIELD_SECRET),
               "Hashes of the recovery codes that still work"),
    FIELD_STR(struct object_user, oidc, "oidc", (), "Who signs in as this user by single sign-on"),
};
static const struct field_table user_table =
    FIELD_TABLE("StoredUser", struct object_user, user_fields, NULL, "A user as it is kept");

static void upgrade_user(void *record)
{
    struct object_user *user = record;
    struct object_user_role *roles = (struct object_user_role *)(uintptr_t)user->roles.items;
    for (size_t i = 0; i < user->roles.count; i++) {
        if (!roles[i].role_id)
            roles[i].role_id = (uint64_t)roles[i].old_role + 1;
    }
    if (!user->login)
        user->login = user->email; /* there was only the administrator, in small letters */
}

static const struct field role_fields[] = {
    FIELD_STR(struct object_role, name, "name", (), "Its name"),
    FIELD_IDS(struct object_role, permissions, "permissions", (), "Numbers of its permissions"),
};
static const struct field_table role_table =
    FIELD_TABLE("StoredRole", struct object_role, role_fields, NULL, "A role as it is kept");

static const struct field audit_fields[] = {
    FIELD_STR(struct object_audit, event, "event", (), "What happened"),
    FIELD_ID(struct object_audit, uid, "uid", (), "Who did it"),
    FIELD_STR(struct object_audit, user, "user", (), "Who did it, for people"),
    FIELD_STR(struct object_audit, ip, "ipAddress", (), "Where the request came from"),
    FIELD_STR(struct object_audit, resource_type, "resourceType", (), "What was changed"),
    FIELD_STR(struct object_audit, resource_name, "resourceName", (), "Its name"),
    FIELD_STR(struct object_audit, kind, "kind", (), "Kind of the object"),
    FIELD_ID(struct object_audit, object_id, "objectId", (), "Id of the object"),
    FIELD_I64(struct object_audit, object_version, "objectVersion", (), "Version that came to be"),
    FIELD_STR(struct object_audit, before, "before", (), "What it was"),
    FIELD_STR(struct object_audit, after, "after", (), "What it is"),
};
static const struct field_table audit_table =
    FIELD_TABLE("StoredAudit", struct object_audit, audit_fields, NULL, "An entry of the audit log as it is kept");

static const struct field token_fields[] = {
    FIELD_STR(struct object_token, hash, "hash", (.flags = FIELD_SECRET), "Hash of the secret"),
    FIELD_ID(struct object_token, uid, "uid", (), "Whose it is"),
    FIELD_TIME(struct object_token, created_s, "createdDate", (), "When it was made"),
    FIELD_TIME(struct object_token, expires_s, "expiresDate", (), "Until when it works"),
    FIELD_TIME(struct object_token, seen_s, "lastSeen", (), "When a person last used it"),
    FIELD_BOOL(struct object_token, is_local, "isLocal", (), "It is the file api-token"),
    FIELD_BOOL(struct object_token, is_replaced, "isReplaced", (), "A newer one was made"),
};
static const struct field_table token_table =
    FIELD_TABLE("StoredToken", struct object_token, token_fields, NULL, "A bearer token or session as it is kept");

static const struct field agent_fields[] = {
    FIELD_STR(struct object_agent, name, "agentName", (), "Name of the agent"),
    FIELD_STR(struct object_agent, hostname, "hostname", (), "Name of its machine"),
    FIELD_STR(struct object_agent, software, "software", (), "Version of its program"),
    FIELD_STR(struct object_agent, location, "location", (), "Where it stands"),
    FIELD_STR(struct object_agent, country, "countryId", (), "ISO 3166 country code"),
    FIELD_F64(struct object_agent, latitude, "latitude", (), "Latitude in degrees"),
    FIELD_F64(struct object_agent, longitude, "longitude", (), "Longitude in degrees"),
    FIELD_STRS(struct object_agent, ip_addresses, "ipAddresses", (), "Its own addresses"),
    FIELD_STRS(struct object_agent, public_ip_addresses, "publicIpAddresses", (), "Addresses we see it with"),
    FIELD_STR(struct object_agent, network, "network", (), "Network of its public address"),
    FIELD_STR(struct object_agent, prefix, "prefix", (), "Prefix of its public address"),
    FIELD_BOOL(struct object_agent, enabled, "enabled", (.preset = "true"), "It gets tests to run"),
    FIELD_BOOL(struct object_agent, keep_browser_cache, "keepBrowserCache", (), "Its browser keeps the cache"),
    FIELD_BOOL(struct object_agent, verify_ssl, "verifySslCertificates", (.preset = "true"),
               "It refuses certificates it cannot verify"),
    FIELD_ENUM(struct object_agent, ipv6_policy, "ipv6Policy", object_ipv6_policies, (.preset = "force-ipv4"),
               "Which addresses of a name it uses"),
    FIELD_STR(struct object_agent, target_for_tests, "targetForTests", (), "Address other agents measure"),
    FIELD_STRS(struct object_agent, local_resolution_prefixes, "localResolutionPrefixes", (),
               "Prefixes whose names it resolves itself"),
    FIELD_STR(struct object_agent, secret_hash, "secretHash", (.flags = FIELD_SECRET), "Hash of its secret"),
    FIELD_STR(struct object_agent, signs_in_as, "signsInAs", (.flags = FIELD_INTERNAL),
              "Id its machine was given first, when that is another"),
    FIELD_BOOL(struct object_agent, is_cluster, "isCluster", (.preset = "false"), "It is a cluster"),
    FIELD_ID(struct object_agent, cluster_id, "clusterId", (), "The cluster it is a member of"),
    FIELD_ID(struct object_agent, proxy_id, "proxyId", (), "The proxy of its tests"),
    FIELD_IDS(struct object_agent, shared_with, "sharedWith", (), "Other account groups it works for"),
    FIELD_TIME(struct object_agent, created_s, "createdDate", (), "When it registered"),
    FIELD_TIME(struct object_agent, last_seen_s, "lastSeen", (), "When it last spoke"),
    FIELD_I64(struct object_agent, clock_offset_us, "clockOffsetUs", (.unit = "us"), "Its clock minus ours"),
};
static const struct field_table agent_table =
    FIELD_TABLE("StoredAgent", struct object_agent, agent_fields, NULL, "An agent as it is kept");

static const struct field test_agent_fields[] = {
    FIELD_ID(struct object_test_agent, agent_id, "agentId", (.flags = FIELD_REQUIRED), "The agent"),
    FIELD_STR(struct object_test_agent, source_ip, "sourceIpAddress", (.max = 64),
              "Which of its addresses it sends from"),
};
const struct field_table object_test_agent_table = FIELD_TABLE("TestAgentRequest", struct object_test_agent,
                                                               test_agent_fields, NULL, "An agent that runs the test");

static const struct field test_fields[] = {
    FIELD_STR(struct object_test, key, "key", (), "Its unique name"),
    FIELD_STR(struct object_test, type, "type", (), "Measure type"),
    FIELD_STR(struct object_test, name, "testName", (), "Name"),
    FIELD_STR(struct object_test, description, "description", (), "Description"),
    FIELD_I32(struct object_test, interval_s, "interval", (.unit = "s"), "Time between rounds"),
    FIELD_BOOL(struct object_test, enabled, "enabled", (.preset = "true"), "It runs"),
    FIELD_BOOL(struct object_test, alerts_enabled, "alertsEnabled", (.preset = "true"), "It raises alerts"),
    FIELD_BOOL(struct object_test, is_instant, "isInstant", (), "It runs only when asked"),
    FIELD_LIST(struct object_test, agents, "agents", &object_test_agent_table, (), "Agents that run it"),
    FIELD_BOOL(struct object_test, saved_event, "savedEvent", (), "It holds copied results"),
    FIELD_STRS(struct object_test, shared_with, "sharedWithAccounts", (), "Account groups it is shared with"),
    FIELD_STRS(struct object_test, alert_rules, "alertRules", (), "Alert rule ids"),
    FIELD_STR(struct object_test, created_by, "createdBy", (), "Who created it"),
    FIELD_STR(struct object_test, modified_by, "modifiedBy", (), "Who changed it last"),
    FIELD_TIME(struct object_test, created_s, "createdDate", (), "When it was created"),
    FIELD_TIME(struct object_test, changed_s, "modifiedDate", (), "When it was changed last"),
    FIELD_BYTES(struct object_test, settings, "settings", (), "Settings of its type"),
};
static const struct field_table test_table =
    FIELD_TABLE("StoredTest", struct object_test, test_fields, NULL, "A test as it is kept");

static const struct field run_fields[] = {
    FIELD_ID(struct object_run, test_id, "testId", (), "The test"),
    FIELD_I64(struct object_run, test_version, "testVersion", (), "Version of its settings"),
    FIELD_TIME(struct object_run, asked_s, "askedDate", (), "When the run was asked for"),
    FIELD_IDS(struct object_run, agents, "agents", (), "Agents that have not reported yet"),
};
static const struct field_table run_table =
    FIELD_TABLE("StoredRun", struct object_run, run_fields, NULL, "A run asked for once");

#define KEPT(name_, table_, key_, lookup_) .name = (name_), .table = &(table_), .key = (key_), .lookup = (lookup_)
#define SHOWN(title_, resource_, label_) .title = (title_), .resource = (resource_), .label = (label_)

const struct object_kind object_account_group_kind = {
    KEPT("account-group", account_group_table, offsetof(struct object_account_group, name), OBJECT_NONE),
    SHOWN("Account group", "accountGroupName", offsetof(struct object_account_group, name))};
const struct object_kind object_user_kind = {KEPT("user", user_table, offsetof(struct object_user, login), OBJECT_NONE),
                                             .upgrade = upgrade_user,
                                             SHOWN("User", "userDisplayName", offsetof(struct object_user, name))};
const struct object_kind object_role_kind = {KEPT("role", role_table, offsetof(struct object_role, name), OBJECT_NONE),
                                             SHOWN("Role", "roleName", offsetof(struct object_role, name))};
const struct object_kind object_token_kind = {
    KEPT("token", token_table, OBJECT_NONE, offsetof(struct object_token, hash)),
    SHOWN("API token", "apiToken", OBJECT_NONE)};
const struct object_kind object_session_kind = {
    KEPT("session", token_table, OBJECT_NONE, offsetof(struct object_token, hash))};
const struct object_kind object_agent_kind = {
    KEPT("agent", agent_table, OBJECT_NONE, offsetof(struct object_agent, signs_in_as)),
    SHOWN("Agent", "agentName", offsetof(struct object_agent, name))};
const struct object_kind object_test_kind = {
    KEPT("test", test_table, offsetof(struct object_test, key), offsetof(struct object_test, type)),
    SHOWN("Test", "testName", offsetof(struct object_test, name))};
const struct object_kind object_run_kind = {KEPT("run", run_table, OBJECT_NONE, OBJECT_NONE)};
const struct object_kind object_audit_kind = {KEPT("audit", audit_table, OBJECT_NONE, OBJECT_NONE)};

static const char *text_at(const void *record, size_t offset)
{
    return offset == OBJECT_NONE ? NULL : *(const char *const *)((const char *)record + offset);
}

int object_decode(const struct object_kind *kind, const struct store_object *object, struct arena *arena,
                  void *ret_record, struct error *err)
{
    memset(ret_record, 0, kind->table->size);
    int rc = field_from_cbor(kind->table, object->body, object->body_size, ret_record, arena, err);
    if (rc)
        return error_set(err, E_CORRUPT, kind->name, "object %llu cannot be read", (unsigned long long)object->id);
    *(struct object_head *)ret_record = (struct object_head){object->id, object->aid, object->version,
                                                             object->modified_s};
    if (kind->upgrade)
        kind->upgrade(ret_record);
    return 0;
}

int object_get(struct store *store, const struct object_kind *kind, uint64_t id, int64_t version, struct arena *arena,
               void *ret_record, struct error *err)
{
    struct store_object object = {0};
    int rc = store_get(store, kind->name, id, version, arena, &object, err);
    return rc ? rc : object_decode(kind, &object, arena, ret_record, err);
}

int object_get_in(struct store *store, const struct object_kind *kind, uint64_t id, uint64_t aid, struct arena *arena,
                  void *ret_record, struct error *err)
{
    struct store_object object = {0};
    int rc = store_get(store, kind->name, id, 0, arena, &object, err);
    if (rc)
        return rc;
    if (object.aid != aid)
        return error_set(err, E_NOT_FOUND, "", "there is no %s %llu in this account group", kind->name,
                         (unsigned long long)id);
    return object_decode(kind, &object, arena, ret_record, err);
}

int object_find(struct store *store, const struct object_kind *kind, uint64_t aid, const char *key, struct arena *arena,
                void *ret_record, struct error *err)
{
    struct store_object object = {0};
    int rc = store_find(store, kind->name, aid, key, arena, &object, err);
    return rc ? rc : object_decode(kind, &object, arena, ret_record, err);
}

int object_put(struct store *store, const struct object_kind *kind, void *record, int64_t now_s, struct error *err)
{
    struct object_head *head = record;
    struct buf body;
    buf_init(&body, LIMIT_REQUEST_BYTES);
    field_to_cbor(kind->table, record, &body);
    if (body.is_overflowed) {
        buf_done(&body);
        return error_set(err, E_LIMIT, kind->name, "the object is too large");
    }
    struct store_object object = {.kind = kind->name,
                                  .id = head->id,
                                  .aid = head->aid,
                                  .key = text_at(record, kind->key),
                                  .lookup = text_at(record, kind->lookup),
                                  .version = head->version,
                                  .modified_s = now_s,
                                  .body = body.data,
                                  .body_size = body.size};
    int rc = store_put(store, &object, err);
    buf_done(&body);
    if (rc == 0)
        *head = (struct object_head){object.id, object.aid, object.version, now_s};
    return rc;
}

struct listing {
    const struct object_kind *kind;
    struct arena *arena;
    char *records;
    size_t count, room;
    struct error *err;
    int rc;
};

static bool take(void *user, const struct store_object *object)
{
    struct listing *list = user;
    size_t size = list->kind->table->size;
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        char *records = arena_alloc_array(list->arena, room, size);
        if (!records) {
            list->rc = error_set(list->err, E_LIMIT, list->kind->name, "too many objects for one answer");
            return false;
        }
        if (list->count)
            memcpy(records, list->records, list->count * size);
        list->records = records;
        list->room = room;
    }
    list->rc = object_decode(list->kind, object, list->arena, list->records + list->count * size, list->err);
    list->count += list->rc == 0;
    return list->rc == 0;
}

int object_list(struct store *store, const struct object_kind *kind, uint64_t aid, const char *lookup,
                struct arena *arena, struct field_list *ret_records, struct error *err)
{
    struct listing list = {.kind = kind, .arena = arena, .err = err};
    int rc = store_list(store, kind->name, aid, lookup, 0, 0, take, &list, err);
    if (rc || list.rc)
        return rc ? rc : list.rc;
    *ret_records = (struct field_list){list.records, list.count};
    return 0;
}

/* --- roles and agents ----------------------------------------------------------------------------------------------- */

void object_role_permissions(const struct object_role *role, struct permission_set *set)
{
    const uint64_t *numbers = role->permissions.items;
    permission_add(set, PERMISSION_SIGNED_IN);
    if (role->head.id <= PERMISSION_ROLES) {
        permission_add_role(set, (enum permission_role)role->head.id);
        return;
    }
    for (size_t i = 0; i < role->permissions.count; i++) {
        enum permission permission = permission_of_number(numbers[i]);
        if (permission != PERMISSION_UNSET)
            permission_add(set, permission);
    }
}

bool object_agent_works_for(const struct object_agent *agent, uint64_t aid)
{
    const uint64_t *others = agent->shared_with.items;
    bool is_found = agent->head.aid == aid;
    for (size_t i = 0; i < agent->shared_with.count; i++)
        is_found = is_found || others[i] == aid;
    return is_found;
}

int object_get_agent(struct store *store, uint64_t id, uint64_t aid, struct arena *arena, struct object_agent *ret_agent,
                     struct error *err)
{
    struct object_agent agent;
    int rc = object_get(store, &object_agent_kind, id, 0, arena, &agent, err);
    if (!rc && (!object_agent_works_for(&agent, aid) || object_agent_is_hidden(&agent)))
        rc = error_set(err, E_NOT_FOUND, "", "there is no agent %llu in this account group", (unsigned long long)id);
    if (!rc)
        *ret_agent = agent;
    return rc;
}

int object_list_agents(struct store *store, uint64_t aid, struct arena *arena, struct field_list *ret_agents,
                       struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(store, &object_agent_kind, 0, NULL, arena, &all, err);
    struct object_agent *agents = (struct object_agent *)(uintptr_t)all.items;
    size_t count = 0;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (object_agent_works_for(&agents[i], aid) && !object_agent_is_hidden(&agents[i]))
            agents[count++] = agents[i];
    }
    if (!rc)
        *ret_agents = (struct field_list){agents, count};
    return rc;
}

int object_list_members(struct store *store, uint64_t cluster_id, struct arena *arena, struct field_list *ret_agents,
                        struct error *err)
{
    struct field_list all = {0};
    int rc = object_list(store, &object_agent_kind, 0, NULL, arena, &all, err);
    struct object_agent *agents = (struct object_agent *)(uintptr_t)all.items;
    size_t count = 0;
    for (size_t i = 0; !rc && i < all.count; i++) {
        if (agents[i].cluster_id == cluster_id)
            agents[count++] = agents[i];
    }
    if (!rc)
        *ret_agents = (struct field_list){agents, count};
    return rc;
}

/* --- for people ------------------------------------------------------------------------------------------------------ */

const char *object_label(const struct object_kind *kind, const void *record)
{
    const char *label = kind->title ? text_at(record, kind->label) : NULL;
    return label ? label : "";
}

json_t *object_to_json(const struct object_kind *kind, const void *record, struct arena *arena)
{
    json_t *json = field_to_json(kind->table, record, NULL);
    const struct measure_type *type;
    void *settings;
    if (kind == &object_test_kind && object_test_settings(record, arena, &type, &settings, NULL) == 0)
        (void)json_object_set_new(json, "settings", field_to_json(type->settings, settings, NULL));
    return json;
}

int object_test_settings(const struct object_test *test, struct arena *arena, const struct measure_type **ret_type,
                         void **ret_settings, struct error *err)
{
    const struct measure_type *type = measure_type_find(test->type);
    if (!type)
        return error_set(err, E_NOT_SUPPORTED, "type", "this build does not know test type %s", test->type);
    void *settings = arena_alloc(arena, type->settings->size);
    if (!settings)
        return error_set(err, E_LIMIT, "settings", "too large");
    int rc = field_from_cbor(type->settings, test->settings.data, test->settings.size, settings, arena, err);
    if (rc)
        return rc;
    if (type->normalise)
        type->normalise(settings, arena);
    *ret_type = type;
    *ret_settings = settings;
    return 0;
}

void object_test_set_settings(struct object_test *test, const struct measure_type *type, const void *settings,
                              struct arena *arena)
{
    struct buf body;
    buf_init(&body, LIMIT_REQUEST_BYTES);
    field_to_cbor(type->settings, settings, &body);
    void *copy = arena_alloc(arena, body.size + 1);
    assert(copy && !body.is_overflowed); /* a request body is far smaller than the arena */
    memcpy(copy, body.data, body.size);
    test->type = type->name;
    test->settings = (struct field_bytes){copy, body.size};
    buf_done(&body);
}

const char *object_test_target(const struct measure_type *type, const void *settings)
{
    const struct field *field = field_find(type->settings, type->target_name);
    if (!field || field->kind != FIELD_KIND_STR)
        return "";
    const char *text = *(const char *const *)((const char *)settings + field->offset);
    return text ? text : "";
}
