#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "facts/names.h"

void names_question(const union sock_addr *addr, char ret_question[static NAMES_QUESTION_BYTES])
{
    size_t size, used = 0;
    const unsigned char *bytes = sock_ip_bytes(addr, &size);
    for (size_t i = size; i-- > 0;) {
        int n = size == 4 ? snprintf(ret_question + used, NAMES_QUESTION_BYTES - used, "%u.", bytes[i])
                          : snprintf(ret_question + used, NAMES_QUESTION_BYTES - used, "%x.%x.", bytes[i] & 15u,
                                     bytes[i] >> 4);
        used += (size_t)n;
    }
    (void)snprintf(ret_question + used, NAMES_QUESTION_BYTES - used, "%s", size == 4 ? "in-addr.arpa" : "ip6.arpa");
}

/* It ends up on terminals and pages. */
bool names_is_host(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return length > 0 && name[length] == 0 && name[0] != '.' && name[0] != '-';
}

/* The least time to live among the records that made the answer; of "there is none" that of the zone's SOA. */
static uint32_t least_ttl(const unsigned char *bytes, size_t size, ns_sect section, int type)
{
    ns_msg message;
    uint32_t least = 0;
    if (size > 65535 || ns_initparse(bytes, (int)size, &message) != 0)
        return 0;
    for (int i = 0; i < ns_msg_count(message, section); i++) {
        ns_rr record;
        if (ns_parserr(&message, section, i, &record) != 0)
            return least;
        if ((type == 0 || (int)ns_rr_type(record) == type) && (least == 0 || ns_rr_ttl(record) < least))
            least = ns_rr_ttl(record);
    }
    return least;
}

int names_read_answer(const unsigned char *bytes, size_t size, const union sock_addr *addr,
                      char ret_name[static NAMES_TEXT_BYTES], uint32_t *ret_ttl_s)
{
    struct hostent *host = NULL;
    size_t addr_size;
    const void *ip = sock_ip_bytes(addr, &addr_size);
    if (size < NS_HFIXEDSZ || size > 65535)
        return -E_INVALID;
    unsigned rcode = bytes[3] & 15u;
    if (rcode != ns_r_noerror && rcode != ns_r_nxdomain)
        return -E_INVALID;
    int status = rcode == ns_r_nxdomain
                     ? ARES_ENODATA
                     : ares_parse_ptr_reply(bytes, (int)size, ip, (int)addr_size, addr->sa.sa_family, &host);
    bool is_name =
        status == ARES_SUCCESS && host->h_name && names_is_host(host->h_name) && strlen(host->h_name) < NAMES_TEXT_BYTES;
    if (is_name)
        (void)str_copy(ret_name, NAMES_TEXT_BYTES, host->h_name);
    if (host)
        ares_free_hostent(host);
    if (status != ARES_SUCCESS && status != ARES_ENODATA && status != ARES_EBADRESP && status != ARES_EBADNAME)
        return -E_INVALID;
    if (!is_name)
        ret_name[0] = 0;
    *ret_ttl_s = is_name ? least_ttl(bytes, size, ns_s_an, 0) : least_ttl(bytes, size, ns_s_ns, ns_t_soa);
    return 0;
}
