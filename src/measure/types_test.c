#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/str.h"
#include "measure/agent_to_server/settings.h"
#include "measure/type.h"

static const struct field *find(const struct field_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (str_equal(table->fields[i].name, name))
            return &table->fields[i];
    }
    return NULL;
}

static const struct measure_part *find_part(const struct measure_type *type, const char *name)
{
    for (size_t i = 0; i < type->part_count; i++) {
        if (str_equal(type->parts[i].name, name))
            return &type->parts[i];
    }
    return NULL;
}

static void types_are_found_by_their_name(void **state)
{
    (void)state;
    assert_non_null(measure_types[0]);
    for (const struct measure_type *const *type = measure_types; *type; type++)
        assert_ptr_equal(measure_type_find((*type)->name), *type);
    assert_null(measure_type_find("no-such-type"));
}

static void tables_are_consistent(void **state)
{
    (void)state;
    for (const struct measure_type *const *list = measure_types; *list; list++) {
        const struct measure_type *type = *list;
        const struct field *target = find(type->settings, type->target_name);
        assert_non_null(target);
        assert_int_equal(target->kind, FIELD_KIND_STR);
        for (size_t i = 0; i < type->part_count; i++) {
            assert_true(type->parts[i].offset + type->parts[i].table->size <= type->result_size);
            if (type->parts[i].summary)
                assert_int_equal(type->parts[i].summary->size, type->parts[i].table->size);
        }
        for (size_t i = 0; i < type->metric_count; i++) {
            const struct measure_part *part = find_part(type, type->metrics[i].part);
            assert_non_null(part);
            const struct field *field = find(part->table, type->metrics[i].id);
            assert_non_null(field);
            assert_int_equal(field->kind, FIELD_KIND_F64);
            assert_string_equal(field->unit, type->metrics[i].unit);
        }
    }
}

static struct agent_to_server_settings settings_of(const char *server, int protocol)
{
    return (struct agent_to_server_settings){.server = server,
                                             .protocol = protocol,
                                             .port = FIELD_NO_I32,
                                             .num_path_traces = 3,
                                             .ping_payload_size = FIELD_NO_I32,
                                             .fixed_packet_rate = FIELD_NO_I32,
                                             .ipv6_policy = AGENT_TO_SERVER_USE_AGENT_POLICY};
}

static const char *refused_field(const struct agent_to_server_settings *settings)
{
    static struct error err;
    memset(&err, 0, sizeof err);
    return measure_type_find("agent-to-server")->settings->valid(settings, &err) ? err.where : NULL;
}

static void targets_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *server;
        int protocol;
        const char *refused;
    } cases[] = {
        {"www.example.net", AGENT_TO_SERVER_ICMP, NULL},     {"192.0.2.1", AGENT_TO_SERVER_ICMP, NULL},
        {"2001:db8::1", AGENT_TO_SERVER_ICMP, NULL},         {"[2001:db8::1]", AGENT_TO_SERVER_ICMP, NULL},
        {"www.example.net:443", AGENT_TO_SERVER_TCP, NULL},  {"[2001:db8::1]:443", AGENT_TO_SERVER_TCP, NULL},
        {"www.example.net:443", AGENT_TO_SERVER_ICMP, "server"}, {"  www  ", AGENT_TO_SERVER_ICMP, "server"},
        {"https://www", AGENT_TO_SERVER_TCP, "server"},      {"www:0", AGENT_TO_SERVER_TCP, "server"},
        {"www:65536", AGENT_TO_SERVER_TCP, "server"},        {"", AGENT_TO_SERVER_TCP, "server"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_to_server_settings settings = settings_of(cases[i].server, cases[i].protocol);
        const char *refused = refused_field(&settings);
        if (!str_equal(refused, cases[i].refused))
            fail_msg("%s: %s", cases[i].server, refused ? refused : "accepted");
    }
    struct agent_to_server_settings settings = settings_of("www.example.net", AGENT_TO_SERVER_ICMP);
    settings.port = 80;
    assert_string_equal(refused_field(&settings), "port");
    settings = settings_of("www.example.net:443", AGENT_TO_SERVER_TCP);
    settings.port = 80;
    assert_string_equal(refused_field(&settings), "port");
}

