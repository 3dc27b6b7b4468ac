#include "cli/icmp_word.h"

#include <stdio.h>
#include <sys/socket.h>

static const struct word {
    uint8_t type, code;
    const char *text;
} words4[] = {
    {0, 0, "echo reply"},
    {3, 0, "network unreachable"},
    {3, 1, "host unreachable"},
    {3, 2, "protocol unreachable"},
    {3, 3, "port unreachable"},
    {3, 4, "packet too big, may not be fragmented"},
    {3, 5, "source route failed"},
    {3, 6, "network unknown"},
    {3, 7, "host unknown"},
    {3, 8, "source host isolated"},
    {3, 9, "network prohibited"},
    {3, 10, "host prohibited"},
    {3, 11, "network unreachable for this type of service"},
    {3, 12, "host unreachable for this type of service"},
    {3, 13, "prohibited by a filter"},
    {3, 14, "host precedence violation"},
    {3, 15, "precedence cut off"},
    {4, 0, "source quench"},
    {5, 0, "redirect for the network"},
    {5, 1, "redirect for the host"},
    {11, 0, "TTL exceeded"},
    {11, 1, "fragment reassembly took too long"},
    {12, 0, "parameter problem"},
    {12, 1, "a required option is missing"},
    {12, 2, "bad length"},
}, words6[] = {
    {129, 0, "echo reply"},
    {1, 0, "no route"},
    {1, 1, "prohibited by a filter"},
    {1, 2, "beyond the scope of the source address"},
    {1, 3, "address unreachable"},
    {1, 4, "port unreachable"},
    {1, 5, "source address failed policy"},
    {1, 6, "route rejects"},
    {2, 0, "packet too big"},
    {3, 0, "hop limit exceeded"},
    {3, 1, "fragment reassembly took too long"},
    {4, 0, "erroneous header field"},
    {4, 1, "unknown next header"},
    {4, 2, "unknown option"},
};

const char *icmp_word(int family, uint8_t type, uint8_t code, char *buf, size_t size)
{
    const struct word *words = family == AF_INET6 ? words6 : words4;
    size_t count = family == AF_INET6 ? sizeof words6 / sizeof words6[0] : sizeof words4 / sizeof words4[0];
    (void)snprintf(buf, size, "ICMP %u-%u", type, code);
    for (size_t i = 0; i < count; i++) {
        if (words[i].type == type && words[i].code == code)
            (void)snprintf(buf, size, "%s", words[i].text);
    }
    return buf;
}
