/*
 * What the checks of results, plans, intake and views share: a small server without HTTP, whose time stands still, with
 * one account group (1), three agents (1 Amsterdam, 2 Berlin, 3 Cairo) and one test (1, every 60 s, on all three).
 */
#ifndef OCULI_SERVER_DATA_CHECK_H
#define OCULI_SERVER_DATA_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "base/clock.h"
#include "measure/agent_to_server/settings.h"
#include "server/intake.h"
#include "server/object.h"
#include "server/view.h"

#define CHECK_NOW_S 1790000400LL /* a multiple of 60 and of 300 */
#define CHECK_AID 1u

struct check {
    struct clock_sim clock;
    struct store *store;
    struct plan *plan;
    struct latest *latest;
    struct stream *stream;
    struct intake *intake;
    struct arena arena;
    struct buf out;
};

int check_setup(void **state);
int check_teardown(void **state);
void check_reopen(struct check *c); /* plan, latest and intake anew on the same store */

/* A test named key on the agents given (0-terminated); its id. */
uint64_t check_add_test(struct check *c, const char *key, int32_t interval_s, const uint64_t *agents);
void check_get_test(struct check *c, uint64_t test_id, struct object_test *ret_test);
void check_put_test(struct check *c, struct object_test *test); /* and tells the plan */

/* One path trace of a round: addresses of its hops from TTL 1, NULL = silent, and its id. */
struct check_path {
    uint64_t id;
    int end;
    const char *hops[8];
    size_t hop_count;
};

/* What an agent measures; loss NaN and latency NaN are absent. */
struct check_round {
    uint64_t test_id, agent_id, run_id;
    int64_t round_id, version; /* version 0 = 1 */
    double loss, latency;
    const char *error;
    const char *interference; /* network.oculi.sackInterference */
    struct check_path paths[3];
    size_t path_count;
};

/* The round as a message; parts in the check's arena. */
struct message_round check_message(struct check *c, const struct check_round *round);

/* Uploads one round; the receipt as "accepted duplicates refused" digits: 100, 10, 1. */
int check_upload(struct check *c, const struct check_round *round);

/* Shorthand: agent's round of test 1 with a loss and a latency, accepted. */
void check_measured(struct check *c, int64_t round_id, uint64_t agent_id, double loss, double latency);

void check_view(struct check *c, uint64_t test_id, const char *agents, struct view *ret_view);

#define CHECK(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)

#endif
