/*
 * An HTTP proxy in a check: CONNECT and absolute URLs, and signing in by Basic or NTLM. NTLM as far as a proxy without
 * a domain controller can do it: it sends a challenge and looks at the user's name in the answer. On threads of its
 * own.
 */
#ifndef OCULI_TESTS_AGENT_FAKE_PROXY_H
#define OCULI_TESTS_AGENT_FAKE_PROXY_H

#include <stddef.h>
#include <stdint.h>

enum fake_proxy_auth { FAKE_PROXY_OPEN, FAKE_PROXY_BASIC, FAKE_PROXY_NTLM };

#define FAKE_PROXY_USER "carol"
#define FAKE_PROXY_PASSWORD "s3same"

struct fake_proxy;
struct fake_proxy *fake_proxy_start(enum fake_proxy_auth auth);
void fake_proxy_free(struct fake_proxy *proxy);
uint16_t fake_proxy_port(const struct fake_proxy *proxy);
size_t fake_proxy_passed(struct fake_proxy *proxy); /* requests that went through */

#endif
