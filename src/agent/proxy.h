/*
 * Proxies: which one leads to a host. A static one, what a PAC file says, or none for hosts on the bypass list.
 *
 * Only words and addresses: nothing here owns a socket (pac.h evaluates PAC files, http.h uses what is chosen here).
 */
#ifndef OCULI_AGENT_PROXY_H
#define OCULI_AGENT_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "wire/message.h"

#define PROXY_CHOICES 8     /* of one answer of a PAC file */
#define PROXY_URL_BYTES 300

/* As libcurl takes it: "" = without a proxy, "http://proxy:3128", "https://…", "socks5h://…", "socks4a://…". */
struct proxy_choice {
    char url[PROXY_URL_BYTES];
};

/* Can an agent of this version use it? -E_INVALID, -E_REQUIRED, or -E_NOT_SUPPORTED (Kerberos); where = the field. */
int proxy_check(const struct message_proxy *proxy, struct error *err);

/* A static proxy's location, "host:port" or with a scheme, as a choice. -E_INVALID: where "location". */
int proxy_parse_location(const char *location, struct proxy_choice *ret_choice, struct error *err);

/* "PROXY a:3128; SOCKS5 b:1080; DIRECT": the choices in order; what cannot be read is left out. Returns how many. */
size_t proxy_parse_pac(const char *answer, struct proxy_choice *choices, size_t max);

/*
 * Is the host reached without the proxy? Patterns are separated by ';' or ',' or given one by one: names with '*' and
 * '?', ".example.net" for everything below, "<local>" for names without a dot, addresses and prefixes ("10.0.0.0/8").
 * Letter case does not matter.
 */
bool proxy_is_bypassed(const struct field_list *patterns, const char *host);

#endif
