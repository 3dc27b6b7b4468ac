/*
 * Parts: the files of PATH-parts, each with the folded results of one kind and one period. Retention removes a file.
 *
 * "results-20260115.db": chunks of times, metrics and bodies of a day, and the dictionary of their words.
 * "details-20260115.db": the same of details. "summaries-20260101.db": the summaries of 32 days.
 *
 * A part is whole in itself, so that a damaged one spoils nothing of the others. Some are kept open; what is in use
 * stays open.
 */
#ifndef OCULI_STORE_SQLITE_PART_H
#define OCULI_STORE_SQLITE_PART_H

#include "store/sqlite/sqlite.h"

enum part_kind { PART_RESULTS, PART_DETAILS, PART_SUMMARIES, PART_KINDS };

enum part_statement {
    PART_BEGIN,
    PART_COMMIT,
    PART_ROLLBACK,
    PART_CHUNK_GET,      /* test, hour, agent -> bytes */
    PART_CHUNK_PUT,      /* test, hour, agent, bytes */
    PART_CHUNKS,         /* test, hour, agent or 0 -> agent, bytes */
    PART_HOUR_NEXT,      /* test, hour -> the next at or after it */
    PART_HOUR_PREVIOUS,
    PART_CHUNK_DROP,     /* test, how many */
    PART_CHUNK_ALL,      /* after id -> id, test, hour, agent, bytes */
    PART_SUMMARY_GET,    /* test, kind, hour -> bytes */
    PART_SUMMARY_PUT,    /* test, kind, hour, bytes */
    PART_SUMMARIES_IN,   /* test, kind, from hour, until hour -> hour, bytes */
    PART_SUMMARY_DROP,   /* test, how many */
    PART_WORD_FIND,      /* hash -> id, bytes */
    PART_WORD_PUT,       /* hash, bytes */
    PART_WORD_GET,       /* id -> bytes */
    PART_STATEMENTS
};

struct part {
    struct part *next;
    enum part_kind kind;
    int64_t number; /* of the period */
    struct db db;
    unsigned users;
    uint64_t used; /* when last, for closing the one that was not for longest */
    bool is_writing;
    struct map words, word_ids; /* what was read of the dictionary, by id and by hash */
    size_t word_bytes;
    struct chunk_words access;
};

/* The part of that kind and period of a day (of an hour / DAY_HOURS); part_done gives it back. *ret_part is NULL when
 * there is none and it is not to be made. */
int part_use(struct sqlite_store *s, enum part_kind kind, int64_t number, bool make, struct part **ret_part,
             struct error *err);
void part_done(struct part *part);
void part_close_all(struct sqlite_store *s);

int64_t part_days(enum part_kind kind); /* of a period */

/* Writing: everything between begin and commit at once. A commit survives the end of this process; that of the machine it
 * survives when the file has been flushed afterwards (worker.h). */
int part_begin(struct part *part, struct error *err);
int part_commit(struct part *part, struct error *err);
void part_rollback(struct part *part);

/* The parts there are, by number. */
struct part_entry {
    enum part_kind kind;
    int64_t number;
    uint64_t rounds;
    bool is_going; /* is being removed; nobody reads it */
};
struct part_list {
    struct part_entry *items;
    size_t count;
    uint64_t bytes;
};
int part_list(struct sqlite_store *s, struct part_list *ret_list, struct error *err);
void part_list_done(struct part_list *list);

void part_path(const struct sqlite_store *s, enum part_kind kind, int64_t number, char *path, size_t size);

/* The last hour that may be folded; INT64_MIN = none. */
int part_newest_hour(struct sqlite_store *s, int64_t *ret_hour, struct error *err);

/* Removes the file of a part, a piece at a time when it is large: *ret_gone tells when it is gone. */
int part_remove_step(struct sqlite_store *s, enum part_kind kind, int64_t number, bool *ret_gone, struct error *err);

#endif
