/*
 * Commits that do not wait for the disk, and the flush that makes them durable.
 *
 * A transaction begun with begin_soon is committed with synchronous=NORMAL: SQLite appends its pages to the write-ahead
 * log and does not flush it. sync flushes the log through a descriptor of its own, so it may run on another thread, and
 * moves a long log into the database on a connection of its own, which SQLite allows beside a writer. The log starts
 * anew only when everything in it has been moved: that needs a moment without new commits, which is_crowded asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite/sqlite.h"

#define LONG_PAGES 4000     /* of the log: worth moving into the database */
#define CROWDED_PAGES 12000 /* worth a pause of the writers */
#define FORCED_PAGES 65536  /* nobody syncs: the writer itself moves them */

static int on_commit(void *user, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_sync *sync = user;
    atomic_store(&sync->pages, (unsigned)pages);
    return pages < FORCED_PAGES ? SQLITE_OK : sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int set_mode(struct sqlite_store *s, bool is_soon, struct error *err)
{
    if (s->sync.is_soon == is_soon)
        return 0;
    const char *text = is_soon ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL";
    if (sqlite3_exec(s->main.handle, text, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_fail(s, err, "choosing how to commit");
    s->sync.is_soon = is_soon;
    return 0;
}

static int start(struct sqlite_store *s, struct error *err)
{
    struct sqlite_sync *sync = &s->sync;
    if (sync->db)
        return 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(s->main.path, &db, flags, NULL) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864; SELECT count(*) FROM tally", NULL,
                     NULL, NULL) != SQLITE_OK) {
        int rc = error_set(err, E_IO, s->main.path, "opening a second time: %s", sqlite3_errmsg(db));
        (void)sqlite3_close(db);
        return rc;
    }
    sync->db = db; /* complete: the other thread may be looking */
    (void)sqlite3_wal_hook(s->main.handle, on_commit, sync);
    return 0;
}

int sqlite_begin(struct store *store, struct error *err)
{
    int rc = set_mode(sqlite_of(store), false, err);
    return rc ? rc : sqlite_run(sqlite_of(store), SQL_BEGIN, err, NULL, 0, NULL);
}

int sqlite_begin_soon(struct store *store, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    int rc = start(s, err);
    if (!rc)
        rc = set_mode(s, true, err);
    return rc ? rc : sqlite_run(s, SQL_BEGIN, err, NULL, 0, NULL);
}

bool sqlite_is_crowded(const struct store *store)
{
    const struct sqlite_store *s = (const struct sqlite_store *)store;
    return atomic_load(&s->sync.pages) > CROWDED_PAGES;
}

/* --- on the other thread ------------------------------------------------------------------------------------------ */

static int flush(struct sqlite_store *s, struct error *err)
{
    struct stat st;
    char path[4200];
    (void)snprintf(path, sizeof path, "%s-wal", s->main.path);
    if (s->sync.fd >= 0 && (fstat(s->sync.fd, &st) || !st.st_nlink)) {
        (void)close(s->sync.fd);
        s->sync.fd = -1;
    }
    if (s->sync.fd < 0)
        s->sync.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->sync.fd < 0)
        return error_sys(err, errno, path, "cannot open the log to flush it");
    return fdatasync(s->sync.fd) ? error_sys(err, errno, path, "cannot flush") : 0;
}

/* Moves the log into the database, which is flushed; *ret_is_whole when nothing is left in it. */
static int move(struct sqlite_store *s, bool *ret_is_whole, struct error *err)
{
    int pages = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->sync.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) {
        bool is_full = (rc & 0xff) == SQLITE_FULL || errno == ENOSPC || errno == EDQUOT;
        return error_set(err, is_full ? E_FULL : E_IO, s->main.path, "moving the log: %s", sqlite3_errmsg(s->sync.db));
    }
    *ret_is_whole = rc == SQLITE_OK && pages == moved;
    if (*ret_is_whole)
        atomic_store(&s->sync.pages, 0);
    return 0;
}

int sqlite_sync(struct store *store, struct error *err)
{
    struct sqlite_store *s = sqlite_of(store);
    bool is_whole = false;
    if (!s->sync.db)
        return 0; /* every commit so far has waited by itself */
    int rc = flush(s, err);
    if (!rc && s->sync.is_in_doubt) {
        /* After a failure the kernel forgets which pages it has not written: only writing all of them again tells. */
        rc = move(s, &is_whole, err);
        if (!rc && !is_whole)
            rc = error_set(err, E_IO, s->main.path, "an earlier flush failed, and the log is still in use");
        s->sync.is_in_doubt = rc != 0;
        return rc;
    }
    if (rc)
        s->sync.is_in_doubt = true;
    else if (atomic_load(&s->sync.pages) > LONG_PAGES)
        (void)move(s, &is_whole, NULL); /* the log holds everything meanwhile; the next sync tries again */
    return rc;
}

void sqlite_sync_end(struct sqlite_store *s)
{
    (void)sqlite3_close(s->sync.db);
    if (s->sync.fd >= 0)
        (void)close(s->sync.fd);
}
