/*
 * What a user may do. The permissions are those of API v7, with its labels; a role is a set of them, and a user's
 * permissions in an account group are the union of the roles there. Three roles come with the product, whose
 * permissions are the columns of the list below; others are made by administrators.
 */
#ifndef OCULI_SERVER_PERMISSION_H
#define OCULI_SERVER_PERMISSION_H

#include <stdbool.h>
#include <stdint.h>

/* The roles that come with the product. Their ids in the store are these. */
enum permission_role { PERMISSION_ORGANIZATION_ADMIN = 1, PERMISSION_ACCOUNT_ADMIN = 2, PERMISSION_REGULAR_USER = 3 };
#define PERMISSION_ROLES 3

/* X(name, label, roles that have it, is it one to manage people and accounts with?). API v7 numbers permissions by
 * their place here, from 1: a new one goes to the end, none is ever removed. */
#define PERMISSION_LIST(X)                                                                                             \
    X(ACCEPT_INBOUND_LIVE_SHARES, "Accept inbound live shares", ADMINS, false)                                         \
    X(API_ACCESS, "API access", ALL, false)                                                                            \
    X(ASSIGN_AGENT_TO_ACCOUNT_GROUP, "Assign agent to account group", ORG, true)                                       \
    X(ASSIGN_EMAIL_ADDRESS_OF_USERS_TO_ALERTS, "Assign email address of users to alerts", ADMINS, false)               \
    X(ASSIGN_MANAGEMENT_PERMISSIONS, "Assign management permissions", ORG, true)                                       \
    X(VIEW_OWN_SAVED_EVENTS, "Be able to view my own saved events", ALL, false)                                        \
    X(EXCEED_QUOTA, "Can add or modify tests to consume over 100% resources", ADMINS, false)                           \
    X(CREATE_LIVE_SHARES_INSIDE, "Create live shares for inside the organization", ADMINS, false)                      \
    X(CREATE_LIVE_SHARES_OUTSIDE, "Create live shares for outside the organization", ADMINS, false)                    \
    X(CREATE_SAVED_EVENTS, "Create saved events", ALL, false)                                                          \
    X(CREATE_SNAPSHOT_SHARES, "Create snapshot shares", ALL, false)                                                    \
    X(CREATE_WEB_TRANSACTION_TESTS, "Create web transaction tests", ADMINS, false)                                     \
    X(DELETE_ACCOUNT, "Delete account", ORG, true)                                                                     \
    X(DOWNLOAD_ENDPOINT_AGENTS, "Download Endpoint Agents", ADMINS, false)                                             \
    X(EDIT_AGENT_NOTIFICATIONS, "Edit agent notifications", ADMINS, false)                                             \
    X(EDIT_AGENTS, "Edit agents in account group", ADMINS, false)                                                      \
    X(EDIT_ALERT_RULES, "Edit alert rules", ADMINS, false)                                                             \
    X(EDIT_ALERT_SUPPRESSION_WINDOWS, "Edit alert suppression windows", ADMINS, false)                                 \
    X(EDIT_ACCOUNT_GROUPS, "Edit all account groups", ORG, true)                                                       \
    X(EDIT_BGP_MONITORS, "Edit BGP monitors", ADMINS, false)                                                           \
    X(EDIT_DASHBOARD_TEMPLATES_OF_ALL, "Edit dashboard templates for all users in account group", ADMINS, false)       \
    X(EDIT_DEFAULT_TIMEZONE_SETTINGS, "Edit default timezone settings", ORG, true)                                     \
    X(EDIT_DEVICE_NOTIFICATIONS, "Edit device notifications", ADMINS, false)                                           \
    X(EDIT_ENDPOINT_AGENT_MONITORED_DOMAIN_SETS, "Edit endpoint agent monitored domain sets", ADMINS, false)           \
    X(EDIT_ENDPOINT_AGENT_MONITORED_NETWORKS, "Edit endpoint agent monitored networks", ADMINS, false)                 \
    X(EDIT_ENDPOINT_AGENT_SETTINGS, "Edit endpoint agent settings", ADMINS, false)                                     \
    X(EDIT_ENDPOINT_TESTS, "Edit endpoint tests", ADMINS, false)                                                       \
    X(EDIT_INTERNET_INSIGHTS_CATALOG_SETTINGS, "Edit Internet Insights - Catalog settings", ADMINS, false)             \
    X(EDIT_LABELS, "Edit labels", ADMINS, false)                                                                       \
    X(EDIT_LIVE_SHARES_SENT_BY_ALL, "Edit live shares sent by all users in account group", ADMINS, false)              \
    X(EDIT_VENDOR_LIVE_SHARES, "Edit live shares shared by ThousandEyes", ADMINS, false)                               \
    X(EDIT_MY_DOMAINS, "Edit my domains", ADMINS, false)                                                               \
    X(EDIT_QUOTAS, "Edit organization and account group quotas", ORG, true)                                            \
    X(EDIT_OWN_DASHBOARD_TEMPLATES, "Edit own dashboard templates", REGULAR, false)                                    \
    X(EDIT_OWN_LIVE_SHARES, "Edit own live shares", REGULAR, false)                                                    \
    X(EDIT_OWN_REPORT_SNAPSHOTS, "Edit own report snapshots", REGULAR, false)                                          \
    X(EDIT_OWN_REPORTS, "Edit own reports", REGULAR, false)                                                            \
    X(EDIT_OWN_SAVED_EVENTS, "Edit own saved events", ORG_REGULAR, false)                                              \
    X(EDIT_OWN_SAVED_EVENTS_OF_ALL, "Edit own saved events for all users in account group", ADMINS, false)             \
    X(EDIT_OWN_SNAPSHOTS, "Edit own snapshots", REGULAR, false)                                                        \
    X(EDIT_INTERFACE_GROUPS, "Edit Path Visualization interface groups", ADMINS, false)                                \
    X(EDIT_PAYMENT_AND_CONTACT_DETAILS, "Edit payment and contact details", ORG, true)                                 \
    X(EDIT_REPORTS_OF_ALL, "Edit reports for all users in account group", ADMINS, false)                               \
    X(EDIT_ROLES, "Edit roles", ORG, true)                                                                             \
    X(EDIT_SECURITY, "Edit security & authentication settings", ORG, true)                                             \
    X(EDIT_SNAPSHOTS_OF_ALL, "Edit snapshots for all users in account group", ORG, true)                               \
    X(EDIT_SNAPSHOTS_SHARED_BY_ALL, "Edit snapshots shared by all users in account group", ADMINS, false)              \
    X(EDIT_TESTS, "Edit tests", ADMINS, false)                                                                         \
    X(EDIT_USER_EMAIL_ADDRESSES, "Edit user email addresses", ADMINS, true)                                            \
    X(EDIT_USERS, "Edit users", ADMINS, true)                                                                          \
    X(EDIT_USERS_IN_ALL_ACCOUNT_GROUPS, "Edit users in all account groups", ORG, true)                                 \
    X(EMBED_OWN_WIDGETS, "Embed own widgets", REGULAR, false)                                                          \
    X(EMBED_WIDGETS_OF_ALL, "Embed widgets for all users in account group", ADMINS, false)                             \
    X(INTERNET_INSIGHTS_CATALOG_SETTINGS, "Internet Insights - Catalog settings", ALL, false)                          \
    X(KEEP_SESSION_ALIVE_ON_AUTO_UPDATE, "Keep session alive on auto-update", ALL, false)                              \
    X(LOGIN_VIA_SINGLE_SIGN_ON, "Login via Single Sign-On", ALL, false)                                                \
    X(LOGIN_VIA_PASSWORD, "Login via ThousandEyes login page", ALL, false)                                             \
    X(SET_DASHBOARD_TEMPLATE_AS_DEFAULT, "Set dashboard template as account group default", ADMINS, false)             \
    X(SET_REPORT_TEMPLATE_AS_DEFAULT, "Set report template as account group default", ADMINS, false)                   \
    X(VIEW_ACTIVITY_IN_ACCOUNT_GROUP, "View activity log for all users in account group", ADMINS, false)               \
    X(VIEW_AGENT_NOTIFICATIONS, "View agent notifications", ADMINS, false)                                             \
    X(VIEW_AGENTS, "View agents in account group", ALL, false)                                                         \
    X(VIEW_ALERT_RULES, "View alert rules", ALL, false)                                                                \
    X(VIEW_ALERT_SUPPRESSION_WINDOWS, "View alert suppression windows", ALL, false)                                    \
    X(VIEW_ACCOUNT_GROUPS, "View all account groups settings", ORG, true)                                              \
    X(VIEW_ALL_USERS, "View all users", ADMINS, true)                                                                  \
    X(VIEW_BGP_MONITORS, "View BGP monitors", ALL, false)                                                              \
    X(VIEW_BILLING, "View billing", ORG, true)                                                                         \
    X(VIEW_DEVICE_NOTIFICATIONS, "View device notifications", ALL, false)                                              \
    X(VIEW_ENDPOINT_AGENT_DATA, "View endpoint agent data", ALL, false)                                                \
    X(VIEW_ENDPOINT_AGENT_MONITORED_DOMAIN_SETS, "View endpoint agent monitored domain sets", ALL, false)              \
    X(VIEW_ENDPOINT_AGENT_MONITORED_NETWORKS, "View endpoint agent monitored networks", ALL, false)                    \
    X(VIEW_ENDPOINT_AGENT_SETTINGS, "View endpoint agent settings", ALL, false)                                        \
    X(VIEW_ENDPOINT_DATA_THAT_IDENTIFIES_USERS, "View endpoint data that identifies users", ALL, false)                \
    X(VIEW_ENDPOINT_DATA_THAT_IDENTIFIES_NETWORK, "View endpoint data that identifies network", ALL, false)            \
    X(VIEW_ENDPOINT_DATA_THAT_IDENTIFIES_VISITED_PAGES, "View endpoint data that identifies visited pages", ALL, false) \
    X(VIEW_ENDPOINT_TESTS, "View endpoint tests", ALL, false)                                                          \
    X(VIEW_LABELS, "View labels", ALL, false)                                                                          \
    X(VIEW_VENDOR_LIVE_SHARES, "View live shares shared by ThousandEyes", ALL, false)                                  \
    X(VIEW_LIVE_SHARINGS_FROM_ALL, "View live sharings from all users in account group", ADMINS, false)                \
    X(VIEW_MY_DOMAINS, "View my domains", ALL, false)                                                                  \
    X(VIEW_USAGE, "View organization usage", ORG, true)                                                                \
    X(VIEW_OWN_ACTIVITY_LOG, "View own activity log", REGULAR, false)                                                  \
    X(VIEW_OWN_LIVE_SHARES, "View own live shares", REGULAR, false)                                                    \
    X(VIEW_OWN_SNAPSHOTS, "View own snapshots", REGULAR, false)                                                        \
    X(VIEW_REPORTS, "View reports", ALL, false)                                                                        \
    X(VIEW_ROLES, "View roles", ORG, true)                                                                             \
    X(VIEW_SECURITY, "View security & authentication settings", ORG, true)                                             \
    X(VIEW_SCRIPT_SECRETS, "View sensitive data in web transaction scripts", ADMINS, false)                            \
    X(VIEW_SNAPSHOTS, "View snapshots", ALL, false)                                                                    \
    X(VIEW_SNAPSHOTS_SHARED_BY_ALL, "View snapshots shared by all users in account group", ADMINS, false)              \
    X(VIEW_TESTS, "View tests", ALL, false)                                                                            \
    X(VIEW_ACTIVITY_IN_ALL_ACCOUNT_GROUPS, "View user activity in all account groups", ORG, true)

