/* Whatever a PAC file answers, and whatever stands in a bypass list: choices are whole, and every one of them is a proxy that
 * a location could name, or none at all. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/proxy.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_alloc(size + 1);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    struct proxy_choice choices[PROXY_CHOICES];
    size_t count = proxy_parse_pac(text, choices, PROXY_CHOICES);
    assert(count <= PROXY_CHOICES);
    for (size_t i = 0; i < count; i++) {
        struct proxy_choice again;
        assert(memchr(choices[i].url, 0, sizeof choices[i].url));
        assert(!*choices[i].url || proxy_parse_location(choices[i].url, &again, NULL) == 0);
    }
    struct proxy_choice choice;
    (void)proxy_parse_location(text, &choice, NULL);
    const char *items[] = {text, "*.example.net"};
    struct field_list list = {.items = items, .count = 2};
    assert(proxy_is_bypassed(&list, "www.example.net"));
    list.count = 1;
    (void)proxy_is_bypassed(&list, text);
    (void)proxy_is_bypassed(&list, "2001:db8::1");
    mem_free(text);
    return 0;
}
