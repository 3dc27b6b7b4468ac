#include "facts/names.h"

#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <netdb.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_LOOK_NS (10 * CLOCK_S)
#define TTL_LEAST_S 30 /* whatever the record says: a table asks again and again */
#define TTL_MOST_S 86400
#define TTL_NONE_S 900  /* there is no such name, and no SOA says for how long */
#define TTL_HOSTS_S 300 /* of /etc/hosts */
#define TTL_FAILED_S 60 /* nobody answered */
#define AWAY_AFTER 5 /* questions in a row without any answer: the servers are away */
#define AWAY_S 10    /* meanwhile one question in this time */

struct link { /* in a ring whose head is the list itself */
    struct link *next, *previous;
};

struct entry {
    struct link age;  /* in names.ages, the newest first */
    struct link line; /* in names.line while it waits to be asked */
    struct link waiters;
    struct names *names;
    union sock_addr addr;
    uint64_t key;
    int64_t expires_ns; /* by options.clock */
    const char *name;   /* owned; NULL = none */
    bool is_answered, is_open;
};

/* One address that a wait waits for. */
struct waiter {
    struct link link; /* in entry.waiters; its own ring when answered */
    struct names_wait *wait;
};

struct names_wait {
    struct link link; /* in names.waits */
    struct names *names;
    loop_fn *fn;
    void *user;
    struct loop_timer timer;
    size_t count, open;
    struct waiter waiters[];
};

struct names {
    struct loop *loop;
    struct names_options options;
    char *servers;
    ares_channel dns, hosts;
    bool has_dns, has_hosts, is_pumping;
    struct map entries;
    struct link ages, line, waits;
    struct names_counts counts;
    uint64_t generation;
    uint32_t flying;
    uint32_t silent; /* questions in a row that nobody answered */
    int64_t away_ns; /* when to try again, while the servers are away */
    double tokens;
    int64_t tokens_ns, looked_ns;
    struct timespec resolv_conf;
    struct loop_timer pump_timer, ares_timer;
};

static void pump(struct names *names);

/* --- rings -------------------------------------------------------------------------------------------------------- */

static void link_init(struct link *link)
{
    link->next = link->previous = link;
}

static void link_take(struct link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link_init(link);
}

static void link_put(struct link *ring, struct link *link) /* at its end */
{
    link->previous = ring->previous;
    link->next = ring;
    ring->previous->next = link;
    ring->previous = link;
}

#define OF_LINK(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* --- what is known ------------------------------------------------------------------------------------------------ */

static int64_t now_ns(const struct names *names)
{
    return clock_mono_ns(names->options.clock);
}

static uint64_t key_of(const union sock_addr *addr)
{
    size_t size;
    const void *bytes = sock_ip_bytes(addr, &size);
    return str_hash(bytes, size, size);
}

static struct entry *find(const struct names *names, const union sock_addr *addr)
{
    struct entry *entry = map_get(&names->entries, key_of(addr));
    return entry && sock_same_ip(&entry->addr, addr) ? entry : NULL;
}

static void drop(struct names *names, struct entry *entry)
{
    (void)map_remove(&names->entries, entry->key);
    link_take(&entry->age);
    link_take(&entry->line);
    mem_free((void *)(uintptr_t)entry->name);
    mem_free(entry);
}

/* Makes room by forgetting the address that was looked at longest ago and is not waited for. */
static bool make_room(struct names *names)
{
    if (names->entries.count < names->options.max_names)
        return true;
    for (struct link *link = names->ages.next; link != &names->ages; link = link->next) {
        struct entry *entry = OF_LINK(link, struct entry, age);
        if (entry->is_open)
            continue;
        drop(names, entry);
        return true;
    }
    return false;
}

/* NULL: no room (or another address has the same hash, which is not worth a second place). */
static struct entry *add(struct names *names, const union sock_addr *addr)
{
    uint64_t key = key_of(addr);
    if (map_get(&names->entries, key) || !make_room(names)) {
        limit_hit(LIMIT_KIND_NAMES);
        names->counts.refused++;
        return NULL;
    }
    struct entry *entry = mem_alloc(sizeof *entry);
    *entry = (struct entry){.names = names, .addr = *addr, .key = key};
    link_init(&entry->line);
    link_init(&entry->waiters);
    link_put(&names->ages, &entry->age);
    map_put(&names->entries, key, entry);
    return entry;
}

static bool is_fresh(const struct names *names, const struct entry *entry)
{
    return entry->is_answered && now_ns(names) < entry->expires_ns;
}

static void finish_wait(struct names_wait *wait)
{
    loop_timer_start(wait->names->loop, &wait->timer, 0); /* never from inside the resolver */
}

