#include "server/permission.h"

#include <assert.h>
#include <stddef.h>

#define ORG 1u
#define ADMINS 3u
#define REGULAR 4u
#define ORG_REGULAR 5u
#define ALL 7u

#define INFO(name_, label_, roles_, is_management_)                                                                    \
    [PERMISSION_##name_] = {                                                                                           \
        .name = #name_, .label = (label_), .roles = (roles_), .is_management = (is_management_)},
const struct permission_info permission_infos[PERMISSION_COUNT] = {
    [PERMISSION_UNSET] = {.name = "", .label = ""},
    [PERMISSION_PUBLIC] = {.name = "", .label = ""},
    [PERMISSION_AGENT] = {.name = "", .label = ""},
    [PERMISSION_SIGNED_IN] = {.name = "", .label = "", .roles = ALL},
    PERMISSION_LIST(INFO)};

const char *const permission_role_names[] = {"", "Organization Admin", "Account Admin", "Regular User"};

enum permission permission_of_number(uint64_t number)
{
    return number >= 1 && number <= PERMISSION_COUNT - PERMISSION_FIRST
               ? (enum permission)(number + PERMISSION_FIRST - 1)
               : PERMISSION_UNSET;
}

void permission_add(struct permission_set *set, enum permission permission)
{
    assert(permission > PERMISSION_UNSET && permission < PERMISSION_COUNT);
    set->bits[permission / 64] |= 1ull << (permission % 64);
}

void permission_add_role(struct permission_set *set, enum permission_role role)
{
    for (unsigned i = PERMISSION_SIGNED_IN; i < PERMISSION_COUNT; i++) {
        if (permission_infos[i].roles >> (role - 1) & 1u)
            permission_add(set, (enum permission)i);
    }
}

bool permission_has(const struct permission_set *set, enum permission permission)
{
    return permission > PERMISSION_UNSET && permission < PERMISSION_COUNT &&
           (set->bits[permission / 64] >> (permission % 64) & 1u) != 0;
}

bool permission_has_management(const struct permission_set *set)
{
    for (unsigned i = PERMISSION_FIRST; i < PERMISSION_COUNT; i++) {
        if (permission_infos[i].is_management && permission_has(set, (enum permission)i))
            return true;
    }
    return false;
}

/* Administrators have the right column only, and yet may do what the left one says. */
static const enum permission wider[][2] = {
    {PERMISSION_EDIT_OWN_DASHBOARD_TEMPLATES, PERMISSION_EDIT_DASHBOARD_TEMPLATES_OF_ALL},
    {PERMISSION_EDIT_OWN_LIVE_SHARES, PERMISSION_EDIT_LIVE_SHARES_SENT_BY_ALL},
    {PERMISSION_EDIT_OWN_REPORT_SNAPSHOTS, PERMISSION_EDIT_REPORTS_OF_ALL},
    {PERMISSION_EDIT_OWN_REPORTS, PERMISSION_EDIT_REPORTS_OF_ALL},
    {PERMISSION_EDIT_OWN_SAVED_EVENTS, PERMISSION_EDIT_OWN_SAVED_EVENTS_OF_ALL},
    {PERMISSION_EDIT_OWN_SNAPSHOTS, PERMISSION_EDIT_SNAPSHOTS_OF_ALL},
    {PERMISSION_EDIT_OWN_SNAPSHOTS, PERMISSION_EDIT_SNAPSHOTS_SHARED_BY_ALL},
    {PERMISSION_EMBED_OWN_WIDGETS, PERMISSION_EMBED_WIDGETS_OF_ALL},
    {PERMISSION_VIEW_OWN_ACTIVITY_LOG, PERMISSION_VIEW_ACTIVITY_IN_ACCOUNT_GROUP},
    {PERMISSION_VIEW_OWN_LIVE_SHARES, PERMISSION_VIEW_LIVE_SHARINGS_FROM_ALL},
    {PERMISSION_VIEW_OWN_SNAPSHOTS, PERMISSION_VIEW_SNAPSHOTS_SHARED_BY_ALL},
};

bool permission_covers(const struct permission_set *set, enum permission permission)
{
    bool is_covered = permission_has(set, permission);
    for (size_t i = 0; i < sizeof wider / sizeof wider[0]; i++)
        is_covered = is_covered || (wider[i][0] == permission && permission_has(set, wider[i][1]));
    return is_covered;
}

bool permission_covers_all(const struct permission_set *set, const struct permission_set *others)
{
    for (unsigned i = PERMISSION_SIGNED_IN; i < PERMISSION_COUNT; i++) {
        if (permission_has(others, (enum permission)i) && !permission_covers(set, (enum permission)i))
            return false;
    }
    return true;
}
