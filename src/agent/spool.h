/*
 * The spool: rounds that were measured and are not yet known to be in the server's store. A queue on disk, in the
 * order of appending, made of segments of at most LIMIT_SPOOL_SEGMENT_BYTES in one directory.
 *
 * What survives what. A record is handed to the kernel before spool_append returns, so the death of the process loses
 * nothing. It is on the disk (fdatasync, by a thread of the spool's own, so that a slow disk never holds the loop) at
 * most SPOOL_SYNC_MS or SPOOL_SYNC_RECORDS later, so a power cut loses at most that. Acknowledgements are not synced:
 * at worst a batch is sent twice, which is harmless. A torn tail is cut off at open; damaged bytes elsewhere are
 * copied to SEGMENT.OFFSET.bad, reported and stepped over.
 *
 * What goes first. When the spool is full its oldest segment goes, whatever tests its rounds are of: what is newest is
 * needed most, and a gap at one end is easier to understand than holes. So does a segment that nobody has taken for
 * age_s since it was written to last. The age is counted while the process runs, so that a step of the wall clock makes
 * nothing old; of segments that an earlier process left the file's own time tells, which is believed only as far as it
 * leaves them SPOOL_GRACE_S. When the disk refuses, records wait in memory up to LIMIT_SPOOL_MEMORY_BYTES, the oldest
 * going first. All is counted in rounds and bytes, reported once per event and hits LIMIT_KIND_SPOOL.
 *
 * Another program (the history maker of the lab) may add rounds while the agent runs: a spool_feed writes complete
 * segments beside the spool's own, which the agent takes over with spool_adopt.
 *
 * Not thread safe; the owner of a state directory holds its lock (identity.h), so that one process uses a spool.
 */
#ifndef OCULI_AGENT_SPOOL_H
#define OCULI_AGENT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/record.h"
#include "base/clock.h"
#include "base/error.h"

#define SPOOL_SYNC_MS 1000
#define SPOOL_SYNC_RECORDS 64
#define SPOOL_GRACE_S 3600

struct spool;

struct spool_options {
    uint64_t ceiling_bytes;  /* 0 = LIMIT_SPOOL_BYTES */
    int64_t age_s;           /* 0 = rounds do not grow old */
    const struct clock *clock; /* its monotonic side counts ages; NULL = the machine's */
    uint64_t segment_bytes;  /* 0 = LIMIT_SPOOL_SEGMENT_BYTES */
    /* Told of damage, dropped records and a disk that refuses or takes records again; may be NULL. */
    void (*report)(void *user, const struct error *err);
    /* Called at open for the records of the newest segment, so that a round known to be done is not done again. */
    void (*seen)(void *user, const struct record *record);
    void *user;
};

/* Makes the directory when it is missing. */
int spool_open(const char *dir, const struct spool_options *options, struct spool **ret_spool, struct error *err);
void spool_close(struct spool *spool); /* syncs; NULL is fine */

/* Never refuses a record that fits LIMIT_SPOOL_RECORD_BYTES (-E_LIMIT): what the disk refuses waits in memory. */
int spool_append(struct spool *spool, const struct record *record, struct error *err);

/* To be called about once in SPOOL_SYNC_MS: syncs, tries again to write what waits in memory, drops what is too old. */
void spool_tick(struct spool *spool);

/* Takes over segments that feeds have completed. */
void spool_adopt(struct spool *spool);

/* How far a reader got; covers disk and memory. */
struct spool_mark {
    uint64_t segment, offset;
    uint64_t memory; /* serial number of the last record read from memory, 0 = none */
};

/* Calls fn for the unacknowledged records from the oldest on; fn returns false to leave that record and stop. The
 * record is valid during the call. Returns the number taken; *ret_mark covers them. */
typedef bool spool_fn(void *user, const struct record *record);
size_t spool_read(struct spool *spool, spool_fn *fn, void *user, struct spool_mark *ret_mark);

/* Forgets everything up to the mark. */
void spool_ack(struct spool *spool, const struct spool_mark *mark);

/* Copies the oldest record to a .bad file, because the server will never take it. Acknowledge it afterwards. */
void spool_set_aside(struct spool *spool, const struct record *record, const char *why);

struct spool_state {
    uint64_t bytes;          /* unacknowledged, on disk and in memory */
    uint64_t memory_bytes;   /* of these, in memory because the disk refuses */
    uint64_t segments;
    uint64_t dropped_rounds; /* since open: dropped because the spool or the memory was full, or they were too old */
    uint64_t dropped_bytes;  /* theirs */
    uint64_t damaged_bytes;  /* since open: stepped over */
};
void spool_state(const struct spool *spool, struct spool_state *ret_state);

/* --- adding rounds from another program --------------------------------------------------------------------------- */

struct spool_feed;
int spool_feed_open(const char *dir, struct spool_feed **ret_feed, struct error *err);
int spool_feed_append(struct spool_feed *feed, const struct record *record, struct error *err);
/* Syncs and publishes what was appended; on failure nothing of the last segment is. Frees feed either way. */
int spool_feed_close(struct spool_feed *feed, struct error *err);

#endif