/* name: "" = there is none, NULL = nobody answered: what was known before is kept until somebody does. */
static void answer(struct entry *entry, const char *name, int64_t ttl_s)
{
    struct names *names = entry->names;
    if (name) {
        const char *text = *name ? name : NULL;
        if (!entry->is_answered || !str_equal(text, entry->name)) {
            mem_free((void *)(uintptr_t)entry->name);
            entry->name = text ? mem_strdup(text) : NULL;
            names->generation++;
        }
    }
    entry->is_answered = true;
    entry->expires_ns = now_ns(names) + ttl_s * CLOCK_S;
    entry->is_open = false;
    names->counts.open--;
    while (entry->waiters.next != &entry->waiters) {
        struct waiter *waiter = OF_LINK(entry->waiters.next, struct waiter, link);
        link_take(&waiter->link);
        if (--waiter->wait->open == 0)
            finish_wait(waiter->wait);
    }
}

static int64_t clamp_ttl(uint32_t ttl_s)
{
    return ttl_s < TTL_LEAST_S ? TTL_LEAST_S : ttl_s > TTL_MOST_S ? TTL_MOST_S : ttl_s;
}

/* --- the resolver library ----------------------------------------------------------------------------------------- */

static void set_ares_timer(struct names *names)
{
    struct timeval most = {.tv_sec = 10}, wait;
    if (names->flying == 0) {
        loop_timer_stop(names->loop, &names->ares_timer);
        return;
    }
    const struct timeval *next = ares_timeout(names->dns, &most, &wait);
    loop_timer_start(names->loop, &names->ares_timer,
                     loop_now_ns(names->loop) + next->tv_sec * CLOCK_S + (next->tv_usec + 1) * CLOCK_US);
}

static void on_ares_timer(void *user)
{
    struct names *names = user;
    ares_process_fd(names->dns, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    pump(names);
    set_ares_timer(names);
}

static void on_socket(void *user, int fd, unsigned events)
{
    struct names *names = user;
    ares_socket_t read_fd = events & (LOOP_READ | LOOP_HANGUP) ? fd : ARES_SOCKET_BAD;
    ares_socket_t write_fd = events & (LOOP_WRITE | LOOP_HANGUP) ? fd : ARES_SOCKET_BAD;
    ares_process_fd(names->dns, read_fd, write_fd);
    pump(names);
    set_ares_timer(names);
}

static void on_socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct names *names = user;
    unsigned events = (readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u);
    loop_remove(names->loop, fd);
    if (events)
        (void)loop_add(names->loop, fd, events, on_socket, names, NULL); /* if not, the library's timeout ends it */
}

static void on_answer(void *user, int status, int timeouts, unsigned char *bytes, int size)
{
    (void)timeouts;
    struct entry *entry = user;
    struct names *names = entry->names;
    char name[NAMES_TEXT_BYTES];
    uint32_t ttl_s = 0;
    names->flying--;
    bool is_silence = status == ARES_ETIMEOUT || status == ARES_ECONNREFUSED;
    names->silent = is_silence ? names->silent + 1 : 0;
    bool is_answer = (status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA) && bytes &&
                     size > 0 && names_read_answer(bytes, (size_t)size, &entry->addr, name, &ttl_s) == 0;
    if (!is_answer) {
        names->counts.failed++;
        answer(entry, NULL, TTL_FAILED_S);
        return;
    }
    names->counts.answered++;
    answer(entry, name, *name || ttl_s ? clamp_ttl(ttl_s) : TTL_NONE_S);
}

static void on_hosts(void *user, int status, int timeouts, struct hostent *host)
{
    (void)timeouts;
    struct entry *entry = user;
    if (status == ARES_SUCCESS && host && host->h_name && *host->h_name)
        answer(entry, host->h_name, TTL_HOSTS_S);
}

static void close_dns(struct names *names)
{
    if (names->has_dns)
        ares_destroy(names->dns);
    names->has_dns = false;
}

static int open_dns(struct names *names, struct error *err)
{
    struct ares_options options = {.timeout = (int)names->options.timeout_ms,
                                   .tries = 2,
                                   .lookups = (char[]){"b"},
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = names};
    int status = ares_init_options(&names->dns, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS)
        return error_set(err, E_NOT_SUPPORTED, "names", "the resolver does not start: %s", ares_strerror(status));
    names->has_dns = true;
    status = names->servers ? ares_set_servers_ports_csv(names->dns, names->servers) : ARES_SUCCESS;
    if (status == ARES_SUCCESS)
        return 0;
    close_dns(names);
    return error_set(err, E_INVALID, "servers", "\"%s\" is no list of DNS servers like 192.0.2.53,[2001:db8::53]:53",
                     names->servers);
}

