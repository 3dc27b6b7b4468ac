#include "facts/geo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "facts/geo_read.h"
#include "facts/scope.h"

#define PIECE_BYTES (4u << 20) /* copied at once: a few ms */
#define CACHED_BYTES 640u      /* of one address at most, on the average */
#define NAME_BYTES 256

struct file {
    char name[NAME_BYTES];
    struct stat seen; /* as it was when it was read last */
    bool is_there, is_open, is_told_damaged, is_told_uncopied;
    MMDB_s mmdb;
    struct geo_kind kind;
};

struct copying {
    struct file *file; /* NULL = nothing is copied */
    int from, to;
    struct stat begun;
};

struct cached {
    union sock_addr addr;
    bool is_known;
    struct geo_facts facts;
};

struct geo {
    struct geo_options options;
    struct file files[LIMIT_GEO_FILES];
    size_t count;
    struct copying copying;
    int dir_errno; /* told already */
    bool is_full_told;
    uint64_t generation;
    struct map cache;
    struct arena arena; /* of the cache */
};

static void forget(struct geo *geo)
{
    map_done(&geo->cache);
    arena_reset(&geo->arena);
}

struct geo *geo_new(const struct geo_options *options)
{
    struct geo *geo = mem_alloc(sizeof *geo);
    geo->options = *options;
    if (!geo->options.max_addresses)
        geo->options.max_addresses = LIMIT_GEO_ADDRESSES;
    arena_init(&geo->arena, (size_t)geo->options.max_addresses * CACHED_BYTES);
    return geo;
}

static void close_copying(struct geo *geo)
{
    if (!geo->copying.file)
        return;
    (void)close(geo->copying.from);
    (void)close(geo->copying.to);
    geo->copying.file = NULL;
}

static void close_file(struct geo *geo, struct file *file)
{
    if (!file->is_open)
        return;
    MMDB_close(&file->mmdb);
    file->is_open = false;
    geo->generation++;
    forget(geo);
}

void geo_free(struct geo *geo)
{
    if (!geo)
        return;
    close_copying(geo);
    for (size_t i = 0; i < geo->count; i++)
        close_file(geo, &geo->files[i]);
    map_done(&geo->cache);
    arena_done(&geo->arena);
    mem_free(geo);
}

uint64_t geo_generation(const struct geo *geo)
{
    return geo ? geo->generation : 0;
}

size_t geo_count(const struct geo *geo)
{
    size_t count = 0;
    for (size_t i = 0; geo && i < geo->count; i++)
        count += geo->files[i].is_open;
    return count;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void report(struct geo *geo, const char *name, struct error *err)
{
    (void)snprintf(err->where, sizeof err->where, "%.100s%s%.55s", geo->options.dir, name ? "/" : "", name ? name : "");
    if (geo->options.report)
        geo->options.report(geo->options.user, err);
}

/* A change that cannot be used leaves what there was. */
static void report_file(struct geo *geo, const struct file *file, struct error *err)
{
    if (file->is_open) {
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used, "; what it held before is still used");
    }
    report(geo, file->name, err);
}

/* The disk may be full for a while: tried again at every look, told once. */
static void report_uncopied(struct geo *geo, struct file *file, struct error *err)
{
    memset(&file->seen, 0, sizeof file->seen);
    if (!file->is_told_uncopied)
        report_file(geo, file, err);
    file->is_told_uncopied = true;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static const char *explain(int status)
{
    bool is_system = status == MMDB_FILE_OPEN_ERROR || status == MMDB_IO_ERROR || status == MMDB_OUT_OF_MEMORY_ERROR;
    return is_system ? MMDB_strerror(status) : "this is no whole database in MaxMind's format";
}

/* Opens what path leads to in place of what the file held before. */
static void open_database(struct geo *geo, struct file *file, const char *path)
{
    MMDB_s mmdb;
    struct geo_kind kind;
    struct error err;
    int status = MMDB_open(path, MMDB_MODE_MMAP, &mmdb);
    if (status != MMDB_SUCCESS) {
        (void)error_set(&err, E_CORRUPT, "", "cannot be used: %s", explain(status));
        report_file(geo, file, &err);
        return;
    }
    const char *type = mmdb.metadata.database_type ? mmdb.metadata.database_type : "";
    if (geo_read_kind(type, &kind, &err)) {
        report_file(geo, file, &err);
        MMDB_close(&mmdb);
        return;
    }
    close_file(geo, file);
    file->mmdb = mmdb;
    file->kind = kind;
    file->is_open = true;
    file->is_told_damaged = false;
    geo->generation++;
    forget(geo);
    char whole[PATH_MAX];
    (void)snprintf(whole, sizeof whole, "%s/%s", geo->options.dir, file->name);
    struct geo_database database = {whole, file->mmdb.metadata.database_type, (int64_t)file->mmdb.metadata.build_epoch};
    if (geo->options.opened)
        geo->options.opened(geo->options.user, &database);
}

static int make_scratch(struct geo *geo, struct error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/.geo-XXXXXX", geo->options.scratch_dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot be copied to %.200s", geo->options.scratch_dir);
    (void)unlink(path);
    return fd;
}

