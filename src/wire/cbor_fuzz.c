/* Foreign CBOR: the bare reader, then a record with a field of every kind. */
#include <assert.h>

#include "base/error.h"
#include "fuzz/record.h"
#include "wire/cbor.h"
#include "wire/field_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct cbor_reader reader;
    struct cbor_item item;
    cbor_reader_init(&reader, data + 1, size - 1);
    int rc = cbor_read(&reader, &item);
    if (rc == 0)
        rc = cbor_skip(&reader, &item);
    assert(rc == 0 || rc == -E_INVALID || rc == -E_LIMIT);
    assert(reader.at <= reader.end);
    fuzz_cbor(&every_table, data + 1, size - 1);
    return 0;
}
