/* The search for all load-balanced paths in the shipped diamonds: every interface that exists, and none that does not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "probe/exhaustive.h"
#include "world.h"

#define APP "198.18.10.10"

static const char *directory; /* of the shipped scenarios */

struct found {
    const struct probe_exhaustive_result *result;
    struct world *world;
};

static void on_done(void *user, const struct probe_exhaustive_result *result)
{
    struct found *found = user;
    found->result = result;
    found->world->is_done = true;
}

static void on_progress(void *user, const struct probe_exhaustive_result *result)
{
    (void)user;
    assert_true(result->received <= result->sent);
}

static void open_shipped(struct world *world, const char *name, const char *more)
{
    char path[512];
    struct buf text;
    struct error err;
    (void)snprintf(path, sizeof path, "%s/%s.lab", directory, name);
    buf_init(&text, LAB_SCENARIO_BYTES);
    assert_int_equal(file_read(path, &text, &err), 0);
    buf_puts(&text, more);
    world_open(world, buf_str(&text), NULL);
    buf_done(&text);
}

/* Whether the truth knows this link. */
static bool has_edge(const struct lab_fan *fan, unsigned ttl, const union sock_addr *from, const union sock_addr *to)
{
    size_t size;
    const void *from_bytes = sock_ip_bytes(from, &size), *to_bytes = sock_ip_bytes(to, &size);
    struct lab_addr a = lab_addr_from(from_bytes, size == 4), b = lab_addr_from(to_bytes, size == 4);
    for (uint32_t i = 0; i < fan->edge_count; i++) {
        const struct lab_face *x = &fan->faces[fan->edges[i].from], *y = &fan->faces[fan->edges[i].to];
        if (x->ttl == ttl && y->ttl == ttl + 1 && lab_addr_is_same(&x->address, &a) && lab_addr_is_same(&y->address, &b))
            return true;
    }
    return false;
}

static void search(const char *name, const char *more, enum probe_protocol protocol)
{
    struct world world;
    struct found found = {.world = &world};
    struct probe_exhaustive_settings settings;
    struct probe_exhaustive *exhaustive;
    open_shipped(&world, name, more);
    probe_exhaustive_defaults(&settings);
    settings.protocol = protocol;
    settings.confidence = 0.99;
    settings.flow_seed = 7;
    assert_int_equal(sock_parse_ip(APP, &settings.dst), 0);
    sock_set_port(&settings.dst, protocol == PROBE_TCP ? 443 : 0);
    world.is_done = false;
    assert_int_equal(probe_exhaustive_start(world.engines[0], &settings, &world.arena, on_progress, on_done, &found,
                                            &exhaustive, NULL),
                     0);
    sim_run(world.sim, 600 * CLOCK_S, &world.is_done);
    assert_true(world.is_done);
    const struct lab_fan *fan = world_fan(&world, APP, protocol, protocol == PROBE_TCP ? 443 : 0);
    assert_false(fan->is_cut);
    uint32_t count = 0;
    for (uint32_t h = 0; h < found.result->hop_count; h++) {
        const struct probe_exhaustive_hop *hop = &found.result->hops[h];
        for (uint32_t i = 0; i < hop->interface_count; i++) {
            /* The target answers whatever the TTL, so flows on shorter ways show it at later ones too. */
            bool is_known = world_has_interface(fan, hop->ttl, &hop->interfaces[i].addr);
            assert_true(is_known || hop->interfaces[i].is_target);
            count += is_known;
        }
        for (uint32_t i = 0; i < hop->link_count; i++) {
            const struct probe_exhaustive_interface *to = &found.result->hops[h + 1].interfaces[hop->links[i].to];
            if (!hop->interfaces[hop->links[i].from].is_target)
                assert_true(has_edge(fan, hop->ttl, &hop->interfaces[hop->links[i].from].addr, &to->addr));
        }
    }
    if (count != fan->face_count)
        fail_msg("%s: %u interfaces of %u", name, count, fan->face_count);
    world_close(&world);
}

static void every_diamond_is_found(void **state)
{
    (void)state;
    static const char *const names[] = {"diamond-lanes", "diamond-mesh", "diamond-wide", "diamond-nested"};
    static const enum probe_protocol protocols[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    for (size_t i = 0; i < 12; i++)
        search(names[i / 3], "", protocols[i % 3]);
}

static void diamonds_behind_a_nat_are_found(void **state)
{
    (void)state;
    static const enum probe_protocol protocols[] = {PROBE_ICMP, PROBE_TCP, PROBE_UDP};
    for (size_t i = 0; i < 3; i++)
        search("diamond-nested", "\nnat a inside 198.18.1.0/24 as 203.0.113.250\n", protocols[i]);
}

int main(int argc, char **argv)
{
    directory = argc > 1 ? argv[1] : "lab/scenarios";
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(every_diamond_is_found),
        cmocka_unit_test(diamonds_behind_a_nat_are_found),
    };
    return cmocka_run_group_tests_name("simulated diamonds", checks, NULL, NULL);
}
