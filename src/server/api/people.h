/*
 * What the resources about people share: users, roles, account groups, sessions.
 */
#ifndef OCULI_SERVER_API_PEOPLE_H
#define OCULI_SERVER_API_PEOPLE_H

#include "server/api/api.h"

/* A role as v7 lists it. */
struct people_role {
    const char *name;
    uint64_t id;
    bool is_builtin, has_management;
};
extern const struct field_table people_role_table;

/* A user's roles in one account group. */
struct people_group_role {
    struct api_named_group group;
    struct field_list roles; /* struct people_role */
};
extern const struct field_table people_group_role_table;

struct people_role people_role_of(const struct object_role *role);
int people_find_group(struct request *request, uint64_t aid, struct api_named_group *ret_group, struct error *err);

/* Whether any role of the user reaches the account group. */
bool people_reaches(const struct object_user *user, uint64_t aid);
/* Whether who asks sees everything of the account group's users, or of all account groups'. */
bool people_sees_all(const struct request *request);
bool people_sees_user(const struct request *request, const struct object_user *user);

/* The user's roles that name exactly that account group (or OBJECT_ALL_GROUPS): struct people_role. */
int people_roles_in(struct request *request, const struct object_user *user, uint64_t aid, struct field_list *ret_roles,
                    struct error *err);
/* One entry for each account group that some role names and who asks may see: struct people_group_role. */
int people_group_roles(struct request *request, const struct object_user *user, struct field_list *ret_groups,
                       struct error *err);

/* What who asks may do in an account group: his permissions there, and those that reach all account groups. */
int people_may_in(struct request *request, uint64_t aid, struct permission_set *ret_set, struct error *err);
/* Whether who asks may give or take these permissions. None can give what he has not, and those to manage people and
 * accounts with need one more. -E_PERMISSION. */
int people_check_grant(const struct permission_set *may, const struct permission_set *given, const char *where,
                       struct error *err);
/* Whether who asks may act for another: change what he signs in with, or remove him. -E_PERMISSION when the other can
 * do anything that he cannot. */
int people_check_above(struct request *request, const struct object_user *user, struct error *err);

/* Somebody must be left who can manage everything. -E_CONFLICT; call it after the change, in its transaction. */
int people_check_admins(struct request *request, struct error *err);

/* Ends the sessions of a user, but for one (0 = none is spared). */
int people_end_sessions(struct request *request, uint64_t uid, uint64_t except_id, struct error *err);

/* --- signing in (session.c) --------------------------------------------------------------------------------------------- */

/* One more try from this address and for this name; false when there were too many within the minute. */
bool people_may_try(struct request *request, const char *email);
/* Whether the user's roles let him in this way. -E_PERMISSION. */
int people_check_way_in(struct request *request, const struct object_user *user, enum permission permission,
                        struct error *err);
/* Makes a session for a user who has shown who he is, sets its cookie and tells the audit log. */
int people_begin_session(struct request *request, struct object_user *user, const char *event, struct error *err);

#endif
