/*
 * What an agent says it measured, all the way: packed, kept, and shown on every page. The input is the length of the
 * first part (two bytes, the higher first), the first part ("network") and the second ("pathVis"), each CBOR.
 */
#include "server/data_check.h"

#include <assert.h>
#include <string.h>

#include "server/paths.h"
#include "server/results.h"
#include "server/round.h"
#include "server/timeline.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_json(struct buf *out, int rc)
{
    json_t *json;
    assert(rc == 0 && !out->is_overflowed);
    assert(json_parse_strict(out->data, out->size, &json, NULL) == 0);
    json_decref(json);
    buf_reset(out);
}

static void show(struct check *c)
{
    struct view view;
    bool is_final;
    check_view(c, 1, NULL, &view);
    for (size_t i = 0; i < view.type->metric_count; i++) {
        struct timeline_query query = {
            .metric = view.type->metrics[i].id, .from_s = CHECK_NOW_S - 600, .to_s = CHECK_NOW_S};
        must_be_json(&c->out, timeline_write(&view, &query, &c->out, NULL));
    }
    must_be_json(&c->out, round_write(&view, CHECK_NOW_S - 300, &c->out, NULL));
    must_be_json(&c->out, paths_write(&view, CHECK_NOW_S - 300, NULL, &c->out, &is_final, NULL));
    struct latest_summary summary;
    latest_read(c->latest, 1, view.type, 60, CHECK_NOW_S, &summary);
    assert(summary.last_round == CHECK_NOW_S - 300 && strlen(summary.sparkline) == LATEST_ROUNDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t first = (size_t)data[0] << 8 | data[1];
    first = first < size - 2 ? first : size - 2;
    struct message_part parts[] = {
        {.name = "network", .record = {data + 2, first}},
        {.name = "pathVis", .record = {data + 2 + first, size - 2 - first}},
    };
    struct message_round round = {.test_id = 1,
                                  .round_id = CHECK_NOW_S - 300,
                                  .start_ns = CHECK_NOW_S * CLOCK_S,
                                  .end_ns = CHECK_NOW_S * CLOCK_S,
                                  .test_version = 1,
                                  .parts = {parts, 2}};
    struct message_batch batch = {.agent_id = 1, .rounds = {&round, 1}};
    struct message_receipt receipt;
    struct check *c;
    (void)check_setup((void **)&c);
    int rc = intake_take(c->intake, 1, CHECK_AID, &batch, &c->arena, &receipt, NULL);
    assert(rc == 0 && receipt.accepted + receipt.refused == 1);
    if (receipt.accepted)
        show(c);
    (void)check_teardown((void **)&c);
    return 0;
}
