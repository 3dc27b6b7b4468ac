/*
 * The objects a server keeps: account groups, users, tokens, sessions, agents, tests, runs asked for once. Each is a
 * record with a field table, kept by the store as CBOR of that table. The same tables, or narrower ones over the same
 * structs, describe what the API takes and answers.
 *
 * Every record begins with struct object_head. Records read from the store live in the arena given.
 */
#ifndef OCULI_SERVER_OBJECT_H
#define OCULI_SERVER_OBJECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "measure/type.h"
#include "server/permission.h"
#include "store/store.h"
#include "wire/field.h"

struct object_head {
    uint64_t id, aid; /* the store's; 0 before creation, and aid 0 for what belongs to no account group */
    int64_t version;
    int64_t modified_s;
};

struct object_account_group {
    struct object_head head; /* aid 0; its id is the aid of everything in it */
    const char *name, *organization;
    const char *agent_token; /* what an agent shows to register */
    int64_t created_s;
};

/* A set of permissions with a name. Those that come with the product have the ids of enum permission_role, and their
 * permissions are the product's whatever is stored. */
struct object_role {
    struct object_head head; /* aid 0; key: the name */
    const char *name;
    struct field_list permissions; /* uint64_t: permission_number */
};

#define OBJECT_ALL_GROUPS 0u
struct object_user_role {
    uint64_t aid; /* or OBJECT_ALL_GROUPS */
    uint64_t role_id;
    int old_role; /* what versions before custom roles stored instead; only read */
};

struct object_user {
    struct object_head head; /* aid 0; key: login */
    const char *email, *name;
    const char *login; /* the e-mail address in small letters: what people sign in with */
    const char *password_hash;
    bool must_change_password;
    uint64_t login_aid;
    int64_t created_s, last_login_s;
    struct field_list roles; /* struct object_user_role */
    const char *totp_key;             /* of the second factor, sealed; NULL = none */
    const char *totp_next_key;        /* one being enrolled, sealed */
    int64_t totp_step;                /* of the last code taken: none is taken twice */
    int32_t totp_failures;            /* wrong codes since the last right one */
    int64_t totp_wait_s;              /* no code is looked at before */
    struct field_list recovery_codes; /* hashes of those that still work */
    const char *oidc;                 /* "ISSUER SUBJECT" that signs in as this user */
};

/* A bearer token or a browser session: only a hash of the secret is kept, as the lookup. */
struct object_token {
    struct object_head head;
    const char *hash;
    uint64_t uid;
    int64_t created_s, expires_s;
    int64_t seen_s;   /* sessions: when a person last used it, at most a minute ago */
    bool is_local;    /* made at each start for programs of the same machine; in the file api-token */
    bool is_replaced; /* a newer token was made; this one works until it expires */
};

struct object_agent {
    struct object_head head;
    const char *name, *hostname, *software;
    const char *location, *country;
    double latitude, longitude;
    struct field_list ip_addresses, public_ip_addresses; /* strings */
    const char *network, *prefix;
    bool enabled, keep_browser_cache, verify_ssl;
    int ipv6_policy;
    const char *target_for_tests;
    struct field_list local_resolution_prefixes;
    const char *secret_hash;       /* NULL: no machine of its own (a cluster whose first member left) */
    const char *signs_in_as;       /* the lookup: the id its machine was given first, when that is another; else NULL */
    bool is_cluster;               /* runs its tests through its members */
    uint64_t cluster_id;           /* of the cluster it is a member of (its first member: its own id); 0 = none */
    uint64_t proxy_id;             /* of the account group's list, for its tests; 0 = the one it was configured with */
    struct field_list shared_with; /* uint64_t: other account groups it also works for */
    int64_t created_s, last_seen_s;
    int64_t clock_offset_us;
};

struct object_test_agent {
    uint64_t agent_id;
    const char *source_ip;
};

struct object_test {
    struct object_head head; /* key: the name, unique in the account group; none for instant tests */
    const char *key;         /* name, or NULL for instant tests */
    const char *type;        /* of measure_types; the lookup */
    const char *name, *description;
    int32_t interval_s;      /* 0 for instant tests */
    bool enabled, alerts_enabled, is_instant;
    bool live_share;  /* not kept: another account group shares it with the one that asked (shares.h) */
    bool saved_event; /* it holds copied results and runs no more */
    struct field_list agents; /* struct object_test_agent */
    struct field_list shared_with; /* strings: account groups that see it too */
    struct field_list alert_rules; /* strings: kept and answered, without effect so far */
    struct field_list labels, tags; /* strings: only in requests; tags keep what they are put on */
    const char *created_by, *modified_by;
    int64_t created_s, changed_s;
    struct field_bytes settings; /* CBOR of the type's settings table */
};

