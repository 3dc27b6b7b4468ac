#include "server/permission.h"

#include <assert.h>

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
