#include "cli/geo_hops.h"

#include <stdio.h>

#include "cli/cli.h"

static void on_report(void *user, const struct error *err)
{
    (void)user;
    cli_complain(err);
}

struct geo *geo_hops_open(const char *dir)
{
    if (!dir)
        return NULL;
    struct geo *geo = geo_new(&(struct geo_options){.dir = dir, .report = on_report});
    (void)geo_refresh(geo); /* maps the files themselves: one look is all */
    return geo;
}

static const char *keep(const char *had, const char *text, struct arena *arena)
{
    return had || !text ? had : arena_strdup(arena, text);
}

void geo_hops_fill(struct geo *geo, struct measure_hop *hop, struct arena *arena)
{
    union sock_addr addr;
    struct geo_facts facts;
    if (!hop->ip_address || sock_parse_ip(hop->ip_address, &addr) != 0 || !geo_find(geo, &addr, &facts))
        return;
    hop->prefix = keep(hop->prefix, facts.prefix, arena);
    hop->network = keep(hop->network, facts.network, arena);
    hop->location = keep(hop->location, facts.location, arena);
    hop->rdns = keep(hop->rdns, facts.name, arena);
}