/* Begins to read a file that is new or has changed. */
static void begin(struct geo *geo, struct file *file, const struct stat *now)
{
    char path[PATH_MAX];
    struct error err;
    (void)snprintf(path, sizeof path, "%s/%s", geo->options.dir, file->name);
    file->seen = *now;
    if (!geo->options.scratch_dir) {
        open_database(geo, file, path);
        return;
    }
    struct copying copying = {.file = file, .from = open(path, O_RDONLY | O_CLOEXEC)};
    if (copying.from < 0 || fstat(copying.from, &copying.begun) != 0) {
        (void)error_sys(&err, errno, path, "cannot be read");
        report_file(geo, file, &err);
        if (copying.from >= 0)
            (void)close(copying.from);
        return;
    }
    copying.to = make_scratch(geo, &err);
    if (copying.to < 0) {
        report_uncopied(geo, file, &err);
        (void)close(copying.from);
        return;
    }
    geo->copying = copying;
}

/* False: it did not work, and trying again at once would not help. */
static bool go_on(struct geo *geo)
{
    struct copying *copying = &geo->copying;
    struct file *file = copying->file;
    struct error err;
    struct stat now;
    ssize_t copied = sendfile(copying->to, copying->from, NULL, PIECE_BYTES);
    if (copied > 0)
        return true;
    if (copied < 0) {
        (void)error_sys(&err, errno, "", "cannot be copied to %.200s", geo->options.scratch_dir);
        report_uncopied(geo, file, &err);
    } else if (fstat(copying->from, &now) != 0 || !is_same(&now, &copying->begun)) {
        memset(&file->seen, 0, sizeof file->seen); /* it changed while it was copied: once more */
    } else {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", copying->to);
        file->seen = copying->begun;
        file->is_told_uncopied = false;
        open_database(geo, file, path);
    }
    close_copying(geo);
    return copied == 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);
    return length > end_length && strcmp(name + length - end_length, end) == 0;
}

static bool is_packed(const char *name)
{
    static const char *const ends[] = {".gz", ".tgz", ".zip", ".tar", ".xz", ".bz2", ".zst", ".csv", ".dat"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (ends_with(name, ends[i]))
            return true;
    }
    return false;
}

/* The place of a file, a new one where it is not known yet; NULL: it is none of ours, or there are too many. */
static struct file *place(struct geo *geo, const char *name)
{
    struct error err;
    bool is_database = ends_with(name, ".mmdb");
    if (name[0] == '.' || strlen(name) >= NAME_BYTES || (!is_database && !is_packed(name)))
        return NULL;
    struct file *free_place = NULL;
    for (size_t i = 0; i < geo->count; i++) {
        if (strcmp(geo->files[i].name, name) == 0)
            return &geo->files[i];
        if (!*geo->files[i].name)
            free_place = &geo->files[i];
    }
    if (!free_place && geo->count < LIMIT_GEO_FILES)
        free_place = &geo->files[geo->count++];
    if (!free_place) {
        if (!geo->is_full_told)
            report(geo, name,
                   (error_set(&err, E_LIMIT, "", "is not read: there are more than %u files", LIMIT_GEO_FILES), &err));
        geo->is_full_told = true;
        return NULL;
    }
    memset(free_place, 0, sizeof *free_place);
    (void)str_copy(free_place->name, sizeof free_place->name, name);
    if (!is_database)
        report(geo, name,
               (error_set(&err, E_NOT_SUPPORTED, "",
                          "is not read: only files that end in .mmdb are; unpack "
                          "it, or take the MMDB format"),
                &err));
    return free_place;
}

static void look_at(struct geo *geo, int dir_fd, const char *name)
{
    struct stat now;
    if (fstatat(dir_fd, name, &now, 0) != 0 || !S_ISREG(now.st_mode))
        return;
    struct file *file = place(geo, name);
    if (!file)
        return;
    file->is_there = true;
    if (ends_with(name, ".mmdb") && !geo->copying.file && !is_same(&now, &file->seen))
        begin(geo, file, &now);
}

static void drop_gone(struct geo *geo)
{
    for (size_t i = 0; i < geo->count; i++) {
        struct file *file = &geo->files[i];
        if (file->is_there || !*file->name)
            continue;
        close_file(geo, file);
        file->name[0] = 0;
        geo->is_full_told = false;
    }
}

