/*
 * MPLS tunnels on a traced path.
 *
 * A label switched path shows itself to a path trace in four ways (Donnet, Luckie, Merindol, Pansiot: "Revealing MPLS
 * tunnels obscured from traceroute", 2012). They follow from two choices of its operator: whether the TTL of the
 * packet is copied into the label and back (RFC 3443), and whether routers quote the labels in their errors (RFC 4950).
 *
 *     explicit   copied, quoted          every router answers with its label
 *     implicit   copied, not quoted      every router answers; the TTL it quotes rises 1, 2, 3 from router to router
 *                                        because only the label's TTL was decremented, and its errors may turn round
 *                                        at the tunnel's end: the way back is longer, by 2 less from router to router
 *     opaque     not copied, quoted      the routers inside are hidden; the last one quotes a label whose TTL is as
 *                                        many below 255 as there are hidden ones
 *     invisible  not copied, not quoted  the routers inside are hidden: two routers seem neighbours that are not
 *
 * An invisible tunnel is seen only from its way back, when the TTL of the label is taken over where the label is
 * removed: the reply of the router at its end comes over n routers more than the probe went (FRPLA), the replies of the
 * next n routers all arrive with the same TTL, and where a router begins errors at 255 and echo replies at 64 the
 * difference is exact (RTLA: Vanaubel, Merindol, Pansiot, Donnet: "Through the wormhole: tracking invisible MPLS
 * tunnels", 2017, and "TNT, watch me explode: a light in the dark for revealing MPLS tunnels", 2019).
 *
 * Firewalls and address translators rewrite TTLs, and ways back are often longer than ways there. Therefore one odd
 * value is never a tunnel: two hops in a row must agree, a run of quoted TTLs must begin behind the first hop and come
 * to an end, and what the way back alone says is only ever "suspected".
 */
#ifndef OCULI_PROBE_TUNNEL_H
#define OCULI_PROBE_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "probe/trace.h"

#define TUNNEL_NONE UINT32_MAX
#define TUNNEL_MAX_HIDDEN 32u /* hidden routers that are believed; longer ones are strange TTLs rather than tunnels */
#define TUNNEL_TEXT_BYTES 96u

enum tunnel_kind { TUNNEL_EXPLICIT, TUNNEL_IMPLICIT, TUNNEL_OPAQUE, TUNNEL_INVISIBLE };

enum tunnel_confidence {
    TUNNEL_HINT,      /* worth looking closer, not worth telling: a longer way back has other causes as well */
    TUNNEL_SUSPECTED, /* what was seen is what a tunnel does, but something else may do it too */
    TUNNEL_LIKELY,    /* two independent signs, or a sign over several hops that nothing else is known to make */
    TUNNEL_CERTAIN,   /* labels were seen */
};

/* What speaks for a tunnel: bits. */
#define TUNNEL_BY_LABEL 1u       /* a quoted label stack */
#define TUNNEL_BY_LABEL_TTL 2u   /* the label's TTL tells how many routers are hidden */
#define TUNNEL_BY_QUOTED_TTL 4u  /* quoted TTLs that rise */
#define TUNNEL_BY_UTURN 8u       /* ways back that shorten by 2 */
#define TUNNEL_BY_FRPLA 16u      /* way back longer than the way there */
#define TUNNEL_BY_RTLA 32u       /* error and echo reply came over a different number of routers */
#define TUNNEL_BY_DUPLICATE 64u  /* one address at two hops in a row */

/* Hops are numbered from 0: their index in the flow's list; the hop of TTL 1 is 0. */
struct tunnel {
    enum tunnel_kind kind;
    enum tunnel_confidence confidence;
    uint32_t methods;
    uint32_t first, last;       /* explicit, implicit: the hops inside; opaque, invisible: both the hop at its end */
    uint32_t length;            /* routers inside: for opaque and invisible ones those hidden; 0 = unknown */
    bool is_length_exact;       /* else about so many */
    const char *evidence;       /* a sentence, without the full stop; hops are named by their TTL */
};

struct tunnel_list {
    uint32_t count;
    struct tunnel *items;  /* by first; they do not overlap */
    uint32_t hop_count;    /* at most LIMIT_HOPS */
    uint32_t *tunnel_of;   /* by hop: index into items, or TUNNEL_NONE */
};

extern const char *const tunnel_kind_names[];       /* "explicit", "implicit", "opaque", "invisible", NULL */
extern const char *const tunnel_confidence_names[]; /* "hint", "suspected", "likely", "certain", NULL */

/*
 * The tunnels on the hops of one flow. Hops that say nothing (silent, no quotation) are fine, absurd values are too.
 * echo_ttls: by hop, the TTL with which an echo reply of that hop's address arrives, 0 = unknown; NULL = all unknown.
 * The list lives in arena. -E_LIMIT when the arena is full; then *ret_list is untouched.
 */
int tunnel_infer(const struct probe_trace_hop *hops, uint32_t hop_count, const uint8_t *echo_ttls, struct arena *arena,
                 struct tunnel_list *ret_list);

/* What to write beside a hop: "Hop 2 in an MPLS tunnel", "3-hop MPLS tunnel", "Possibly 3 hops hidden in an MPLS
 * tunnel". "" for a hop outside all tunnels and for hints. Returns text. */
const char *tunnel_hop_text(const struct tunnel_list *list, uint32_t hop, char text[static TUNNEL_TEXT_BYTES]);

#endif
