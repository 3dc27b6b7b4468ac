#include "server/api/api.h"

#include <limits.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "server/about.h"
#include "server/api/sso.h"
#include "server/gather.h"
#include "server/hasher.h"
#include "server/intake.h"
#include "server/latest.h"
#include "server/paths.h"
#include "server/plan.h"
#include "server/presence.h"
#include "server/reports.h"
#include "server/shares.h"
#include "server/snapshots.h"
#include "server/stream.h"
#include "server/usage.h"

#define PRESENCE_EVERY_S 15

const struct route *const api_tables[] = {
    api_health_routes,
    api_document_routes,
    api_session_routes,
    api_second_factor_routes,
    api_sso_routes,
    api_user_routes,
    api_role_routes,
    api_account_group_routes,
    api_token_routes,
    api_audit_routes,
    api_local_problem_routes,
    api_agent_proxy_routes,
    api_agent_rule_routes,
    api_agent_token_routes,
    api_agent_routes,
    api_agent_test_routes,
    api_agent_cluster_routes,
    api_test_routes,
    api_test_history_routes,
    api_result_routes,
    api_link_routes,
    api_ui_routes,
    api_view_routes,
    api_tag_routes,
    api_credential_routes,
    api_emulation_routes,
    api_monitor_routes,
    api_interface_group_routes,
    api_snapshot_routes,
    api_usage_routes,
    NULL,
};

const struct object_kind *const api_kinds[] = {
    &object_account_group_kind,
    &object_user_kind,
    &object_role_kind,
    &object_token_kind,
    &object_session_kind,
    &object_agent_kind,
    &object_test_kind,
    &object_run_kind,
    &object_audit_kind,
    &object_local_problem_kind,
    &api_proxy_kind,
    &api_join_token_kind,
    &api_agent_rule_kind,
    &api_agent_notice_kind,
    &api_tag_kind,
    &api_credential_kind,
    &api_device_kind,
    &api_interface_group_kind,
    &object_snapshot_kind,
    &api_quota_kind,
    &usage_kind,
    NULL,
};

static void on_stream_due(void *user)
{
    struct server *server = user;
    stream_tick(server->stream);
    loop_timer_start(server->loop, &server->stream_timer, stream_due_ns(server->stream));
}

static void on_presence_due(void *user)
{
    struct server *server = user;
    bool is_more = presence_check(server->presence);
    if (server->gather)
        gather_flush(server->gather);
    int64_t wait_ns = is_more ? 0 : PRESENCE_EVERY_S * CLOCK_S;
    loop_timer_start(server->loop, &server->presence_timer, loop_now_ns(server->loop) + wait_ns);
}

static void warn_plan(int rc, const struct error *err);

static void on_plan_due(void *user)
{
    struct server *server = user;
    struct error err = {0};
    warn_plan(plan_settle(server->plan, &err), &err);
}

static void on_plan_more(void *user)
{
    struct server *server = user;
    loop_timer_start(server->loop, &server->plan_timer, loop_now_ns(server->loop));
}

/* Members of clusters that fell silent. */
static void on_members_due(void *user)
{
    struct server *server = user;
    struct error err = {0};
    if (server->plan) {
        warn_plan(plan_check_members(server->plan, &err), &err);
        api_check_agent_rules(server);
    }
    loop_timer_start(server->loop, &server->member_timer, loop_now_ns(server->loop) + CLOCK_S);
}

static void on_gathered(void *user)
{
    api_stream_told(user);
}

static int open_about(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    char own[PATH_MAX];
    (void)snprintf(own, sizeof own, "%s/geo", config->data);
    if (!config->geo_dir)
        (void)file_make_dir(own, 0755, NULL); /* so that people see where they belong; if not, looking there says why */
    const struct about_options options = {.geo_dir = config->geo_dir ? config->geo_dir : own,
                                          .scratch_dir = config->data,
                                          .has_names = config->resolves_names,
                                          .name_servers = config->name_servers};
    int rc = about_open(server->loop, &options, &server->about, err);
    if (rc == -E_INVALID && err)
        (void)str_copy(err->where, sizeof err->where, "--name-servers");
    return rc;
}

