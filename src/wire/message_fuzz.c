/* What comes from an agent, or from a server: the first byte selects the message. */
#include "fuzz/record.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;
    while (message_tables[count])
        count++;
    if (size > 0)
        fuzz_cbor(message_tables[fuzz_select(data[0], count)], data + 1, size - 1);
    return 0;
}
