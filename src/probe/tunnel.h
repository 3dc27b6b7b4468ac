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
 *
 * tunnel_infer needs no probe. probe_tunnel_start sends some: echo requests to the hops, for the ways back, and where
 * asked traces to the ends of tunnels that hide routers, and to every hop that may be such an end. An address inside
 * the network is often reached without the tunnel, and one trace shows them all (direct path revelation), or by a tunnel
 * that ends one router earlier, and each trace shows one more (backward recursive path revelation).
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
    TUNNEL_CERTAIN,   /* labels were seen, or the hidden routers, as many as other signs tell */
};

/* What speaks for a tunnel: bits. */
#define TUNNEL_BY_LABEL 1u       /* a quoted label stack */
#define TUNNEL_BY_LABEL_TTL 2u   /* the label's TTL tells how many routers are hidden */
#define TUNNEL_BY_QUOTED_TTL 4u  /* quoted TTLs that rise */
#define TUNNEL_BY_UTURN 8u       /* ways back that shorten by 2 */
#define TUNNEL_BY_FRPLA 16u      /* way back longer than the way there */
#define TUNNEL_BY_RTLA 32u       /* error and echo reply came over a different number of routers */
#define TUNNEL_BY_DUPLICATE 64u  /* one address at two hops in a row */
#define TUNNEL_BY_DPR 128u       /* one trace to its end showed the hidden routers */
#define TUNNEL_BY_BRPR 256u      /* several did, each to the router the one before had shown */

/* Hops are numbered from 0: their index in the flow's list; the hop of TTL 1 is 0. */
struct tunnel {
    enum tunnel_kind kind;
    enum tunnel_confidence confidence;
    uint32_t methods;
    uint32_t first, last;       /* explicit, implicit: the hops inside; opaque: both the hop at its end; invisible: its
                                   end is one of these, and what tells of it was seen at the last */
    uint32_t length;            /* routers inside: for opaque and invisible ones those hidden; 0 = unknown */
    bool is_length_exact;       /* else about so many */
    const char *evidence;       /* a sentence, without the full stop; hops are named by their TTL */
    uint32_t revealed_count;    /* of the hidden routers, in order from the tunnel's beginning */
    const union sock_addr *revealed; /* an unset one did not answer */
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

/* --- with probes ---------------------------------------------------------------------------------------------- */

struct probe_engine;
struct probe_tunnel;

struct probe_tunnel_settings {
    union sock_addr src;  /* unset = the system's choice */
    bool is_revealing;    /* traces as well as echo requests: one to nearly every hop, two at a time */
    uint32_t max_probes;  /* 1..TUNNEL_MAX_PROBES: what may lead beyond is not begun; a trace may take some 130 */
    int64_t wait_ns;      /* for each answer, 1 ms..10 s */
    uint8_t dscp;         /* 0..63 */
};

#define TUNNEL_MAX_PROBES 10000u

struct probe_tunnel_result {
    int64_t start_ns, end_ns;
    uint32_t sent;            /* echo requests and the probes of traces up to their targets */
    uint32_t traces;
    bool is_cut;              /* max_probes or a ceiling of the engine kept it from doing all */
    const uint8_t *echo_ttls; /* by hop; 0 = no echo reply came */
    struct tunnel_list tunnels;
};

typedef void probe_tunnel_fn(void *user, const struct probe_tunnel_result *result);

/* 1000 probes, 1 s, no revelation. */
void probe_tunnel_defaults(struct probe_tunnel_settings *settings);

/*
 * Looks closer at the hops of a flow that was traced. `hops` and what they point to must outlive the round; otherwise
 * the same rules as for probe_ping_start: the result lives in `arena`, done is called exactly once at the end and not
 * before this function has returned.
 */
int probe_tunnel_start(struct probe_engine *engine, const struct probe_tunnel_settings *settings,
                       const struct probe_trace_hop *hops, uint32_t hop_count, struct arena *arena,
                       probe_tunnel_fn *done, void *user, struct probe_tunnel **ret_round, struct error *err);

/* Ends the round with what it has; done is called from within. */
void probe_tunnel_finish(struct probe_tunnel *round);

/* Forgets the round: done is not called. */
void probe_tunnel_stop(struct probe_tunnel *round);

#endif
