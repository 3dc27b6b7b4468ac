/* A name server's answer: the first byte chooses the family of the address that was asked about. */
#include <assert.h>
#include <string.h>

#include "facts/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union sock_addr addr;
    char name[NAMES_TEXT_BYTES];
    uint32_t ttl_s;
    if (size == 0)
        return 0;
    int rc = sock_parse_ip(data[0] & 1 ? "2001:db8::1" : "192.0.2.1", &addr);
    assert(rc == 0);
    rc = names_read_answer(data + 1, size - 1, &addr, name, &ttl_s);
    assert(rc == 0 || rc == -E_INVALID);
    for (const char *at = name; rc == 0 && *at; at++)
        assert(*at > ' ' && *at < 127 && !strchr("<>&\"'\\", *at));
    assert(rc != 0 || strlen(name) < sizeof name);
    return 0;
}