static void packet_rates_are_checked(void **state)
{
    (void)state;
    struct agent_to_server_settings settings = settings_of("www.example.net", AGENT_TO_SERVER_ICMP);
    static const struct {
        int32_t rate;
        bool is_continuous, is_refused;
    } cases[] = {{0, false, false}, {9, false, true}, {10, false, false}, {100, false, false},
                 {1, false, true},  {1, true, false}, {10, true, true},   {FIELD_NO_I32, true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settings.fixed_packet_rate = cases[i].rate;
        settings.is_continuous = cases[i].is_continuous;
        assert_int_equal(refused_field(&settings) != NULL, cases[i].is_refused);
    }
}

static void continuous_mode_enforces_and_refuses(void **state)
{
    (void)state;
    const struct measure_type *type = measure_type_find("agent-to-server");
    struct agent_to_server_settings settings = settings_of("www.example.net", AGENT_TO_SERVER_TCP);
    struct arena arena;
    arena_init(&arena, 65536);
    assert_false(measure_is_continuous(type, &settings));
    settings.is_continuous = true;
    assert_true(measure_is_continuous(type, &settings));
    assert_null(refused_field(&settings));
    settings.has_bandwidth = true;
    assert_string_equal(refused_field(&settings), "bandwidthMeasurements");
    settings.has_bandwidth = false;
    settings.probe_mode = AGENT_TO_SERVER_SACK;
    assert_string_equal(refused_field(&settings), "probeMode");
    settings.protocol = AGENT_TO_SERVER_ICMP; /* where the probe mode means nothing */
    assert_null(refused_field(&settings));
    settings.probe_mode = AGENT_TO_SERVER_AUTO;
    for (int twice = 0; twice < 2; twice++) {
        type->normalise(&settings, &arena);
        assert_int_equal(settings.fixed_packet_rate, 1);
        assert_int_equal(settings.probe_mode, AGENT_TO_SERVER_AUTO);
        assert_null(refused_field(&settings));
    }
    settings.protocol = AGENT_TO_SERVER_TCP;
    type->normalise(&settings, &arena);
    assert_int_equal(settings.probe_mode, AGENT_TO_SERVER_SYN);
    arena_done(&arena);
}

static void settings_are_kept_in_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *server;
        int protocol;
        int32_t port;
        const char *kept;
    } cases[] = {
        {"MiXeD.example.net", AGENT_TO_SERVER_TCP, FIELD_NO_I32, "MiXeD.example.net:80"},
        {"www.example.net", AGENT_TO_SERVER_TCP, 443, "www.example.net:443"},
        {"www.example.net:8080", AGENT_TO_SERVER_TCP, FIELD_NO_I32, "www.example.net:8080"},
        {"2001:db8::1", AGENT_TO_SERVER_TCP, FIELD_NO_I32, "[2001:db8::1]:80"},
        {"www.example.net", AGENT_TO_SERVER_ICMP, FIELD_NO_I32, "www.example.net"},
    };
    const struct measure_type *type = measure_type_find("agent-to-server");
    struct arena arena;
    arena_init(&arena, 65536);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_to_server_settings settings = settings_of(cases[i].server, cases[i].protocol);
        settings.port = cases[i].port;
        settings.dscp_id = 20;
        for (int twice = 0; twice < 2; twice++) {
            type->normalise(&settings, &arena);
            assert_string_equal(settings.server, cases[i].kept);
            assert_int_equal(settings.port, FIELD_NO_I32);
            assert_string_equal(agent_to_server_dscp_ids[settings.dscp_id], "46");
            assert_string_equal(settings.dscp, "EF (DSCP 46)");
        }
    }
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_found_by_their_name), cmocka_unit_test(tables_are_consistent),
        cmocka_unit_test(targets_are_checked),           cmocka_unit_test(packet_rates_are_checked),
        cmocka_unit_test(settings_are_kept_in_one_form), cmocka_unit_test(continuous_mode_enforces_and_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