bool geo_refresh(struct geo *geo)
{
    struct error err;
    if (geo->copying.file)
        return go_on(geo);
    DIR *dir = opendir(geo->options.dir);
    if (!dir && errno != geo->dir_errno) {
        geo->dir_errno = errno;
        (void)error_sys(&err, errno, "", "no databases are read");
        report(geo, NULL, &err);
    }
    if (!dir)
        return false;
    geo->dir_errno = 0;
    for (size_t i = 0; i < geo->count; i++)
        geo->files[i].is_there = false;
    for (const struct dirent *entry; (entry = readdir(dir));)
        look_at(geo, dirfd(dir), entry->d_name);
    (void)closedir(dir);
    drop_gone(geo);
    return geo->copying.file != NULL;
}

/* --- lookups ------------------------------------------------------------------------------------------------------ */

static uint8_t rank_of(const struct file *file, bool is_network)
{
    return is_network ? file->kind.network : file->kind.place;
}

/* The best database for what is asked that has not been asked yet: by its kind, then by its age. */
static struct file *best(struct geo *geo, bool is_network, bool is_private, uint32_t asked)
{
    struct file *found = NULL;
    for (size_t i = 0; i < geo->count; i++) {
        struct file *file = &geo->files[i];
        uint8_t rank = file->is_open ? rank_of(file, is_network) : 0;
        if (!rank || file->kind.is_private != is_private || (asked & (1u << i)))
            continue;
        if (!found || rank > rank_of(found, is_network) ||
            (rank == rank_of(found, is_network) && file->mmdb.metadata.build_epoch > found->mmdb.metadata.build_epoch))
            found = file;
    }
    return found;
}

static void search(struct geo *geo, const union sock_addr *addr, bool is_network, struct geo_record *record)
{
    bool is_private = !scope_is_public(addr);
    uint32_t asked = 0;
    struct file *file;
    while (!(is_network ? record->has_network : record->has_place) &&
           (file = best(geo, is_network, is_private, asked))) {
        struct geo_kind kind = {.network = is_network ? 1 : 0, .place = is_network ? 0 : 1, .is_private = is_private};
        struct error err;
        asked |= 1u << (file - geo->files);
        if (geo_read(&file->mmdb, &kind, addr, record, &err) == 0 || file->is_told_damaged)
            continue;
        file->is_told_damaged = true;
        report(geo, file->name, &err);
    }
}

static const char *keep(struct geo *geo, bool is_known, const char *text)
{
    return is_known && *text ? arena_strdup(&geo->arena, text) : NULL;
}

static bool fill(struct geo *geo, const union sock_addr *addr, struct geo_facts *facts)
{
    struct geo_record record = {0};
    char text[4 * GEO_TEXT_BYTES];
    search(geo, addr, true, &record);
    search(geo, addr, false, &record);
    *facts = (struct geo_facts){.asn = record.asn};
    facts->network = keep(geo, geo_network_text(&record, text, sizeof text), text);
    facts->location = keep(geo, geo_location_text(&record, text, sizeof text), text);
    facts->prefix = keep(geo, record.has_prefix, scope_text(addr, record.prefix_length, text, sizeof text));
    facts->country = keep(geo, record.has_place, record.iso);
    facts->name = keep(geo, true, record.name);
    return record.has_network || record.has_place || *record.name;
}

/* NULL: no room. */
static struct cached *remember(struct geo *geo, const union sock_addr *addr, uint64_t key)
{
    if (geo->cache.count >= geo->options.max_addresses || geo->arena.refused) {
        forget(geo);
        geo->arena.refused = 0;
    }
    struct cached *cached = arena_alloc(&geo->arena, sizeof *cached);
    if (!cached)
        return NULL;
    cached->addr = *addr;
    cached->is_known = fill(geo, addr, &cached->facts);
    map_put(&geo->cache, key, cached); /* in place of another address with the same hash, if there is one */
    return cached;
}

bool geo_find(struct geo *geo, const union sock_addr *addr, struct geo_facts *ret_facts)
{
    if (!geo || !sock_is_set(addr) || geo_count(geo) == 0)
        return false;
    union sock_addr plain = *addr;
    if (addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
        sock_from_ip_bytes(&plain, AF_INET, addr->in6.sin6_addr.s6_addr + 12);
    size_t size;
    const void *bytes = sock_ip_bytes(&plain, &size);
    uint64_t key = str_hash(bytes, size, size);
    const struct cached *cached = map_get(&geo->cache, key);
    if (!cached || !sock_same_ip(&cached->addr, &plain))
        cached = remember(geo, &plain, key);
    if (!cached || !cached->is_known)
        return false;
    *ret_facts = cached->facts;
    return true;
}
