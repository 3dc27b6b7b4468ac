/*
 * Which proxy leads to the server. A static proxy is known at once; a PAC file is fetched, asked (pac.h), and
 * asked again after an hour or when everything it named has failed.
 */
#ifndef OCULI_AGENT_ROUTE_H
#define OCULI_AGENT_ROUTE_H

#include "agent/http.h"
#include "agent/pac.h"
#include "agent/proxy.h"

struct route;

struct route_settings {
    struct loop *loop;
    struct http *http;                 /* fetches the PAC file, without a proxy */
    struct pac *pac;                   /* NULL = PAC files are not supported */
    const struct message_proxy *proxy; /* passed proxy_check; outlives the route */
    const char *url, *host;            /* where to; outlive the route */
    void (*known)(void *user);         /* what route_find was asked for is known now */
    void *user;
};

/* -E_INVALID for a proxy that proxy_check refuses. */
int route_new(const struct route_settings *settings, struct route **ret_route, struct error *err);
void route_free(struct route *route); /* NULL is fine */

/* True with *ret_choice, or with NULL there and why in *ret_why when no proxy can be found now; both are valid until the
 * next call. False: `known` is called later. */
bool route_find(struct route *route, const struct proxy_choice **ret_choice, const char **ret_why);

/* What route_find gave could not be connected to: the next one is tried. */
void route_failed(struct route *route);

#endif
