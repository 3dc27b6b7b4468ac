/* Checks of what the server adds to the addresses in its answers: from databases made here, and from a DNS server of our
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "facts/dns_stub.h"
#include "facts/mmdb.h"
#include "server/about.h"
#include "server/data_check.h"
#include "server/paths.h"

#define T (CHECK_NOW_S - 600)

static char dir[64], file[96];

static void put_database(const char *type, const char *prefix, const char *fields)
{
    struct mmdb_write *write = mmdb_write_new(type, 6, 28, 1790000000);
    mmdb_write_put(write, prefix, fields);
    assert_int_equal(mmdb_write_file(write, file, NULL), 0);
    mmdb_write_free(write);
}

static struct about *open_about(struct loop *loop, const char *name_servers)
{
    struct about *about;
    struct error err;
    const struct about_options options = {
        .geo_dir = dir, .scratch_dir = dir, .has_names = name_servers != NULL, .name_servers = name_servers};
    if (about_open(loop, &options, &about, &err))
        fail_msg("%s: %s", err.where, err.text);
    return about;
}

static void trace_round(struct check *c, uint64_t agent, int64_t round_id)
{
    struct check_round round = {.test_id = 1,
                                .agent_id = agent,
                                .round_id = round_id,
                                .loss = 0,
                                .paths = {{.id = 77,
                                           .end = MEASURE_END_REACHED,
                                           .hops = {"10.0.0.1", NULL, "20.0.0.7", "2a00::1"},
                                           .hop_count = 4}},
                                .path_count = 1};
    assert_int_equal(check_upload(c, &round), 100);
}

static const char *hops_of(struct check *c, struct about *about, struct paths_cache *cache, bool *ret_final)
{
    struct view view;
    struct error err = {0};
    check_view(c, 1, "1", &view);
    view.about = about;
    buf_reset(&c->out);
    if (paths_write(&view, T, cache, &c->out, ret_final, &err))
        fail_msg("%s: %s", err.where, err.text);
    const char *hops = strstr(buf_str(&c->out), "\"hops\":"), *end = strstr(hops, ",\"traces\"");
    return arena_strndup(&c->arena, hops, (size_t)(end - hops));
}

static int set_up(void **state)
{
    (void)snprintf(dir, sizeof dir, "/tmp/oculi-about-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/x.mmdb", dir);
    log_open("check", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return check_setup(state);
}

static int tear_down(void **state)
{
    (void)unlink(file);
    assert_int_equal(rmdir(dir), 0);
    return check_teardown(state);
}

#define NOTHING                                                                                                        \
    "\"hops\":{\"address\":[\"10.0.0.1\",\"20.0.0.7\",\"2a00::1\"],\"rdns\":[null,null,null],"                         \
    "\"network\":[null,null,null],\"location\":[null,null,null],\"prefix\":[null,null,null]}"

static void paths_say_network_and_place(void **state)
{
    struct check *c = *state;
    struct loop *loop;
    struct paths_cache *cache = paths_cache_new();
    bool is_final;
    assert_int_equal(loop_new(&loop, NULL), 0);
    trace_round(c, 1, T);
    assert_string_equal(hops_of(c, NULL, cache, &is_final), NOTHING);
    assert_true(is_final);
    put_database("Any City ASN", "20.0.0.0/12",
                 "city.names.en=Delft;country.names.en=Netherlands;autonomous_system_number=#64500;"
                 "autonomous_system_organization=Example \"One\"");
    struct about *about = open_about(loop, NULL);
    /* What the cache has from before the database came is not told again. */
    assert_string_equal(hops_of(c, about, cache, &is_final),
                        "\"hops\":{\"address\":[\"10.0.0.1\",\"20.0.0.7\",\"2a00::1\"],\"rdns\":[null,null,null],"
                        "\"network\":[null,\"Example \\\"One\\\" (AS 64500)\",null],"
                        "\"location\":[null,\"Delft, Netherlands\",null],\"prefix\":[null,\"20.0.0.0/12\",null]}");
    assert_true(is_final);
    about_close(about);
    paths_cache_free(cache);
    loop_free(loop);
}

