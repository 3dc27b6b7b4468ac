#include "agent/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#define SPOOL_PATH_BYTES 512

struct spool_feed {
    char dir[SPOOL_PATH_BYTES - 64];
    char path[SPOOL_PATH_BYTES]; /* the segment being written */
    uint64_t token;
    unsigned serial;
    int fd;
    size_t size;
};

int spool_feed_open(const char *dir, struct spool_feed **ret_feed, struct error *err)
{
    struct spool_feed *feed = mem_alloc(sizeof *feed);
    feed->fd = -1;
    rng_secret(&feed->token, sizeof feed->token);
    int rc = str_copy(feed->dir, sizeof feed->dir, dir) ? file_make_dir(dir, 0700, err)
                                                        : error_set(err, E_RANGE, dir, "the path is too long");
    if (rc) {
        mem_free(feed);
        return rc;
    }
    *ret_feed = feed;
    return 0;
}

static int publish(struct spool_feed *feed, struct error *err)
{
    if (feed->fd < 0)
        return 0;
    char to[SPOOL_PATH_BYTES];
    (void)snprintf(to, sizeof to, "%s/in-%016" PRIx64 "-%06x.seg", feed->dir, feed->token, feed->serial++);
    int rc = fsync(feed->fd) == 0 ? 0 : error_sys(err, errno, feed->path, "cannot sync");
    (void)close(feed->fd);
    feed->fd = -1;
    feed->size = 0;
    if (!rc && rename(feed->path, to) != 0)
        rc = error_sys(err, errno, to, "cannot rename");
    if (rc)
        (void)unlink(feed->path);
    return rc;
}

int spool_feed_append(struct spool_feed *feed, const struct record *record, struct error *err)
{
    if (record->size > LIMIT_SPOOL_RECORD_BYTES)
        return error_set(err, E_LIMIT, feed->dir, "a round of %zu bytes is too large", record->size);
    size_t need = RECORD_HEADER_BYTES + record->size;
    int rc = feed->size > 0 && feed->size + need > LIMIT_SPOOL_SEGMENT_BYTES ? publish(feed, err) : 0;
    if (rc)
        return rc;
    if (feed->fd < 0) {
        (void)snprintf(feed->path, sizeof feed->path, "%s/in-%016" PRIx64 ".tmp", feed->dir, feed->token);
        feed->fd = open(feed->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (feed->fd < 0)
            return error_sys(err, errno, feed->path, "cannot create");
        struct stat st;
        if (geteuid() == 0 && stat(feed->dir, &st) == 0)
            (void)!fchown(feed->fd, st.st_uid, st.st_gid); /* the agent is to read it */
    }
    unsigned char header[RECORD_HEADER_BYTES];
    record_header(record, header);
    rc = file_write_all(feed->fd, header, sizeof header, feed->path, err);
    if (!rc)
        rc = file_write_all(feed->fd, record->bytes, record->size, feed->path, err);
    feed->size += need;
    return rc;
}

int spool_feed_close(struct spool_feed *feed, struct error *err)
{
    int rc = publish(feed, err);
    mem_free(feed);
    return rc;
}