#define PERMISSION_ENUM(name, label, roles, is_management) PERMISSION_##name,
enum permission {
    PERMISSION_UNSET,     /* a route with this stops the server at start */
    PERMISSION_PUBLIC,    /* anybody */
    PERMISSION_AGENT,     /* an agent with its own bearer */
    PERMISSION_SIGNED_IN, /* any user */
    PERMISSION_LIST(PERMISSION_ENUM) PERMISSION_COUNT
};
#define PERMISSION_FIRST (PERMISSION_SIGNED_IN + 1)

struct permission_info {
    const char *name;  /* "EDIT_TESTS" */
    const char *label; /* "Edit tests"; "" for those that are no permission of API v7 */
    unsigned roles;    /* bit r - 1: role r (enum permission_role) has it */
    bool is_management;
};
extern const struct permission_info permission_infos[PERMISSION_COUNT];
extern const char *const permission_role_names[PERMISSION_ROLES + 1]; /* by enum permission_role; [0] is "" */

/* Its number in API v7, and back; PERMISSION_UNSET when there is none. */
static inline unsigned permission_number(enum permission permission)
{
    return (unsigned)permission - PERMISSION_FIRST + 1;
}
enum permission permission_of_number(uint64_t number);

struct permission_set {
    uint64_t bits[2];
};
_Static_assert(PERMISSION_COUNT <= 128, "a permission_set has room for all");

void permission_add(struct permission_set *set, enum permission permission);
void permission_add_role(struct permission_set *set, enum permission_role role);
bool permission_has(const struct permission_set *set, enum permission permission);
/* Whether who has the set may also do this: it has it, or what goes further ("for all users" includes one's own). */
bool permission_covers(const struct permission_set *set, enum permission permission);
bool permission_covers_all(const struct permission_set *set, const struct permission_set *others);
bool permission_has_management(const struct permission_set *set);

#endif