static void what_an_agent_told_stays(void **state)
{
    (void)state;
    struct loop *loop;
    struct arena arena;
    assert_int_equal(loop_new(&loop, NULL), 0);
    arena_init(&arena, 1u << 20);
    put_database("Any City ASN", "20.0.0.0/12", "city.names.en=Delft;autonomous_system_number=#64500");
    struct about *about = open_about(loop, NULL);
    struct measure_hop hops[] = {{.ip_address = "20.0.0.1", .rdns = "mine", .network = "My network"},
                                 {.ip_address = "no address"},
                                 {.ip_address = NULL},
                                 {.ip_address = "20.15.255.255"}};
    struct measure_route route = {.hops = {hops, 4}};
    struct measure_path_vis paths = {.source_ip = "20.1.1.1", .path_traces = {&route, 1}};
    assert_true(about_paths(about, &paths, &arena));
    assert_string_equal(hops[0].rdns, "mine");
    assert_string_equal(hops[0].network, "My network");
    assert_string_equal(hops[0].location, "Delft");
    assert_null(hops[1].network);
    assert_null(hops[2].location);
    assert_string_equal(hops[3].network, "AS 64500");
    assert_string_equal(hops[3].prefix, "20.0.0.0/12");
    assert_string_equal(paths.source_prefix, "20.0.0.0/12");
    const char *network, *prefix;
    about_address(about, "20.1.1.1", &network, &prefix, &arena);
    assert_string_equal(network, "AS 64500");
    about_address(NULL, "20.1.1.1", &network, &prefix, &arena);
    assert_true(!network && !prefix);
    assert_true(about_paths(NULL, &paths, &arena));
    about_close(about);
    arena_done(&arena);
    loop_free(loop);
}

static void names_are_asked_for_when_results_come_in(void **state)
{
    static const struct dns_stub_answer answers[] = {
        {"1.0.0.10.in-addr.arpa", DNS_STUB_PTR, "gateway/example", 600},
        {"7.0.0.20.in-addr.arpa", DNS_STUB_PTR, "core/example", 600},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.2.ip6.arpa", DNS_STUB_NXDOMAIN, NULL, 600},
        {0}};
    struct check *c = *state;
    struct loop *loop;
    struct dns_stub stub;
    bool is_final;
    assert_int_equal(loop_new(&loop, NULL), 0);
    dns_stub_open(&stub, loop, answers);
    struct about *about = open_about(loop, stub.address);
    struct paths_cache *cache = paths_cache_new();
    assert_true(about_asks_names(about));
    intake_set_about(c->intake, about);
    trace_round(c, 1, T);
    assert_string_equal(hops_of(c, about, cache, &is_final), NOTHING);
    assert_false(is_final); /* more will be known */
    while (stub.asked < 3 || !is_final) {
        assert_int_equal(loop_step(loop, 20 * CLOCK_S), 0);
        (void)hops_of(c, about, cache, &is_final);
    }
    assert_string_equal(hops_of(c, about, cache, &is_final),
                        "\"hops\":{\"address\":[\"10.0.0.1\",\"20.0.0.7\",\"2a00::1\"],"
                        "\"rdns\":[\"gateway.example\",\"core.example\",null],\"network\":[null,null,null],"
                        "\"location\":[null,null,null],\"prefix\":[null,null,null]}");
    assert_int_equal(stub.asked, 3);
    assert_int_equal(stub.unknown, 0);
    intake_set_about(c->intake, NULL);
    about_close(about);
    paths_cache_free(cache);
    dns_stub_close(&stub);
    loop_free(loop);
}

static void servers_that_are_none_are_refused(void **state)
{
    (void)state;
    struct loop *loop;
    struct about *about;
    struct error err;
    assert_int_equal(loop_new(&loop, NULL), 0);
    const struct about_options options = {
        .geo_dir = dir, .scratch_dir = dir, .has_names = true, .name_servers = "nobody"};
    assert_int_equal(about_open(loop, &options, &about, &err), -E_INVALID);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test_setup_teardown(paths_say_network_and_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_agent_told_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_asked_for_when_results_come_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(servers_that_are_none_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
