/* Foreign JSON into a record with a field of every kind: the first byte selects the mode of reading. */
#include "fuzz/record.h"
#include "wire/field_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum field_mode modes[] = {FIELD_CREATE, FIELD_MERGE, FIELD_TRUST};
    if (size > 0)
        fuzz_json(&every_table, modes[fuzz_select(data[0], 3)], data + 1, size - 1);
    return 0;
}
