#include "agent/spool.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spool_sync.h"
#include "base/buf.h"
#include "base/crc.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/str.h"

#define SPOOL_PATH_BYTES 512
#define SPOOL_ACK_BYTES 20
#define SPOOL_LOAD_BYTES (LIMIT_SPOOL_SEGMENT_BYTES + LIMIT_SPOOL_RECORD_BYTES + RECORD_HEADER_BYTES)

struct segment {
    uint64_t number;
    uint64_t size;
    int64_t written_ns; /* last, on the monotonic clock; before its zero for what an earlier process wrote */
};

/* A record in memory while the disk refuses; bytes hold header and payload. */
struct waiting {
    struct waiting *next;
    uint64_t serial;
    struct record record;
    size_t size;
    unsigned char bytes[];
};

struct spool {
    char dir[SPOOL_PATH_BYTES - 64];
    struct spool_options options;
    struct segment *segments; /* ascending; the last one is written to while fd >= 0 */
    size_t segment_count;
    uint64_t next_number;
    uint64_t disk_bytes; /* of all segments, acknowledged or not */
    int fd, ack_fd, dir_fd;
    uint64_t acked_segment, acked_offset;
    struct waiting *waiting_first, **waiting_end;
    uint64_t waiting_bytes, serial;
    unsigned unsynced; /* records since the last sync was asked for */
    bool must_rotate;  /* the last segment is not ours to append to */
    bool is_refused;   /* the disk refused the last write */
    uint64_t told_segment, told_offset; /* damage up to here has been reported */
    uint64_t dropped_rounds, dropped_bytes, damaged_bytes;
    unsigned aside_count;
    struct spool_sync *sync;
    struct buf scratch;
};

/* --- names and reports -------------------------------------------------------------------------------------------- */

static const char *segment_path(const struct spool *spool, uint64_t number, char *path)
{
    (void)snprintf(path, SPOOL_PATH_BYTES, "%s/%016" PRIx64 ".seg", spool->dir, number);
    return path;
}

static void report(const struct spool *spool, const struct error *err)
{
    if (spool->options.report)
        spool->options.report(spool->options.user, err);
}

static void report_text(const struct spool *spool, enum error_code code, const char *where, const char *text)
{
    struct error err;
    (void)error_set(&err, code, where, "%s", text);
    report(spool, &err);
}

