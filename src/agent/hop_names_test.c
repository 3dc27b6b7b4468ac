/* Checks of whose names an agent asks for, against a DNS server of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/hop_names.h"
#include "facts/dns_stub.h"
#include "facts/names.h"
#include "measure/agent_to_server/settings.h"

static const struct dns_stub_answer zone[] = {{"1.0.0.10.in-addr.arpa", DNS_STUB_PTR, "gateway/example", 600},
                                              {"1.0.0.20.in-addr.arpa", DNS_STUB_PTR, "carrier/example", 600},
                                              {"2.0.0.20.in-addr.arpa", DNS_STUB_PTR, "edge/example", 600},
                                              {"9.0.0.30.in-addr.arpa", DNS_STUB_NXDOMAIN, NULL, 600},
                                              {0}};

struct stage {
    struct loop *loop;
    struct dns_stub stub;
    struct agent_options options;
    struct hop_names *names;
    struct measure_hop first[3], second[2];
    struct measure_route routes[2];
    struct agent_to_server_result result;
    struct measure_round round;
    bool is_done;
};

static void on_done(void *user)
{
    ((struct stage *)user)->is_done = true;
}

static void open_stage(struct stage *stage, int resolve_names)
{
    struct error err;
    memset(stage, 0, sizeof *stage);
    assert_int_equal(loop_new(&stage->loop, NULL), 0);
    dns_stub_open(&stage->stub, stage->loop, zone);
    stage->options = (struct agent_options){
        .resolve_names = resolve_names, .name_servers = stage->stub.address, .netns = "elsewhere"};
    if (hop_names_new(stage->loop, &stage->options, &stage->names, &err))
        fail_msg("%s: %s", err.where, err.text);
    stage->first[0].ip_address = "10.0.0.1";
    stage->first[1].ip_address = "20.0.0.1";
    stage->first[2].ip_address = "30.0.0.9";
    stage->second[0] = (struct measure_hop){.ip_address = "10.0.0.1", .rdns = "known"};
    stage->second[1].ip_address = "20.0.0.2";
    stage->routes[0].hops = (struct field_list){stage->first, 3};
    stage->routes[1].hops = (struct field_list){stage->second, 2};
    stage->result.path_vis.path_traces = (struct field_list){stage->routes, 2};
    stage->round.result = &stage->result;
    stage->round.runner = measure_runner_find("agent-to-server");
    arena_init(&stage->round.arena, 1u << 20);
}

/* The names of all hops, joined. */
static const char *names_of(struct stage *stage)
{
    static char text[300];
    stage->is_done = false;
    if (hop_names_wait(stage->names, &stage->round, on_done, stage)) {
        while (!stage->is_done)
            assert_int_equal(loop_step(stage->loop, 20 * CLOCK_S), 0);
    }
    hop_names_fill(stage->names, &stage->round);
    const char *hops[] = {stage->first[0].rdns, stage->first[1].rdns, stage->first[2].rdns, stage->second[0].rdns,
                          stage->second[1].rdns};
    text[0] = 0;
    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", hops[i] ? hops[i] : "-");
    assert_int_equal(stage->stub.unknown, 0);
    return text;
}

static void close_stage(struct stage *stage)
{
    hop_names_free(stage->names);
    dns_stub_close(&stage->stub);
    arena_done(&stage->round.arena);
    loop_free(stage->loop);
}

static void local_names_only(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage, AGENT_NAMES_LOCAL);
    assert_string_equal(names_of(&stage), "gateway.example - - known -");
    assert_int_equal(stage.stub.asked, 1);
    const char *prefixes[] = {"nothing", "20.0.0.0/31"};
    hop_names_set_prefixes(stage.names, &(struct field_list){prefixes, 2});
    assert_string_equal(names_of(&stage), "gateway.example carrier.example - known -");
    assert_int_equal(stage.stub.asked, 2);
    hop_names_set_prefixes(stage.names, &(struct field_list){0});
    assert_string_equal(names_of(&stage), "gateway.example carrier.example - known -");
    assert_int_equal(stage.stub.asked, 2);
    close_stage(&stage);
}

static void all_names(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage, AGENT_NAMES_ALL);
    assert_string_equal(names_of(&stage), "gateway.example carrier.example - known edge.example");
    assert_int_equal(stage.stub.asked, 4);
    assert_null(
        hop_names_wait(stage.names, &stage.round, on_done, &stage)); /* all is known, also that 30.0.0.9 has none */
    close_stage(&stage);
}

static void no_names(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage, AGENT_NAMES_OFF);
    assert_null(stage.names);
    hop_names_set_prefixes(stage.names, &(struct field_list){0});
    assert_string_equal(names_of(&stage), "- - - known -");
    assert_int_equal(stage.stub.asked, 0);
    close_stage(&stage);
}

static void servers_that_are_none_are_told(void **state)
{
    (void)state;
    struct loop *loop;
    struct hop_names *names;
    struct error err;
    assert_int_equal(loop_new(&loop, NULL), 0);
    const struct agent_options options = {.resolve_names = AGENT_NAMES_LOCAL, .name_servers = "nobody"};
    assert_int_equal(hop_names_new(loop, &options, &names, &err), -E_INVALID);
    assert_string_equal(err.where, "--name-servers");
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(local_names_only),
        cmocka_unit_test(all_names),
        cmocka_unit_test(no_names),
        cmocka_unit_test(servers_that_are_none_are_told),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
