/* Settings from a client and results from an agent, for every measure type: the first byte selects the table. */
#include "fuzz/record.h"
#include "measure/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    for (size_t i = 0; measure_types[i]; i++) {
        const struct measure_type *type = measure_types[i];
        size_t which = fuzz_select(data[0], 1 + type->part_count);
        if (which == 0)
            fuzz_json(type->settings, FIELD_CREATE, data + 1, size - 1);
        else
            fuzz_cbor(type->parts[which - 1].table, data + 1, size - 1);
    }
    return 0;
}