int api_start(struct server *server, struct error *err)
{
    server->stream = stream_new(server->clock);
    server->latest = latest_new();
    server->paths = paths_cache_new();
    server->presence = presence_new(server->store, server->stream, server->clock);
    server->reports = reports_new(server->store, server->clock);
    server->stream_timer = (struct loop_timer){.fn = on_stream_due, .user = server};
    server->presence_timer = (struct loop_timer){.fn = on_presence_due, .user = server};
    server->plan_timer = (struct loop_timer){.fn = on_plan_due, .user = server};
    server->member_timer = (struct loop_timer){.fn = on_members_due, .user = server};
    on_members_due(server);
    on_stream_due(server);
    on_presence_due(server);
    int rc = open_about(server, err);
    if (!rc)
        rc = shares_open(server->store, &server->shares, err);
    if (!rc)
        stream_set_shares(server->stream, server->shares);
    if (!rc)
        rc = sso_open(server, &server->sso, err);
    if (!rc)
        rc = hasher_open(server->loop, &server->hasher, err);
    if (!rc)
        rc = plan_open(server->store, server->clock, &server->plan, err);
    if (!rc)
        plan_on_more(server->plan, on_plan_more, server);
    if (!rc)
        rc = intake_open(server->store, server->plan, server->latest, server->stream, server->clock, &server->intake, err);
    if (!rc)
        rc = gather_open(server->intake, server->store, server->loop, on_gathered, server, &server->gather, err);
    if (!rc) {
        intake_set_about(server->intake, server->about);
        store_never_wait(server->store); /* who promised something waits for the flush: request.c, gather.c */
    }
    if (!rc)
        rc = snapshots_open(server->store, server->loop, server->clock, &server->snapshots, err);
    return rc;
}

void api_stop(struct server *server)
{
    if (!server->stream)
        return;
    loop_timer_stop(server->loop, &server->stream_timer);
    loop_timer_stop(server->loop, &server->presence_timer);
    loop_timer_stop(server->loop, &server->plan_timer);
    loop_timer_stop(server->loop, &server->member_timer);
    gather_close(server->gather);
    snapshots_close(server->snapshots);
    if (server->intake)
        intake_close(server->intake);
    if (server->plan)
        plan_close(server->plan);
    shares_close(server->shares);
    latest_free(server->latest);
    paths_cache_free(server->paths);
    about_close(server->about);
    sso_close(server->sso);
    hasher_close(server->hasher);
    reports_free(server->reports);
    presence_free(server->presence);
    stream_free(server->stream);
}

/* The hub holds rounds back for up to a second: its timer follows what it was just told. */
void api_stream_told(struct server *server)
{
    loop_timer_start(server->loop, &server->stream_timer, stream_due_ns(server->stream));
}

/* What is stored is stored: a plan that cannot be told now is told after the next change or restart. */
static void warn_plan(int rc, const struct error *err)
{
    char text[600];
    if (rc)
        log_warning("plan", "agents are not told of a change yet: %s", error_format(err, text, sizeof text));
}

void api_run_changed(struct server *server, uint64_t run_id)
{
    struct error err = {0};
    warn_plan(plan_run_changed(server->plan, run_id, &err), &err);
}

void api_test_changed(struct server *server, uint64_t aid, uint64_t test_id)
{
    struct error err = {0};
    int rc = shares_test_changed(server->shares, test_id, &err);
    if (!rc)
        rc = plan_test_changed(server->plan, test_id, &err);
    warn_plan(rc, &err);
    stream_test(server->stream, aid, test_id);
    api_stream_told(server);
}

void api_agent_changed(struct server *server, uint64_t aid, uint64_t agent_id)
{
    struct error err = {0};
    warn_plan(plan_agent_changed(server->plan, agent_id, &err), &err);
    bool is_here = presence_last_seen_s(server->presence, agent_id) != 0;
    stream_agent(server->stream, aid, agent_id, is_here ? "online" : "offline");
    api_stream_told(server);
}