/* A run asked for once: an instant test or "run now". */
struct object_run {
    struct object_head head; /* aid of its test */
    uint64_t test_id;
    int64_t test_version;
    int64_t asked_s;
    struct field_list agents; /* uint64_t: agents that have not reported yet */
};

/* One entry of the audit log; never changed. Its time is head.modified_s. */
struct object_audit {
    struct object_head head; /* aid: where it happened */
    const char *event;       /* "Test updated" */
    uint64_t uid;            /* 0: nobody was signed in, or an agent did it */
    const char *user;        /* "Name (e-mail)", "Agent name", "" */
    const char *ip;
    const char *resource_type, *resource_name; /* "testName" and the test's */
    const char *kind;                          /* of the object; NULL when none changed */
    uint64_t object_id;
    int64_t object_version;     /* that came to be */
    const char *before, *after; /* JSON of what differs, without secrets; NULL = there was, there is none */
};

/* How a kind of object is kept. Offsets point at const char * members; OBJECT_NONE = it has none. */
#define OBJECT_NONE ((size_t)-1)
struct object_kind {
    const char *name;
    const struct field_table *table;
    size_t key, lookup;
    void (*upgrade)(void *record); /* brings what an older version stored into today's form; NULL = nothing to do */
    const char *title;    /* "Test": begins its events in the audit log; NULL = changes are not recorded there */
    const char *resource; /* "testName": what v7 calls the resource there */
    size_t label;         /* its name for people */
};

extern const struct object_kind object_account_group_kind, object_user_kind, object_token_kind, object_session_kind,
    object_agent_kind, object_test_kind, object_run_kind, object_role_kind, object_audit_kind;

extern const char *const object_ipv6_policies[];
extern const struct field_table object_test_agent_table;

/* version 0 = the current one. -E_NOT_FOUND. */
int object_get(struct store *store, const struct object_kind *kind, uint64_t id, int64_t version, struct arena *arena,
               void *ret_record, struct error *err);
/* Like object_get, and -E_NOT_FOUND too when it belongs to another account group. */
int object_get_in(struct store *store, const struct object_kind *kind, uint64_t id, uint64_t aid, struct arena *arena,
                  void *ret_record, struct error *err);
int object_find(struct store *store, const struct object_kind *kind, uint64_t aid, const char *key, struct arena *arena,
                void *ret_record, struct error *err);
/* Creates (head.id 0) or replaces; sets head.id, head.version and head.modified_s. Errors of store_put. */
int object_put(struct store *store, const struct object_kind *kind, void *record, int64_t now_s, struct error *err);

/* What store_list and its like hand out, read. */
int object_decode(const struct object_kind *kind, const struct store_object *object, struct arena *arena,
                  void *ret_record, struct error *err);

/* All of the kind in id order: an array of records in arena. aid 0 = every account group, lookup NULL = any. */
int object_list(struct store *store, const struct object_kind *kind, uint64_t aid, const char *lookup,
                struct arena *arena, struct field_list *ret_records, struct error *err);

/* Adds the permissions of a role to a set. */
void object_role_permissions(const struct object_role *role, struct permission_set *set);

/* A member of a cluster that is not the cluster itself: its machine works on, but it is no agent people see. */
static inline bool object_agent_is_hidden(const struct object_agent *agent)
{
    return agent->cluster_id && agent->cluster_id != agent->head.id;
}
/* Whose its results and settings are: the cluster it is a member of, else itself. */
static inline uint64_t object_agent_shown_id(const struct object_agent *agent)
{
    return agent->cluster_id ? agent->cluster_id : agent->head.id;
}

bool object_agent_works_for(const struct object_agent *agent, uint64_t aid);
/* Like object_get_in and object_list for agents: its own account group's and those shared with it, without members. */
int object_get_agent(struct store *store, uint64_t id, uint64_t aid, struct arena *arena, struct object_agent *ret_agent,
                     struct error *err);
int object_list_agents(struct store *store, uint64_t aid, struct arena *arena, struct field_list *ret_agents,
                       struct error *err);
/* The members of a cluster, its first one too while that is there. */
int object_list_members(struct store *store, uint64_t cluster_id, struct arena *arena, struct field_list *ret_agents,
                        struct error *err);

/* What people may read of an object: no secrets; a test's settings in place. The reference is the caller's. */
json_t *object_to_json(const struct object_kind *kind, const void *record, struct arena *arena);
const char *object_label(const struct object_kind *kind, const void *record); /* "" when it has none */

/* The settings of a test, read into a new record of its type in arena. */
int object_test_settings(const struct object_test *test, struct arena *arena, const struct measure_type **ret_type,
                         void **ret_settings, struct error *err);
void object_test_set_settings(struct object_test *test, const struct measure_type *type, const void *settings,
                              struct arena *arena);

/* The value of the settings field that names the target ("server"); "" when there is none. */
const char *object_test_target(const struct measure_type *type, const void *settings);

#endif
