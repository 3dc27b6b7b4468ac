/* Whatever bytes are found in a spool: the scan ends, every record lies inside the bytes, and an intact record put
 * behind them is always found. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/record.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char payload[] = "payload";
    struct record mine = {.test_id = 1, .round_id = 2, .bytes = payload, .size = sizeof payload};
    size_t total = size + RECORD_HEADER_BYTES + sizeof payload;
    unsigned char *bytes = mem_alloc(total);
    if (size)
        memcpy(bytes, data, size);
    record_header(&mine, bytes + size);
    memcpy(bytes + size + RECORD_HEADER_BYTES, payload, sizeof payload);
    struct record record = {0};
    size_t at = 0, start, end, last = 0;
    while (record_find(bytes, total, at, &record, &start, &end) == RECORD_FOUND) {
        assert(start >= at && end > start && end <= total);
        assert((const unsigned char *)record.bytes + record.size == bytes + end);
        last = end;
        at = end;
    }
    /* Only a forged record that swallows ours can hide it; a sum over its payload makes that no accident. */
    assert(last == total || last > size);
    mem_free(bytes);
    return 0;
}
