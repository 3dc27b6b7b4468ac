/*
 * Every ceiling of the system by name. A queue, buffer, list or loop that is not bounded here is a bug.
 *
 * limit_hit counts a ceiling that was reached; the counts appear on the server's metrics page and in the agent's
 * status.
 */
#ifndef OCULI_BASE_LIMIT_H
#define OCULI_BASE_LIMIT_H

#include <stdint.h>

#define LIMIT_JSON_BYTES (16u << 20)         /* one JSON document read from outside */
#define LIMIT_JSON_DEPTH 32u                 /* nesting of JSON and CBOR read from outside */
#define LIMIT_REQUEST_BYTES (16u << 20)      /* one HTTP request body, after decompression */
#define LIMIT_UPLOADS_BYTES (256u << 20)     /* bodies of requests that the server holds at once */
#define LIMIT_RESPONSE_BYTES (64u << 20)     /* one HTTP response we build */
#define LIMIT_REQUEST_ARENA (64u << 20)      /* memory one request may use */
#define LIMIT_ROUND_ARENA (8u << 20)         /* memory one round may use */
#define LIMIT_STRING_BYTES 65536u            /* one string in a record */
#define LIMIT_LIST_ITEMS 100000u             /* items of one list in a record */
#define LIMIT_RESULT_BYTES (2u << 20)         /* one result as it travels and is kept */
#define LIMIT_HOPS 64u                       /* highest TTL a path trace probes */
#define LIMIT_PATH_TRACES 10u                /* flows of one path trace */
#define LIMIT_EXHAUSTIVE_FLOWS 2048u         /* of one search for all paths (probe/exhaustive.h) */
#define LIMIT_EXHAUSTIVE_PROBES 20000u       /* its packets */
#define LIMIT_EXHAUSTIVE_INTERFACES 1024u    /* it finds */
#define LIMIT_EXHAUSTIVE_LINKS 8192u         /* between them */
#define LIMIT_EXHAUSTIVE_PATHS 64u           /* distinct ones it tells and measures */
#define LIMIT_EXHAUSTIVE_PATH_PROBES 1000u   /* to measure one of them */
#define LIMIT_STREAM_PROBES 1024u            /* probes of one end-to-end stream */
#define LIMIT_ENGINE_ROUNDS 20000u           /* rounds at once in one probe engine */
#define LIMIT_ENGINE_PROBES 400000u          /* probes awaiting an answer in one engine */
#define LIMIT_LOOP_TIMERS 200000u            /* timers armed in one loop */
#define LIMIT_PLAN_TESTS 10000u              /* tests in one agent's plan */
#define LIMIT_PROGRESS_TESTS 20000u          /* tests whose last round an agent remembers */
#define LIMIT_PROGRESS_RUNS 1000u            /* runs asked for once that an agent remembers */
#define LIMIT_SPOOL_BYTES (1u << 30)         /* an agent's unsent results on disk */
#define LIMIT_SPOOL_SEGMENT_BYTES (4u << 20) /* one file of the spool */
#define LIMIT_SPOOL_SEGMENTS 4096u            /* files of the spool */
#define LIMIT_SPOOL_RECORD_BYTES (4u << 20)  /* one round in the spool */
#define LIMIT_SPOOL_MEMORY_BYTES (16u << 20) /* rounds kept in memory while the disk refuses them */
#define LIMIT_SPOOL_ASIDE_FILES 16u          /* damaged pieces kept beside the spool for a person to look at */
#define LIMIT_BATCH_ROUNDS 500u              /* rounds in one upload */
#define LIMIT_BATCH_BYTES (2u << 20)         /* rounds of one upload, before compression */
#define LIMIT_PAGE_ITEMS 100u                /* items of one page of a list */
#define LIMIT_SSE_CLIENTS 5000u              /* open event streams */
#define LIMIT_SSE_QUEUE 256u                 /* events waiting for one slow reader */
#define LIMIT_SSE_HISTORY 4096u              /* events kept for readers that come back */
#define LIMIT_FETCH_BYTES (1u << 20)          /* an answer of an identity provider */
#define LIMIT_HASHES_WAITING 64u             /* passwords that wait to be checked */
#define LIMIT_SESSIONS 10000u                /* signed-in browsers */
#define LIMIT_TIMELINE_POINTS 5000u          /* points of one timeline answer */
#define LIMIT_KNOWN_PATHS 40000u            /* (test, agent) pairs whose paths the server remembers, some kB each */
#define LIMIT_PROBE_MODES 20000u             /* TCP targets of which an agent remembers how to probe them */
#define LIMIT_RESOLVE_THREADS 16u            /* host names looked up at once by one resolver */
#define LIMIT_RESOLVE_WAITING 20000u         /* host names waiting to be looked up */
#define LIMIT_NAMES 50000u                   /* addresses whose names are remembered, some 150 bytes each */
#define LIMIT_NAMES_WAITING 4096u            /* addresses whose names are being asked for or wait to be */
#define LIMIT_NAMES_FLYING 64u               /* of these the questions without an answer yet */
#define LIMIT_COMMAND_HOSTS 10000u           /* hosts of one ping or trace on the command line */
#define LIMIT_GEO_FILES 32u                  /* databases of networks and places */
#define LIMIT_GEO_ADDRESSES 50000u           /* addresses whose network and place are remembered */

enum limit_kind {
    LIMIT_KIND_ARENA,
    LIMIT_KIND_BUFFER,
    LIMIT_KIND_ROUNDS,
    LIMIT_KIND_PROBES,
    LIMIT_KIND_TIMERS,
    LIMIT_KIND_SPOOL,
    LIMIT_KIND_SSE_CLIENTS,
    LIMIT_KIND_SSE_QUEUE,
    LIMIT_KIND_SESSIONS,
    LIMIT_KIND_REQUEST,
    LIMIT_KIND_RESOLVE,
    LIMIT_KIND_KNOWN_PATHS,
    LIMIT_KIND_NAMES,
    LIMIT_KIND_PROBE_MODES,
    LIMIT_KIND_COUNT
};

void limit_hit(enum limit_kind kind); /* thread safe */
uint64_t limit_hits(enum limit_kind kind);
const char *limit_name(enum limit_kind kind);

#endif
