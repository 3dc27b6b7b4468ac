#include "chance.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"

static bool is_drawn(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

static const char *one_of(struct rng *rng, const char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    return words[rng_below(rng, count)];
}

/* A link with what may happen on it. `from` is its first end. */
static void put_link(struct rng *rng, struct buf *text, const char *from, const char *to, bool is_lossy)
{
    static const char *const troubles[] = {"loss 5%",      "loss 30%",           "duplicate 5%", "reorder 10% by 7ms",
                                           "loss 1%",      "reorder 5% by 60ms", "corrupt 2%",   "loss 12%",
                                           "duplicate 20%", NULL};
    double delay = 0.05 + rng_unit(rng) * (is_drawn(rng, 20) ? 40 : 6);
    buf_printf(text, "link %s %s delay %.3fms", from, to, delay);
    if (is_drawn(rng, 30))
        buf_printf(text, " jitter %.3fms", delay * rng_unit(rng) / 2);
    if (is_lossy && is_drawn(rng, 30))
        buf_printf(text, " %s%s%s", one_of(rng, troubles), is_drawn(rng, 50) ? " from " : " to ", from);
    if (is_drawn(rng, 10))
        buf_printf(text, " rate %umbit queue 400ms", 2 + (unsigned)rng_below(rng, 100));
    buf_putc(text, '\n');
}

/* Routers r1..rn in a row, some of them side by side, with all kinds of manners, and middleboxes. */
static void make(uint64_t seed, bool is_lossy, struct buf *text)
{
    static const char *const manners[] = {"silent", "ratelimit 20/s burst 3", "quote 28", "ttl 64",   "no-ttl-exceeded",
                                          "ttl 128", "icmp-from 192.0.2.99",   "dscp 0",   "ip-id zero", NULL};
    static const char *const boxes[] = {"node r1 sequence-randomize on\n", "nat r1 inside 198.18.1.0/24 as 203.0.113.50\n",
                                        "node r1 mss-clamp 1200 ecn 0\n", "node r1 strip timestamps\n",
                                        "node r1 ip-id count ttl 64\n",
                                        "nat r1 inside 198.18.1.0/24 as 203.0.113.50 ports kept\n", NULL};
    static const char *const hosts[] = {"", " timestamps lax", " timestamps off", " compressed-acks on", " mss 536",
                                        " compressed-acks warm", " think 3ms", " ttl 128", NULL};
    struct rng rng;
    rng_seed(&rng, seed);
    unsigned routers = 1 + (unsigned)rng_below(&rng, 9), last_width = 1;
    buf_puts(text, "vantage ams address 198.18.1.2/24 v6 2001:db8:1::2/64\n");
    buf_printf(text, "host app address " CHANCE_APP " v6 " CHANCE_APP6 " tcp 443 open%s\n", one_of(&rng, hosts));
    for (unsigned i = 1; i <= routers; i++) {
        unsigned width = i > 1 && is_drawn(&rng, 15) ? 2 + (unsigned)rng_below(&rng, 4) : 1;
        for (unsigned w = 0; w < width; w++) {
            char name[24], before[24] = "ams";
            (void)snprintf(name, sizeof name, w ? "r%ux%u" : "r%u", i, w);
            buf_printf(text, "router %s %s\n", name, is_drawn(&rng, 20) ? one_of(&rng, manners) : "");
            for (unsigned v = 0; v < last_width; v++) {
                if (i > 1)
                    (void)snprintf(before, sizeof before, v ? "r%ux%u" : "r%u", i - 1, v);
                put_link(&rng, text, before, name, is_lossy);
            }
        }
        last_width = width;
    }
    for (unsigned v = 0; v < last_width; v++) {
        char name[24];
        (void)snprintf(name, sizeof name, v ? "r%ux%u" : "r%u", routers, v);
        put_link(&rng, text, name, "app", is_lossy);
    }
    if (is_drawn(&rng, 30))
        buf_puts(text, one_of(&rng, boxes));
}

bool chance_open(struct world *world, const struct chance *chance, uint64_t seed, bool is_lossy)
{
    struct buf text;
    buf_init(&text, 1u << 16);
    make(seed, is_lossy, &text);
    if (chance->first == chance->last)
        print_message("%s", buf_str(&text));
    world_open_small(world, buf_str(&text));
    bool is_corrupting = strstr(buf_str(&text), "corrupt");
    buf_done(&text);
    return is_corrupting;
}

struct chance chance_range(uint64_t count)
{
    struct chance chance = {1, count};
    const char *only = getenv("OCULI_NET");
    if (only) {
        char *end;
        chance.first = chance.last = strtoull(only, &end, 10);
        if (*end == '-')
            chance.last = strtoull(end + 1, NULL, 10);
    }
    return chance;
}
