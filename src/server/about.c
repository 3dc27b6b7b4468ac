#include "server/about.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "facts/geo.h"
#include "facts/names.h"

#define LOOK_EVERY_S 10
#define GO_ON_NS CLOCK_MS /* between two pieces of a file */

struct about {
    char *geo_dir, *scratch_dir;
    struct loop *loop;
    struct geo *geo;
    struct names *names;
    struct loop_timer timer;
};

static void on_report(void *user, const struct error *err)
{
    (void)user;
    char text[600];
    log_warning("geo", "%s", error_format(err, text, sizeof text));
}

static void on_opened(void *user, const struct geo_database *database)
{
    char built[CLOCK_ISO_BYTES];
    (void)user;
    log_info("geo", "%s: %s of %.10s", database->path, database->type,
             clock_iso(database->built_s, built, sizeof built));
}

static void on_look(void *user)
{
    struct about *about = user;
    int64_t wait_ns = geo_refresh(about->geo) ? GO_ON_NS : LOOK_EVERY_S * CLOCK_S;
    loop_timer_start(about->loop, &about->timer, loop_now_ns(about->loop) + wait_ns);
}

static void free_texts(struct about *about)
{
    mem_free(about->geo_dir);
    mem_free(about->scratch_dir);
    mem_free(about);
}

int about_open(struct loop *loop, const struct about_options *options, struct about **ret_about, struct error *err)
{
    struct about *about = mem_alloc(sizeof *about);
    about->geo_dir = mem_strdup(options->geo_dir);
    about->scratch_dir = mem_strdup(options->scratch_dir);
    about->loop = loop;
    const struct names_options names = {.servers = options->name_servers};
    int rc = options->has_names ? names_new(loop, &names, &about->names, err) : 0;
    if (rc) {
        free_texts(about);
        return rc;
    }
    about->geo = geo_new(&(struct geo_options){.dir = about->geo_dir,
                                               .scratch_dir = about->scratch_dir,
                                               .report = on_report,
                                               .opened = on_opened,
                                               .user = about});
    about->timer = (struct loop_timer){.fn = on_look, .user = about};
    while (geo_refresh(about->geo))
        ;
    loop_timer_start(loop, &about->timer, loop_now_ns(loop) + LOOK_EVERY_S * CLOCK_S);
    *ret_about = about;
    return 0;
}

void about_close(struct about *about)
{
    if (!about)
        return;
    loop_timer_stop(about->loop, &about->timer);
    geo_free(about->geo);
    names_free(about->names);
    free_texts(about);
}

/* NULL also at the arena's ceiling: the answer then says less. */
static const char *keep(const char *had, const char *text, struct arena *arena)
{
    return had || !text ? had : arena_strdup(arena, text);
}

/* Agents may tell hops without an address, and, like anybody, addresses that are none. */
static bool read_address(const char *text, union sock_addr *ret_addr)
{
    return text && sock_parse_ip(text, ret_addr) == 0;
}

bool about_hop(struct about *about, struct measure_hop *hop, struct arena *arena)
{
    union sock_addr addr;
    struct geo_facts facts;
    bool is_known = true;
    if (!about || !read_address(hop->ip_address, &addr))
        return true;
    if (geo_find(about->geo, &addr, &facts)) {
        hop->prefix = keep(hop->prefix, facts.prefix, arena);
        hop->network = keep(hop->network, facts.network, arena);
        hop->location = keep(hop->location, facts.location, arena);
        hop->rdns = keep(hop->rdns, facts.name, arena);
    }
    if (!hop->rdns && about->names) {
        hop->rdns = keep(NULL, names_get(about->names, &addr), arena);
        (void)names_peek(about->names, &addr, &is_known);
    }
    return is_known;
}

bool about_paths(struct about *about, struct measure_path_vis *paths, struct arena *arena)
{
    bool is_known = true;
    struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; about && i < paths->path_traces.count; i++) {
        struct measure_hop *hops = routes[i].hops.items;
        for (size_t j = 0; j < routes[i].hops.count; j++)
            is_known &= about_hop(about, &hops[j], arena);
    }
    if (about && !paths->source_prefix) {
        const char *network;
        about_address(about, paths->source_ip, &network, &paths->source_prefix, arena);
    }
    return is_known;
}

bool about_asks_names(const struct about *about)
{
    return about && about->names;
}

void about_expect(struct about *about, const struct measure_path_vis *paths)
{
    const struct measure_route *routes = paths->path_traces.items;
    for (size_t i = 0; about && about->names && i < paths->path_traces.count; i++) {
        const struct measure_hop *hops = routes[i].hops.items;
        for (size_t j = 0; j < routes[i].hops.count; j++) {
            union sock_addr addr;
            if (!hops[j].rdns && read_address(hops[j].ip_address, &addr))
                (void)names_get(about->names, &addr);
        }
    }
}

void about_address(struct about *about, const char *address, const char **ret_network, const char **ret_prefix,
                   struct arena *arena)
{
    union sock_addr addr;
    struct geo_facts facts = {0};
    if (about && read_address(address, &addr))
        (void)geo_find(about->geo, &addr, &facts);
    *ret_network = keep(NULL, facts.network, arena);
    *ret_prefix = keep(NULL, facts.prefix, arena);
}

uint64_t about_generation(const struct about *about)
{
    return about ? geo_generation(about->geo) : 0;
}

void about_counts(const struct about *about, struct about_counts *ret_counts)
{
    struct names_counts names;
    names_counts(about ? about->names : NULL, &names);
    *ret_counts = (struct about_counts){.databases = geo_count(about ? about->geo : NULL),
                                        .names = names.known,
                                        .asked = names.asked,
                                        .answered = names.answered,
                                        .failed = names.failed,
                                        .refused = names.refused};
}
