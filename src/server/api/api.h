/*
 * The resources: each file is one, with its table of routes. This header is what they share.
 */
#ifndef OCULI_SERVER_API_H
#define OCULI_SERVER_API_H

#include <jansson.h>

#include "server/request.h"
#include "server/server.h"

extern const struct route *const api_tables[]; /* for route_set_init */

extern const struct route api_health_routes[], api_document_routes[], api_session_routes[], api_second_factor_routes[], api_sso_routes[],
    api_user_routes[], api_role_routes[],
    api_account_group_routes[], api_token_routes[], api_audit_routes[],
    api_agent_routes[], api_agent_test_routes[], api_agent_proxy_routes[], api_agent_cluster_routes[], api_agent_token_routes[], api_agent_rule_routes[],
    api_local_problem_routes[], api_test_routes[], api_result_routes[], api_link_routes[], api_ui_routes[],
    api_view_routes[],
    api_tag_routes[], api_credential_routes[], api_emulation_routes[], api_monitor_routes[],
    api_interface_group_routes[], api_snapshot_routes[], api_usage_routes[],
    api_test_history_routes[];

#define API_CREDENTIAL_PURPOSE "credential" /* of seal_text */
#define API_PROXY_PURPOSE "agent-proxy"

/* A proxy of the account group's list, for tests of agents (api/agent_proxies.c). */
struct api_proxy {
    struct object_head head;
    const char *name, *location, *user;
    const char *password; /* stored: sealed for API_PROXY_PURPOSE */
    int type, auth;       /* of the words below; auth -1: none */
    struct field_list bypass;
    bool is_local;
    int64_t modified_s;
};
extern const struct object_kind api_proxy_kind, api_join_token_kind, api_agent_rule_kind, api_agent_notice_kind;
extern const char *const api_proxy_type_words[], *const api_proxy_auth_words[];

/* All kinds of objects that are kept, ended by NULL: what goes with an account group, what is sealed. */
extern const struct object_kind *const api_kinds[];
extern const struct object_kind api_tag_kind, api_credential_kind, api_device_kind,
    api_interface_group_kind, api_quota_kind;

int api_start(struct server *server, struct error *err);
void api_stop(struct server *server);
void api_drop_sessions(struct server *server); /* removes expired ones */
void api_drop_snapshots(struct server *server, int64_t now_s); /* removes those that expired */
void api_drop_instant_tests(struct server *server, int64_t now_s); /* removes those whose results are past retention */
void api_drop_local_problems(struct server *server, int64_t now_s); /* those past the retention of rounds */
void api_drop_audit(struct server *server, int64_t now_s); /* entries past their retention */

/* --- agents --------------------------------------------------------------------------------------------------------- */

struct message_report;

struct api_coordinates {
    double latitude, longitude;
};

struct api_named_group {
    uint64_t aid;
    const char *name;
};

/* A token with which agents join, beside the account group's own (api/agent_tokens.c). */
struct api_join_token {
    struct object_head head; /* key: the name, lookup: the hash */
    const char *name, *hash, *created_by;
    int64_t created_s, used_s;
};
/* -E_AUTH: there is none. */
int api_find_join_token(struct request *request, const char *token, struct api_join_token *ret_token, struct error *err);

/* The rule that every account group begins with; part of the caller's transaction. */
int api_make_default_rule(struct store *store, uint64_t aid, int64_t now_s, struct error *err);
void api_check_agent_rules(struct server *server); /* some agents at a time: once a second */

/* How v7 shows an agent: alone, in lists, and inside a test. */
struct api_agent {
    uint64_t id;
    const char *name, *location, *country, *hostname, *network, *prefix, *target_for_tests;
    struct api_coordinates *coordinates;
    struct field_list ip_addresses, public_ip_addresses, local_resolution_prefixes;
    bool enabled, verify_ssl, keep_browser_cache;
    int type, state, ipv6_policy;
    int64_t last_seen_s, created_s;
    struct field_list account_groups; /* struct api_named_group */
    struct field_list test_ids;       /* int64_t; under expand=test-ids */
    struct field_list error_details, cluster_members;
    int32_t utilization; /* FIELD_NO_I32: not known */
    struct field_list interfaces;
    struct api_agent_extra {
        const char *version;
        double clock_offset_ms; /* NaN = not known */
        const char *support;    /* of its version: reports_support_words */
        struct field_list problems; /* those of errorDetails and others, for which v7 has no code */
        uint64_t proxy_id;
        const struct message_report *report; /* the last, while it is fresh; or NULL */
    } extra;
};

extern const struct field_table api_agent_table;        /* EnterpriseAgent */
extern const struct field_table api_simple_agent_table; /* as tests list them */
extern const struct field_table api_group_table;

/* Fills ret_agent from a stored agent; lists and strings are shared with it or live in the request's arena. */
void api_agent_fill(struct request *request, const struct object_agent *agent, struct api_agent *ret_agent);

/* --- tests ---------------------------------------------------------------------------------------------------------- */

/* The whole v7 object of a test; under expand also what it refers to. NULL with err when it cannot be read. */
json_t *api_test_json(struct request *request, const struct object_test *test, struct error *err);
extern const struct field_table api_test_table;

/* Tests in which the agent takes part, in its account group. */
int api_tests_of_agent(struct request *request, uint64_t agent_id, struct field_list *ret_tests, struct error *err);

/* --- tags ----------------------------------------------------------------------------------------------------------- */

enum api_tagged { API_TAGGED_TEST, API_TAGGED_AGENT };

struct api_tag {
    const char *uuid, *key, *value;
    uint64_t number; /* as a label */
};

/* The tags on an object: struct api_tag. */
int api_tags_of(struct request *request, enum api_tagged what, uint64_t id, struct field_list *ret_tags,
                struct error *err);
/* Makes these (const char * UUIDs) the object's tags and no others; none when it goes. Within the caller's transaction.
 * -E_INVALID: there is no such tag. */
int api_tags_set(struct request *request, enum api_tagged what, uint64_t id, const struct field_list *uuids,
                 struct error *err);
/* The tag with that number, as labels are known by. -E_INVALID. */
int api_tags_number(struct request *request, const char *number, const char **ret_uuid, struct error *err);

/* --- units --------------------------------------------------------------------------------------------------------- */

/* -E_PERMISSION when the test, as it would be, takes its account group or the organization over the quota and the user
 * may not do that. before: the test as it is, NULL for a new one. */
int api_check_quota(struct request *request, const struct object_test *before, const struct object_test *test,
                    struct error *err);

/* --- news for plans, event streams and caches ------------------------------------------------------------------------ */

void api_test_gone(struct server *server, uint64_t aid, uint64_t test_id); /* deleted, with its results */
void api_test_changed(struct server *server, uint64_t aid, uint64_t test_id);
void api_run_changed(struct server *server, uint64_t run_id);
void api_agent_changed(struct server *server, uint64_t aid, uint64_t agent_id);
void api_stream_told(struct server *server); /* after telling the hub something */


#endif
