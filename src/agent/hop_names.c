#include "agent/hop_names.h"

#include "base/clock.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"
#include "facts/names.h"
#include "facts/scope.h"
#include "measure/hops.h"

#define OWN_MAX 64
#define PREFIXES_MAX 64
#define OWN_LOOK_NS (60 * CLOCK_S) /* interfaces change */
#define ADDRESSES_MAX (LIMIT_PATH_TRACES * LIMIT_HOPS)

struct hop_names {
    struct loop *loop;
    struct names *names;
    bool is_all, has_own;
    struct scope_prefix own[OWN_MAX], prefixes[PREFIXES_MAX];
    size_t own_count, prefix_count;
    int64_t own_ns; /* when own was read; 0 = never */
};

int hop_names_new(struct loop *loop, const struct agent_options *options, struct hop_names **ret_names,
                  struct error *err)
{
    const struct names_options settings = {.servers = options->name_servers};
    struct names *names;
    *ret_names = NULL;
    if (options->resolve_names == AGENT_NAMES_OFF)
        return 0;
    int rc = names_new(loop, &settings, &names, err);
    if (rc == -E_INVALID && err)
        (void)str_copy(err->where, sizeof err->where, "--name-servers");
    if (rc)
        return rc;
    struct hop_names *hop_names = mem_alloc(sizeof *hop_names);
    hop_names->loop = loop;
    hop_names->names = names;
    hop_names->is_all = options->resolve_names == AGENT_NAMES_ALL;
    hop_names->has_own = !options->netns; /* the interfaces here are not those we measure from */
    *ret_names = hop_names;
    return 0;
}

void hop_names_free(struct hop_names *names)
{
    if (!names)
        return;
    names_free(names->names);
    mem_free(names);
}

void hop_names_set_prefixes(struct hop_names *names, const struct field_list *prefixes)
{
    const char *const *texts = prefixes->items;
    if (!names)
        return;
    names->prefix_count = 0;
    for (size_t i = 0; i < prefixes->count && names->prefix_count < PREFIXES_MAX; i++)
        names->prefix_count += scope_parse(texts[i], &names->prefixes[names->prefix_count]) == 0;
}

static bool is_in(const struct scope_prefix *prefixes, size_t count, const union sock_addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (scope_contains(&prefixes[i], addr))
            return true;
    }
    return false;
}

static void read_own(struct hop_names *names)
{
    int64_t now = loop_now_ns(names->loop);
    if (!names->has_own || (names->own_ns && now - names->own_ns < OWN_LOOK_NS))
        return;
    names->own_ns = now;
    names->own_count = scope_own(names->own, OWN_MAX);
}

/* The address of a hop whose name is ours to ask for. */
static bool is_wanted(struct hop_names *names, const struct measure_hop *hop, union sock_addr *ret_addr)
{
    if (hop->rdns || !hop->ip_address || sock_parse_ip(hop->ip_address, ret_addr) != 0)
        return false;
    return names->is_all || scope_is_private(ret_addr) || is_in(names->own, names->own_count, ret_addr) ||
           is_in(names->prefixes, names->prefix_count, ret_addr);
}

struct names_wait *hop_names_wait(struct hop_names *names, const struct measure_round *round, loop_fn *fn, void *user)
{
    union sock_addr addrs[ADDRESSES_MAX];
    struct measure_hops walk = {.type = round->runner->type, .result = round->result};
    const struct measure_hop *hop;
    size_t count = 0;
    if (!names)
        return NULL;
    read_own(names);
    while (count < ADDRESSES_MAX && (hop = measure_next_hop(&walk)))
        count += is_wanted(names, hop, &addrs[count]);
    return names_wait(names->names, addrs, count, HOP_NAMES_WAIT_S * CLOCK_S, fn, user);
}

void hop_names_fill(struct hop_names *names, struct measure_round *round)
{
    struct measure_hops walk = {.type = round->runner->type, .result = round->result};
    struct measure_hop *hop;
    while (names && (hop = measure_next_hop(&walk))) {
        union sock_addr addr;
        bool is_known;
        const char *name = is_wanted(names, hop, &addr) ? names_peek(names->names, &addr, &is_known) : NULL;
        if (name)
            hop->rdns = arena_strdup(&round->arena, name);
    }
}