/* The system's servers may change while we run: a laptop, DHCP. Looked at between questions only. */
static void follow_resolv_conf(struct names *names)
{
    struct stat now;
    int64_t now_mono_ns = loop_now_ns(names->loop);
    if (names->servers || names->flying || now_mono_ns - names->looked_ns < RESOLV_CONF_LOOK_NS)
        return;
    names->looked_ns = now_mono_ns;
    if (stat(RESOLV_CONF, &now) != 0 ||
        (now.st_mtim.tv_sec == names->resolv_conf.tv_sec && now.st_mtim.tv_nsec == names->resolv_conf.tv_nsec))
        return;
    bool is_first = names->resolv_conf.tv_sec == 0;
    names->resolv_conf = now.st_mtim;
    if (is_first)
        return;
    close_dns(names);
    (void)open_dns(names, NULL); /* without one, questions fail until it works again */
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* Nobody has answered for a while: whoever waits for a name need not wait for the next one. */
static bool is_away(struct names *names)
{
    int64_t now = loop_now_ns(names->loop);
    if (names->silent < AWAY_AFTER)
        return false;
    if (now < names->away_ns)
        return true;
    names->away_ns = now + AWAY_S * CLOCK_S;
    return false;
}

/* False: nobody was asked. */
static bool ask(struct names *names, struct entry *entry)
{
    char question[NAMES_QUESTION_BYTES];
    if (is_away(names)) {
        names->counts.failed++;
        answer(entry, NULL, AWAY_S);
        return false;
    }
    if (!names->has_dns && open_dns(names, NULL) != 0) {
        names->counts.failed++;
        answer(entry, NULL, TTL_FAILED_S);
        return false;
    }
    names->flying++;
    names->counts.asked++;
    names_question(&entry->addr, question);
    ares_query(names->dns, question, ns_c_in, ns_t_ptr, on_answer, entry);
    return true;
}

static void fill_tokens(struct names *names)
{
    int64_t now = loop_now_ns(names->loop);
    double rate = (double)names->options.per_second;
    names->tokens += (double)(now - names->tokens_ns) / (double)CLOCK_S * rate;
    if (names->tokens > rate)
        names->tokens = rate;
    names->tokens_ns = now;
}

/* Asks what waits, as far as the rate and the ceiling of open questions allow. */
static void pump(struct names *names)
{
    if (names->is_pumping)
        return;
    names->is_pumping = true;
    fill_tokens(names);
    follow_resolv_conf(names);
    while (names->line.next != &names->line && names->flying < LIMIT_NAMES_FLYING && names->tokens >= 1) {
        struct entry *entry = OF_LINK(names->line.next, struct entry, line);
        link_take(&entry->line);
        names->tokens -= ask(names, entry);
    }
    if (names->line.next != &names->line && names->tokens < 1)
        loop_timer_start(names->loop, &names->pump_timer,
                         names->tokens_ns + CLOCK_S / (int64_t)names->options.per_second + CLOCK_MS);
    names->is_pumping = false;
}

static void on_pump_timer(void *user)
{
    struct names *names = user;
    pump(names);
    set_ares_timer(names);
}

/* Puts an entry in line; /etc/hosts answers at once. */
static void open_entry(struct names *names, struct entry *entry)
{
    size_t size;
    const void *bytes = sock_ip_bytes(&entry->addr, &size);
    if (names->counts.open >= LIMIT_NAMES_WAITING) {
        limit_hit(LIMIT_KIND_NAMES);
        names->counts.refused++;
        return;
    }
    entry->is_open = true;
    names->counts.open++;
    if (names->has_hosts)
        ares_gethostbyaddr(names->hosts, bytes, (int)size, entry->addr.sa.sa_family, on_hosts, entry);
    if (entry->is_open)
        link_put(&names->line, &entry->line);
}

/* The entry of an address, in line when it must be asked for; NULL when it cannot be. */
static struct entry *want(struct names *names, const union sock_addr *addr)
{
    struct entry *entry = sock_is_set(addr) ? find(names, addr) : NULL;
    if (!entry && sock_is_set(addr))
        entry = add(names, addr);
    if (!entry)
        return NULL;
    link_take(&entry->age);
    link_put(&names->ages, &entry->age);
    if (!entry->is_open && !is_fresh(names, entry))
        open_entry(names, entry);
    return entry;
}

const char *names_get(struct names *names, const union sock_addr *addr)
{
    if (!names)
        return NULL;
    struct entry *entry = want(names, addr);
    pump(names);
    set_ares_timer(names);
    return entry ? entry->name : NULL;
}

const char *names_peek(const struct names *names, const union sock_addr *addr, bool *ret_is_known)
{
    const struct entry *entry = names && sock_is_set(addr) ? find(names, addr) : NULL;
    *ret_is_known = !names || !sock_is_set(addr) || (entry && is_fresh(names, entry));
    return entry ? entry->name : NULL;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

void names_wait_cancel(struct names_wait *wait)
{
    if (!wait)
        return;
    for (size_t i = 0; i < wait->count; i++)
        link_take(&wait->waiters[i].link);
    loop_timer_stop(wait->names->loop, &wait->timer);
    link_take(&wait->link);
    mem_free(wait);
}

static void on_wait_over(void *user)
{
    struct names_wait *wait = user;
    loop_fn *fn = wait->fn;
    void *fn_user = wait->user;
    names_wait_cancel(wait);
    fn(fn_user);
}

struct names_wait *names_wait(struct names *names, const union sock_addr *addrs, size_t count, int64_t wait_ns,
                              loop_fn *fn, void *user)
{
    if (!names || !count)
        return NULL;
    struct names_wait *wait = mem_alloc(sizeof *wait + count * sizeof wait->waiters[0]);
    *wait = (struct names_wait){.names = names, .fn = fn, .user = user, .count = count};
    wait->timer = (struct loop_timer){.fn = on_wait_over, .user = wait};
    link_put(&names->waits, &wait->link);
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = want(names, &addrs[i]);
        wait->waiters[i].wait = wait;
        link_init(&wait->waiters[i].link);
        if (!entry || !entry->is_open)
            continue;
        link_put(&entry->waiters, &wait->waiters[i].link);
        wait->open++;
    }
    loop_timer_start(names->loop, &wait->timer, loop_now_ns(names->loop) + wait_ns);
    pump(names);
    set_ares_timer(names);
    if (wait->open)
        return wait;
    names_wait_cancel(wait);
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void open_hosts(struct names *names)
{
    struct ares_options options = {.lookups = (char[]){"f"}};
    names->has_hosts =
        !names->options.has_no_hosts && ares_init_options(&names->hosts, &options, ARES_OPT_LOOKUPS) == ARES_SUCCESS;
}

int names_new(struct loop *loop, const struct names_options *options, struct names **ret_names, struct error *err)
{
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return error_set(err, E_NOT_SUPPORTED, "names", "the resolver library does not start");
    struct names *names = mem_alloc(sizeof *names);
    if (options)
        names->options = *options;
    names->options.clock = names->options.clock ? names->options.clock : &clock_real;
    names->options.per_second = names->options.per_second ? names->options.per_second : 50;
    names->options.timeout_ms = names->options.timeout_ms ? names->options.timeout_ms : 1000;
    names->options.max_names = names->options.max_names ? names->options.max_names : LIMIT_NAMES;
    names->servers = names->options.servers && *names->options.servers ? mem_strdup(names->options.servers) : NULL;
    names->loop = loop;
    names->tokens = names->options.per_second;
    names->tokens_ns = loop_now_ns(loop);
    names->looked_ns = names->tokens_ns - RESOLV_CONF_LOOK_NS;
    names->pump_timer = (struct loop_timer){.fn = on_pump_timer, .user = names};
    names->ares_timer = (struct loop_timer){.fn = on_ares_timer, .user = names};
    link_init(&names->ages);
    link_init(&names->line);
    link_init(&names->waits);
    int rc = open_dns(names, err);
    if (rc) {
        mem_free(names->servers);
        mem_free(names);
        ares_library_cleanup();
        return rc;
    }
    open_hosts(names);
    *ret_names = names;
    return 0;
}

void names_free(struct names *names)
{
    if (!names)
        return;
    names->is_pumping = true; /* what the library ends now is not asked again */
    close_dns(names);
    if (names->has_hosts)
        ares_destroy(names->hosts);
    while (names->waits.next != &names->waits)
        names_wait_cancel(OF_LINK(names->waits.next, struct names_wait, link));
    loop_timer_stop(names->loop, &names->pump_timer);
    loop_timer_stop(names->loop, &names->ares_timer);
    while (names->ages.next != &names->ages)
        drop(names, OF_LINK(names->ages.next, struct entry, age));
    map_done(&names->entries);
    mem_free(names->servers);
    mem_free(names);
    ares_library_cleanup();
}

void names_counts(const struct names *names, struct names_counts *ret_counts)
{
    *ret_counts = names ? names->counts : (struct names_counts){0};
    ret_counts->known = names ? names->entries.count : 0;
}

uint64_t names_generation(const struct names *names)
{
    return names ? names->generation : 0;
}