/* Keeps damaged bytes for a person to look at; a few files only, since a dying disk damages without end. */
static void keep_aside(struct spool *spool, uint64_t segment, uint64_t offset, const void *bytes, size_t size)
{
    if (spool->aside_count >= LIMIT_SPOOL_ASIDE_FILES)
        return;
    char path[SPOOL_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%016" PRIx64 ".%" PRIu64 ".bad", spool->dir, segment, offset);
    spool->aside_count++;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (file_write_all(fd, bytes, size, path, NULL))
        (void)unlink(path); /* it is the disk that is broken: the report has to do */
    (void)close(fd);
}

static void on_damage(struct spool *spool, uint64_t segment, uint64_t offset, const void *bytes, size_t size)
{
    if (segment < spool->told_segment || (segment == spool->told_segment && offset < spool->told_offset))
        return; /* read again before it was acknowledged */
    spool->told_segment = segment;
    spool->told_offset = offset + size;
    spool->damaged_bytes += size;
    keep_aside(spool, segment, offset, bytes, size);
    char path[SPOOL_PATH_BYTES];
    struct error err;
    (void)error_set(&err, E_CORRUPT, segment_path(spool, segment, path),
                    "%zu damaged bytes at offset %" PRIu64 " were stepped over and kept in a .bad file", size, offset);
    report(spool, &err);
}

/* --- segments ----------------------------------------------------------------------------------------------------- */

static void add_segment(struct spool *spool, uint64_t number, uint64_t size)
{
    size_t have = spool->segment_count;
    spool->segments = mem_resize(spool->segments, have * sizeof *spool->segments,
                                 (have + 1) * sizeof *spool->segments);
    spool->segments[spool->segment_count++] =
        (struct segment){.number = number, .size = size, .written_ns = clock_mono_ns(spool->options.clock)};
    spool->disk_bytes += size;
    if (number >= spool->next_number)
        spool->next_number = number + 1;
}

static void close_segment(struct spool *spool)
{
    if (spool->fd < 0)
        return;
    spool_sync_ask(spool->sync, spool->fd);
    (void)close(spool->fd);
    spool->fd = -1;
}

/* Takes segment i out of the list; its file is removed, or kept under another name when it cannot be read. */
static void remove_segment(struct spool *spool, size_t i, bool is_unreadable)
{
    char path[SPOOL_PATH_BYTES], aside[SPOOL_PATH_BYTES + 8];
    segment_path(spool, spool->segments[i].number, path);
    if (i + 1 == spool->segment_count && spool->fd >= 0) {
        (void)close(spool->fd);
        spool->fd = -1;
    }
    (void)snprintf(aside, sizeof aside, "%s.bad", path);
    if (is_unreadable)
        (void)rename(path, aside);
    else
        (void)unlink(path);
    spool->disk_bytes -= spool->segments[i].size;
    spool->segment_count--;
    memmove(&spool->segments[i], &spool->segments[i + 1], (spool->segment_count - i) * sizeof *spool->segments);
}

static uint64_t acked_in(const struct spool *spool, const struct segment *segment)
{
    return segment->number == spool->acked_segment ? spool->acked_offset : 0;
}

/* Loads a segment from offset on. */
static int load(const struct spool *spool, uint64_t number, uint64_t offset, struct buf *buf, struct error *err)
{
    char path[SPOOL_PATH_BYTES];
    int fd = open(segment_path(spool, number, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open");
    int rc = 0;
    for (;;) {
        unsigned char *to = buf_reserve(buf, 65536);
        if (!to) {
            rc = error_set(err, E_LIMIT, path, "larger than a segment can be");
            break;
        }
        ssize_t n = pread(fd, to, 65536, (off_t)(offset + buf->size));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = error_sys(err, errno, path, "cannot read");
        if (n <= 0)
            break;
        buf_grow(buf, (size_t)n);
    }
    (void)close(fd);
    return rc;
}

/* The segment to append to, with room for size bytes. */
static int open_segment(struct spool *spool, size_t size, struct error *err)
{
    struct segment *last = spool->segment_count ? &spool->segments[spool->segment_count - 1] : NULL;
    bool is_new = !last || spool->must_rotate || (last->size > 0 && last->size + size > spool->options.segment_bytes);
    if (!is_new && spool->fd >= 0)
        return 0;
    close_segment(spool);
    uint64_t number = is_new ? spool->next_number : last->number;
    char path[SPOOL_PATH_BYTES];
    segment_path(spool, number, path);
    spool->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (spool->fd < 0)
        return error_sys(err, errno, path, "cannot create");
    if (is_new) {
        add_segment(spool, number, 0);
        spool_sync_ask(spool->sync, spool->dir_fd);
        spool->must_rotate = false;
    }
    return 0;
}

/* How many rounds of segment i nobody has acknowledged. */
static uint64_t count_rounds(const struct spool *spool, const struct segment *segment)
{
    struct buf buf;
    struct record record;
    uint64_t count = 0;
    size_t at = 0, start;
    buf_init(&buf, SPOOL_LOAD_BYTES);
    if (load(spool, segment->number, acked_in(spool, segment), &buf, NULL) == 0) {
        while (record_find(buf.data, buf.size, at, &record, &start, &at) == RECORD_FOUND)
            count++;
    }
    buf_done(&buf);
    return count;
}

static void drop_oldest(struct spool *spool, const char *why)
{
    const struct segment *oldest = &spool->segments[0];
    uint64_t lost = oldest->size - acked_in(spool, oldest), rounds = lost ? count_rounds(spool, oldest) : 0;
    char path[SPOOL_PATH_BYTES];
    struct error err;
    (void)error_set(&err, E_LIMIT, segment_path(spool, oldest->number, path),
                    "%s: its oldest %" PRIu64 " rounds (%" PRIu64 " bytes) were dropped", why, rounds, lost);
    remove_segment(spool, 0, false);
    if (!lost)
        return; /* it was all acknowledged */
    spool->dropped_bytes += lost;
    spool->dropped_rounds += rounds;
    limit_hit(LIMIT_KIND_SPOOL);
    report(spool, &err);
}

/* The oldest segment goes when the spool is full. */
static void make_room(struct spool *spool, size_t size)
{
    while (spool->segment_count > 0 && (spool->disk_bytes + size > spool->options.ceiling_bytes ||
                                        spool->segment_count >= LIMIT_SPOOL_SEGMENTS))
        drop_oldest(spool, "the spool is full");
}

static void drop_old(struct spool *spool)
{
    char why[80];
    int64_t hours = spool->options.age_s / 3600, now_ns = clock_mono_ns(spool->options.clock);
    (void)snprintf(why, sizeof why, "the server has not taken rounds for %" PRId64 " hours", hours);
    while (spool->options.age_s > 0 && spool->segment_count > 0 &&
           now_ns - spool->segments[0].written_ns > spool->options.age_s * CLOCK_S)
        drop_oldest(spool, why);
}

static int write_bytes(struct spool *spool, const void *bytes, size_t size, struct error *err)
{
    make_room(spool, size);
    int rc = open_segment(spool, size, err);
    if (rc)
        return rc;
    struct segment *last = &spool->segments[spool->segment_count - 1];
    char path[SPOOL_PATH_BYTES];
    rc = file_write_all(spool->fd, bytes, size, segment_path(spool, last->number, path), err);
    if (rc) {
        /* A part may be there: it goes, and if it cannot, the segment ends here and the reader cuts the torn tail. */
        if (ftruncate(spool->fd, (off_t)last->size) != 0)
            spool->must_rotate = true;
        return rc;
    }
    last->size += size;
    last->written_ns = clock_mono_ns(spool->options.clock);
    spool->disk_bytes += size;
    if (++spool->unsynced >= SPOOL_SYNC_RECORDS) {
        spool_sync_ask(spool->sync, spool->fd);
        spool->unsynced = 0;
    }
    return 0;
}

/* --- memory, while the disk refuses ------------------------------------------------------------------------------- */

static void drop_waiting(struct spool *spool)
{
    struct waiting *first = spool->waiting_first;
    spool->waiting_first = first->next;
    if (!spool->waiting_first)
        spool->waiting_end = &spool->waiting_first;
    spool->waiting_bytes -= first->size;
    mem_free(first);
}

static void keep_waiting(struct spool *spool, const struct record *record, const void *bytes, size_t size)
{
    uint64_t dropped = 0;
    while (spool->waiting_first && spool->waiting_bytes + size > LIMIT_SPOOL_MEMORY_BYTES) {
        dropped += spool->waiting_first->size;
        spool->dropped_rounds++;
        drop_waiting(spool);
    }
    if (dropped) {
        if (limit_hits(LIMIT_KIND_SPOOL) == 0)
            report_text(spool, E_LIMIT, spool->dir, "the disk refuses and memory is full: the oldest rounds are lost");
        limit_hit(LIMIT_KIND_SPOOL);
        spool->dropped_bytes += dropped;
    }
    struct waiting *waiting = mem_alloc(sizeof *waiting + size);
    memcpy(waiting->bytes, bytes, size);
    waiting->size = size;
    waiting->serial = ++spool->serial;
    waiting->record = *record;
    waiting->record.bytes = waiting->bytes + RECORD_HEADER_BYTES;
    *spool->waiting_end = waiting;
    spool->waiting_end = &waiting->next;
    spool->waiting_bytes += size;
}

static void on_refused(struct spool *spool, const struct error *why)
{
    if (!spool->is_refused) {
        struct error err = *why;
        size_t used = strlen(err.text);
        (void)snprintf(err.text + used, sizeof err.text - used, "; rounds wait in memory until the disk takes them");
        report(spool, &err);
    }
    spool->is_refused = true;
}

static void flush_waiting(struct spool *spool)
{
    while (spool->waiting_first) {
        struct error err;
        if (write_bytes(spool, spool->waiting_first->bytes, spool->waiting_first->size, &err)) {
            on_refused(spool, &err);
            return;
        }
        drop_waiting(spool);
    }
    if (spool->is_refused)
        report_text(spool, E_IO, spool->dir, "the disk takes rounds again");
    spool->is_refused = false;
}

int spool_append(struct spool *spool, const struct record *record, struct error *err)
{
    if (record->size > LIMIT_SPOOL_RECORD_BYTES)
        return error_set(err, E_LIMIT, spool->dir, "a round of %zu bytes is larger than the %u a record may have",
                         record->size, LIMIT_SPOOL_RECORD_BYTES);
    unsigned char header[RECORD_HEADER_BYTES];
    record_header(record, header);
    buf_reset(&spool->scratch);
    buf_put(&spool->scratch, header, sizeof header);
    buf_put(&spool->scratch, record->bytes, record->size);
    struct error refusal;
    if (!spool->is_refused && write_bytes(spool, spool->scratch.data, spool->scratch.size, &refusal) == 0)
        return 0;
    if (!spool->is_refused)
        on_refused(spool, &refusal);
    keep_waiting(spool, record, spool->scratch.data, spool->scratch.size);
    return 0;
}

void spool_tick(struct spool *spool)
{
    drop_old(spool);
    if (spool->is_refused)
        flush_waiting(spool);
    if (spool->unsynced > 0 && spool->fd >= 0) {
        spool_sync_ask(spool->sync, spool->fd);
        spool->unsynced = 0;
    }
    int failure = spool_sync_failure(spool->sync);
    if (failure) {
        struct error err;
        (void)error_sys(&err, failure, spool->dir, "cannot sync");
        report(spool, &err);
    }
}

/* --- reading and acknowledging ------------------------------------------------------------------------------------ */

/* Reads one segment from mark->offset on; false when fn wants no more. */
static bool read_segment(struct spool *spool, size_t i, spool_fn *fn, void *user, struct spool_mark *mark,
                         size_t *count)
{
    uint64_t number = spool->segments[i].number, base = mark->offset;
    struct buf buf;
    struct error err;
    buf_init(&buf, SPOOL_LOAD_BYTES);
    if (load(spool, number, base, &buf, &err)) {
        report(spool, &err);
        spool->damaged_bytes += spool->segments[i].size - base;
        buf_done(&buf);
        remove_segment(spool, i, true);
        return false; /* the list changed: the next call reads on behind it */
    }
    size_t at = 0;
    bool is_wanted = true;
    while (is_wanted) {
        struct record record;
        size_t start, end;
        enum record_state state = record_find(buf.data, buf.size, at, &record, &start, &end);
        if (state != RECORD_FOUND) {
            if (state != RECORD_END)
                on_damage(spool, number, base + at, buf.data + at, buf.size - at);
            mark->offset = base + buf.size;
            break;
        }
        if (start > at)
            on_damage(spool, number, base + at, buf.data + at, start - at);
        mark->offset = base + start;
        is_wanted = fn(user, &record);
        if (is_wanted) {
            at = end;
            mark->offset = base + end;
            ++*count;
        }
    }
    buf_done(&buf);
    return is_wanted;
}

size_t spool_read(struct spool *spool, spool_fn *fn, void *user, struct spool_mark *ret_mark)
{
    struct spool_mark mark = {.segment = spool->acked_segment, .offset = spool->acked_offset};
    size_t count = 0;
    bool is_wanted = true;
    for (size_t i = 0; i < spool->segment_count && is_wanted; i++) {
        mark.offset = acked_in(spool, &spool->segments[i]);
        mark.segment = spool->segments[i].number;
        is_wanted = read_segment(spool, i, fn, user, &mark, &count);
    }
    for (const struct waiting *w = spool->waiting_first; w && is_wanted; w = w->next) {
        is_wanted = fn(user, &w->record);
        if (is_wanted) {
            mark.memory = w->serial;
            count++;
        }
    }
    *ret_mark = mark;
    if (count == 0)
        spool_ack(spool, &mark); /* only damage, if anything, was passed */
    return count;
}

static void write_ack(const struct spool *spool)
{
    uint64_t numbers[2] = {spool->acked_segment, spool->acked_offset};
    unsigned char bytes[SPOOL_ACK_BYTES];
    memcpy(bytes, numbers, sizeof numbers);
    uint32_t sum = crc32c(0, bytes, sizeof numbers);
    memcpy(bytes + sizeof numbers, &sum, sizeof sum);
    if (pwrite(spool->ack_fd, bytes, sizeof bytes, 0) != sizeof bytes)
        return; /* then some rounds are sent twice after a restart */
}

void spool_ack(struct spool *spool, const struct spool_mark *mark)
{
    while (spool->waiting_first && spool->waiting_first->serial <= mark->memory)
        drop_waiting(spool);
    if (mark->segment < spool->acked_segment ||
        (mark->segment == spool->acked_segment && mark->offset <= spool->acked_offset))
        return;
    spool->acked_segment = mark->segment;
    spool->acked_offset = mark->offset;
    write_ack(spool);
    while (spool->segment_count > 0) {
        const struct segment *first = &spool->segments[0];
        bool is_last = spool->segment_count == 1;
        bool is_done = first->number < mark->segment ||
                       (first->number == mark->segment && mark->offset >= first->size &&
                        (!is_last || first->size >= spool->options.segment_bytes / 4));
        if (!is_done)
            break;
        remove_segment(spool, 0, false);
    }
}

void spool_set_aside(struct spool *spool, const struct record *record, const char *why)
{
    unsigned char header[RECORD_HEADER_BYTES];
    record_header(record, header);
    buf_reset(&spool->scratch);
    buf_put(&spool->scratch, header, sizeof header);
    buf_put(&spool->scratch, record->bytes, record->size);
    keep_aside(spool, spool->acked_segment, spool->acked_offset, spool->scratch.data, spool->scratch.size);
    struct error err;
    (void)error_set(&err, E_INVALID, spool->dir,
                    "round %" PRId64 " of test %" PRIu64 " was refused by the server (%s) and kept in a .bad file",
                    record->round_id, record->test_id, why);
    report(spool, &err);
}

void spool_state(const struct spool *spool, struct spool_state *ret_state)
{
    uint64_t acked = spool->segment_count ? acked_in(spool, &spool->segments[0]) : 0;
    *ret_state = (struct spool_state){.bytes = spool->disk_bytes - acked + spool->waiting_bytes,
                                      .memory_bytes = spool->waiting_bytes,
                                      .segments = spool->segment_count,
                                      .dropped_rounds = spool->dropped_rounds,
                                      .dropped_bytes = spool->dropped_bytes,
                                      .damaged_bytes = spool->damaged_bytes};
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int compare_segments(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool segment_number(const char *name, uint64_t *ret_number)
{
    unsigned char raw[8];
    char digits[17];
    if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0)
        return false;
    memcpy(digits, name, 16);
    digits[16] = 0;
    if (str_unhex(digits, raw, sizeof raw))
        return false;
    *ret_number = 0;
    for (size_t i = 0; i < sizeof raw; i++)
        *ret_number = *ret_number << 8 | raw[i];
    return true;
}

/* How old a segment of an earlier process is taken to be. */
static int64_t age_ns(const struct spool *spool, int64_t written_s)
{
    int64_t age_s = clock_wall_ns(spool->options.clock) / CLOCK_S - written_s;
    int64_t most_s = spool->options.age_s > SPOOL_GRACE_S ? spool->options.age_s - SPOOL_GRACE_S : 0;
    return (age_s < 0 ? 0 : age_s < most_s ? age_s : most_s) * CLOCK_S;
}

static int list_segments(struct spool *spool, struct error *err)
{
    DIR *dir = opendir(spool->dir);
    if (!dir)
        return error_sys(err, errno, spool->dir, "cannot list the directory");
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        uint64_t number;
        struct stat st;
        size_t length = strlen(entry->d_name);
        if (segment_number(entry->d_name, &number) && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0) {
            add_segment(spool, number, (uint64_t)st.st_size);
            spool->segments[spool->segment_count - 1].written_ns -= age_ns(spool, st.st_mtim.tv_sec);
        } else if (length > 4 && strcmp(entry->d_name + length - 4, ".bad") == 0)
            spool->aside_count++;
    }
    (void)closedir(dir);
    if (spool->segment_count > 0)
        qsort(spool->segments, spool->segment_count, sizeof *spool->segments, compare_segments);
    return 0;
}

/* The newest segment is the only one that an interrupted write can have torn. */
static int recover_tail(struct spool *spool, struct error *err)
{
    struct segment *last = &spool->segments[spool->segment_count - 1];
    struct buf buf;
    buf_init(&buf, SPOOL_LOAD_BYTES);
    int rc = load(spool, last->number, 0, &buf, err);
    if (rc) {
        buf_done(&buf);
        return rc;
    }
    struct record record;
    size_t at = 0, start, end;
    enum record_state state;
    while ((state = record_find(buf.data, buf.size, at, &record, &start, &end)) == RECORD_FOUND) {
        if (spool->options.seen)
            spool->options.seen(spool->options.user, &record);
        at = end;
    }
    if (state == RECORD_DAMAGED)
        on_damage(spool, last->number, at, buf.data + at, buf.size - at);
    char path[SPOOL_PATH_BYTES];
    if (at < last->size && truncate(segment_path(spool, last->number, path), (off_t)at) != 0)
        rc = error_sys(err, errno, path, "cannot cut off the torn end");
    if (!rc) {
        spool->disk_bytes -= last->size - at;
        last->size = at;
    }
    buf_done(&buf);
    return rc;
}

static int read_ack(struct spool *spool, struct error *err)
{
    char path[SPOOL_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/acked", spool->dir);
    spool->ack_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->ack_fd < 0)
        return error_sys(err, errno, path, "cannot open");
    unsigned char bytes[SPOOL_ACK_BYTES];
    uint64_t numbers[2];
    uint32_t sum;
    if (pread(spool->ack_fd, bytes, sizeof bytes, 0) != sizeof bytes)
        return 0; /* new, or cut off: what is here is sent again */
    memcpy(numbers, bytes, sizeof numbers);
    memcpy(&sum, bytes + sizeof numbers, sizeof sum);
    if (sum != crc32c(0, bytes, sizeof numbers)) {
        report_text(spool, E_CORRUPT, path, "damaged: rounds sent before are sent again");
        return 0;
    }
    spool->acked_segment = numbers[0];
    spool->acked_offset = numbers[1];
    if (spool->acked_segment >= spool->next_number)
        spool->next_number = spool->acked_segment + 1;
    return 0;
}

/* After a power cut the acknowledgement may be ahead of the file it speaks of; then new records would look sent. */
static void clamp_ack(struct spool *spool)
{
    while (spool->segment_count > 0 && spool->segments[0].number < spool->acked_segment)
        remove_segment(spool, 0, false);
    if (spool->segment_count == 0 || spool->segments[0].number != spool->acked_segment)
        return;
    if (spool->acked_offset > spool->segments[0].size) {
        spool->acked_offset = spool->segments[0].size;
        write_ack(spool);
    }
}

static int open_all(struct spool *spool, struct error *err)
{
    int rc = file_make_dir(spool->dir, 0700, err);
    if (rc)
        return rc;
    spool->dir_fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->dir_fd < 0)
        return error_sys(err, errno, spool->dir, "cannot open the directory");
    rc = list_segments(spool, err);
    if (!rc)
        rc = read_ack(spool, err);
    if (!rc)
        rc = spool_sync_new(&spool->sync, err);
    if (rc)
        return rc;
    struct error damage;
    if (spool->segment_count > 0 && recover_tail(spool, &damage)) {
        report(spool, &damage); /* reading meets it again, when its turn comes */
        spool->must_rotate = true;
    }
    clamp_ack(spool);
    return 0;
}

int spool_open(const char *dir, const struct spool_options *options, struct spool **ret_spool, struct error *err)
{
    struct spool *spool = mem_alloc(sizeof *spool);
    spool->options = *options;
    if (!spool->options.ceiling_bytes)
        spool->options.ceiling_bytes = LIMIT_SPOOL_BYTES;
    if (!spool->options.segment_bytes || spool->options.segment_bytes > LIMIT_SPOOL_SEGMENT_BYTES)
        spool->options.segment_bytes = LIMIT_SPOOL_SEGMENT_BYTES;
    if (!spool->options.clock)
        spool->options.clock = &clock_real;
    spool->fd = spool->ack_fd = spool->dir_fd = -1;
    spool->waiting_end = &spool->waiting_first;
    spool->next_number = 1;
    buf_init(&spool->scratch, LIMIT_SPOOL_RECORD_BYTES + RECORD_HEADER_BYTES);
    int rc = str_copy(spool->dir, sizeof spool->dir, dir) ? open_all(spool, err)
                                                          : error_set(err, E_RANGE, dir, "the path is too long");
    if (rc) {
        spool_close(spool);
        return rc;
    }
    *ret_spool = spool;
    return 0;
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->is_refused)
        flush_waiting(spool);
    if (spool->sync)
        close_segment(spool);
    spool_sync_free(spool->sync);
    while (spool->waiting_first)
        drop_waiting(spool);
    if (spool->ack_fd >= 0)
        (void)close(spool->ack_fd);
    if (spool->dir_fd >= 0)
        (void)close(spool->dir_fd);
    buf_done(&spool->scratch);
    mem_free(spool->segments);
    mem_free(spool);
}

/* --- adopting ----------------------------------------------------------------------------------------------------- */

static bool is_feed_name(const char *name)
{
    size_t length = strlen(name);
    return str_starts(name, "in-") && length > 7 && length < 48 && strcmp(name + length - 4, ".seg") == 0;
}

/* The first in the order in which feeds wrote them; false when there is none. */
static bool find_feed(const struct spool *spool, char *ret_name, size_t size)
{
    DIR *dir = opendir(spool->dir);
    bool is_found = false;
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (is_feed_name(entry->d_name) && (!is_found || strcmp(entry->d_name, ret_name) < 0))
            is_found = str_copy(ret_name, size, entry->d_name);
    }
    if (dir)
        (void)closedir(dir);
    return is_found;
}

void spool_adopt(struct spool *spool)
{
    char name[64];
    while (find_feed(spool, name, sizeof name)) {
        char from[SPOOL_PATH_BYTES], to[SPOOL_PATH_BYTES];
        struct stat st;
        (void)snprintf(from, sizeof from, "%s/%s", spool->dir, name);
        if (stat(from, &st) != 0)
            return;
        make_room(spool, (size_t)st.st_size);
        close_segment(spool);
        if (rename(from, segment_path(spool, spool->next_number, to)) != 0)
            return;
        add_segment(spool, spool->next_number, (uint64_t)st.st_size);
        spool->must_rotate = true;
    }
}
