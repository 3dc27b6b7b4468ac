/*
 * What the resources about agents share.
 */
#ifndef OCULI_SERVER_API_AGENTS_H
#define OCULI_SERVER_API_AGENTS_H

#include "server/api/api.h"

/* The agent of the path; the second only when its account group is the one worked in. -E_NOT_FOUND, -E_PERMISSION. */
int agents_find(struct request *request, struct object_agent *ret_agent, struct error *err);
int agents_find_own(struct request *request, struct object_agent *ret_agent, struct error *err);
/* The agent as lists show it; and answered in full. */
int agents_json(struct request *request, const struct object_agent *stored, json_t **ret_json, struct error *err);
int agents_answer(struct request *request, const struct object_agent *agent, struct error *err);

/* --- its tests (agent_tests.c) --------------------------------------------------------------------------------------- */

/* Those that change tests are part of the caller's transaction; changed (struct object_head) is told after the commit. */
bool agents_is_on(const struct object_test *test, uint64_t agent_id);
int agents_set_member(struct request *request, struct object_test *test, uint64_t agent_id, bool is_member,
                      struct error *err);
int agents_add_changed(struct request *request, struct field_list *changed, const struct object_test *test,
                       struct error *err);
/* Takes the agent out of every test of an account group; aid 0 = of all. */
int agents_leave_tests(struct request *request, uint64_t agent_id, uint64_t aid, struct field_list *changed,
                       struct error *err);
/* Makes the agent a member of exactly those tests of the account group worked in. */
int agents_set_tests(struct request *request, uint64_t agent_id, const struct field_list *ids,
                     struct field_list *ret_changed, struct error *err);
void agents_tell(struct request *request, const struct object_agent *agent, const struct field_list *changed);

/* --- how it is (agent_health.c) -------------------------------------------------------------------------------------- */

enum agents_state { AGENTS_ONLINE, AGENTS_OFFLINE, AGENTS_DISABLED };
extern const char *const agents_state_words[];
extern const struct field_table agents_detail_table, agents_member_table, agents_interface_table, agents_extra_table;

/* State, last word, clock, use, problems and members. */
void agents_fill_health(struct request *request, const struct object_agent *agent, struct api_agent *ret_agent);
bool agents_is_here(struct request *request, const struct object_agent *agent);

/* --- clusters, proxies ----------------------------------------------------------------------------------------------- */

/* Deletes the members of a cluster that is being deleted; ret_members (struct object_agent) are told after the commit. */
int agents_delete_members(struct request *request, const struct object_agent *cluster, struct field_list *ret_members,
                          struct error *err);
void agents_tell_gone(struct request *request, const struct field_list *members);

/* notificationRules of an answer. */
int agents_add_rules(struct request *request, const struct object_agent *agent, json_t *json, struct error *err);

/* -E_INVALID: there is no such proxy in the account group. 0 is none and fine. */
int agents_check_proxy(struct request *request, uint64_t proxy_id, struct error *err);

#endif
