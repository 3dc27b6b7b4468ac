#include "agent/round.h"

#include "base/limit.h"
#include "base/mem.h"

int round_encode(const struct plan_item *item, const struct measure_round *round, int64_t round_id,
                 const char *local_problem, struct buf *buf, struct record *ret_record, struct error *err)
{
    const struct measure_type *type = round->runner->type;
    struct message_part *parts = mem_alloc_array(type->part_count, sizeof *parts);
    struct buf *records = mem_alloc_array(type->part_count, sizeof *records);
    for (size_t i = 0; i < type->part_count; i++) {
        buf_init(&records[i], LIMIT_SPOOL_RECORD_BYTES);
        field_to_cbor(type->parts[i].table, (const char *)round->result + type->parts[i].offset, &records[i]);
        parts[i] = (struct message_part){.name = type->parts[i].name,
                                         .record = {.data = records[i].data, .size = records[i].size}};
    }
    struct message_round message = {.test_id = item->test_id,
                                    .run_id = item->run_id,
                                    .round_id = round_id,
                                    .start_ns = round->start_wall_ns,
                                    .end_ns = round->end_wall_ns,
                                    .test_version = item->version,
                                    .local_problem = local_problem,
                                    .parts = {.items = parts, .count = type->part_count}};
    size_t before = buf->size;
    field_to_cbor(&message_round_table, &message, buf);
    bool is_complete = !buf->is_overflowed;
    for (size_t i = 0; i < type->part_count; i++) {
        is_complete = is_complete && !records[i].is_overflowed;
        buf_done(&records[i]);
    }
    mem_free(records);
    mem_free(parts);
    if (!is_complete)
        return error_set(err, E_LIMIT, "", "the result of round %lld of test %llu is too large", (long long)round_id,
                         (unsigned long long)item->test_id);
    *ret_record = (struct record){.test_id = item->run_id ? 0 : item->test_id,
                                  .round_id = round_id,
                                  .bytes = buf->data + before,
                                  .size = buf->size - before};
    return 0;
}
