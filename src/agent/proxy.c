#include "agent/proxy.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/sock.h"
#include "base/str.h"
#include "facts/scope.h"

static const char *const schemes[] = {"http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"};

/* Host and port, nothing else: no user, no path. */
static bool is_authority(const char *text)
{
    char host[256];
    uint16_t port;
    if (strpbrk(text, "@/?# \t") || sock_split(text, 0, host, sizeof host, &port, NULL))
        return false;
    return *host != 0;
}

int proxy_parse_location(const char *location, struct proxy_choice *ret_choice, struct error *err)
{
    const char *rest = location;
    bool has_scheme = strstr(location, "://") != NULL;
    for (size_t i = 0; has_scheme && i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strncasecmp(location, schemes[i], strlen(schemes[i])) == 0)
            rest = location + strlen(schemes[i]);
    }
    char authority[PROXY_URL_BYTES - 16];
    bool is_good = (!has_scheme || rest != location) && str_copy(authority, sizeof authority, rest);
    size_t length = is_good ? strlen(authority) : 0;
    if (length > 0 && authority[length - 1] == '/')
        authority[length - 1] = 0;
    if (!is_good || !is_authority(authority))
        return error_set(err, E_INVALID, "location", "\"%.200s\" is not a proxy's HOST:PORT", location);
    (void)snprintf(ret_choice->url, sizeof ret_choice->url, "%.*s%s", has_scheme ? (int)(rest - location) : 7,
                   has_scheme ? location : "http://", authority);
    return 0;
}

int proxy_check(const struct message_proxy *proxy, struct error *err)
{
    struct proxy_choice choice;
    const char *type = proxy->type ? proxy->type : "";
    if (str_equal(type, "direct"))
        return 0;
    bool is_pac = str_equal(type, "pac");
    if (!is_pac && !str_equal(type, "static"))
        return error_set(err, E_NOT_SUPPORTED, "type", "this agent knows no proxies of type \"%.40s\"", type);
    if (!proxy->location || !*proxy->location)
        return error_set(err, E_REQUIRED, "location", "a proxy has an address");
    if (is_pac && !str_starts(proxy->location, "http://") && !str_starts(proxy->location, "https://") &&
        !str_starts(proxy->location, "file:///"))
        return error_set(err, E_INVALID, "location", "\"%.200s\" is not the http, https or file URL of a PAC file",
                         proxy->location);
    int rc = is_pac ? 0 : proxy_parse_location(proxy->location, &choice, err);
    if (!rc && proxy->auth && !str_equal(proxy->auth, "basic") && !str_equal(proxy->auth, "ntlm"))
        rc = error_set(err, E_NOT_SUPPORTED, "authType", "this agent cannot sign in to a proxy by \"%.40s\"",
                       proxy->auth);
    if (!rc && proxy->auth && !proxy->user)
        rc = error_set(err, E_REQUIRED, "user", "who signs in to the proxy must be given");
    return rc;
}

/* --- PAC answers -------------------------------------------------------------------------------------------------- */

static bool parse_one(const char *text, size_t length, struct proxy_choice *ret_choice)
{
    static const char *const words[][2] = {{"PROXY", "http://"},     {"HTTP", "http://"},      {"HTTPS", "https://"},
                                           {"SOCKS", "socks4a://"},  {"SOCKS4", "socks4a://"}, {"SOCKS5", "socks5h://"},
                                           {"DIRECT", ""}};
    char word[16] = "", address[PROXY_URL_BYTES - 16] = "";
    size_t end = 0;
    while (end < length && !isspace((unsigned char)text[end]))
        end++;
    if (end >= sizeof word)
        return false;
    memcpy(word, text, end);
    while (end < length && isspace((unsigned char)text[end]))
        end++;
    if (length - end >= sizeof address)
        return false;
    memcpy(address, text + end, length - end);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(word, words[i][0]) != 0)
            continue;
        bool is_direct = *words[i][1] == 0;
        if (is_direct ? *address != 0 : !is_authority(address))
            return false;
        (void)snprintf(ret_choice->url, sizeof ret_choice->url, "%s%s", words[i][1], address);
        return true;
    }
    return false;
}

size_t proxy_parse_pac(const char *answer, struct proxy_choice *choices, size_t max)
{
    size_t count = 0;
    while (*answer && count < max) {
        size_t length = strcspn(answer, ";"), trimmed = length;
        const char *next = answer + length + (answer[length] == ';');
        while (trimmed > 0 && isspace((unsigned char)*answer)) {
            answer++;
            trimmed--;
        }
        while (trimmed > 0 && isspace((unsigned char)answer[trimmed - 1]))
            trimmed--;
        count += trimmed > 0 && parse_one(answer, trimmed, &choices[count]);
        answer = next;
    }
    return count;
}

/* --- bypass ------------------------------------------------------------------------------------------------------- */

static bool matches(const char *pattern, const char *host, const union sock_addr *addr)
{
    struct scope_prefix prefix;
    if (str_equal(pattern, "<local>"))
        return !sock_is_set(addr) && !strchr(host, '.');
    if (sock_is_set(addr) && scope_parse(pattern, &prefix) == 0)
        return scope_contains(&prefix, addr);
    if (*pattern == '.') {
        size_t have = strlen(host), want = strlen(pattern);
        return have > want && strcasecmp(host + have - want, pattern) == 0;
    }
    return fnmatch(pattern, host, FNM_CASEFOLD | FNM_NOESCAPE) == 0;
}

bool proxy_is_bypassed(const struct field_list *patterns, const char *host)
{
    const char *const *items = patterns->items;
    union sock_addr addr = {0};
    char bare[256];
    (void)str_copy(bare, sizeof bare, *host == '[' ? host + 1 : host);
    bare[strcspn(bare, "]")] = 0;
    (void)sock_parse_ip(bare, &addr);
    for (size_t i = 0; i < patterns->count; i++) {
        for (const char *at = items[i]; *at;) {
            char pattern[256];
            size_t length = strcspn(at, ";, \t");
            if (length > 0 && length < sizeof pattern) {
                memcpy(pattern, at, length);
                pattern[length] = 0;
                if (matches(pattern, bare, &addr))
                    return true;
            }
            at += length + (at[length] != 0);
        }
    }
    return false;
}
