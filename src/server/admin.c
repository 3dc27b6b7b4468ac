#include "server/admin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/admin.h"
#include "wire/field.h"

#define PATH_BYTES 4200
#define MANIFEST "backup.txt"
#define DATABASE "oculi.db"

struct admin_options {
    const char *data;
    bool is_quiet;
};

static const struct field admin_fields[] = {
    FIELD_STR(struct admin_options, data, "data", (.preset = "/var/lib/oculi", .min = 1, .max = 3000),
              "Data directory of the server"),
    FIELD_BOOL(struct admin_options, is_quiet, "quiet", (.letter = 'q', .preset = "false"), "Tell no progress"),
};
const struct field_table admin_option_table =
    FIELD_TABLE("AdminOptions", struct admin_options, admin_fields, NULL, "Options of oculi admin");

struct admin {
    struct admin_options options;
    const char *word; /* the directory of a backup; NULL = none is needed */
    char store[PATH_BYTES];
    struct store_progress progress;
    int64_t told_ns;
    uint64_t files;
};

/* --- telling ------------------------------------------------------------------------------------------------------ */

/* A line for each file on a terminal, else one in ten seconds. */
static void on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct admin *admin = user;
    int64_t now_ns = clock_mono_ns(&clock_real);
    bool is_terminal = isatty(STDERR_FILENO);
    if (admin->options.is_quiet || (!is_terminal && admin->told_ns && now_ns - admin->told_ns < 10 * CLOCK_S))
        return;
    admin->told_ns = now_ns;
    fprintf(stderr, "%s%s (%" PRIu64 " of %" PRIu64 ")%s", is_terminal ? "\r\033[K" : "oculi: ", what, done + 1, total,
            is_terminal && done + 1 < total ? "" : "\n");
}

static void on_problem(void *user, const char *where, const char *text)
{
    (void)user;
    printf("problem %s: %s\n", where, text);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Files of a data directory that a backup has beside the store: keys and whatever else the server made. What belongs to
 * one run of the server, or to one machine, stays behind. */
static bool is_kept(const char *name)
{
    static const char *const not_kept[] = {"api-token", "first-login", "run.json", MANIFEST};
    for (size_t i = 0; i < sizeof not_kept / sizeof not_kept[0]; i++) {
        if (str_equal(name, not_kept[i]))
            return false;
    }
    return name[0] != '.' && !str_starts(name, DATABASE);
}

static int copy_file(const char *from, const char *to, uint32_t *ret_crc, uint64_t *ret_size, struct error *err)
{
    static unsigned char block[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, rc = 0;
    ssize_t got = 0;
    *ret_crc = 0;
    *ret_size = 0;
    if (in < 0)
        return error_sys(err, errno, from, "cannot read");
    if (to) {
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        rc = out < 0 ? error_sys(err, errno, to, "cannot make") : 0;
    }
    while (!rc && (got = read(in, block, sizeof block)) > 0) {
        *ret_crc = crc32c(*ret_crc, block, (size_t)got);
        *ret_size += (uint64_t)got;
        if (to)
            rc = file_write_all(out, block, (size_t)got, to, err);
    }
    if (!rc && got < 0)
        rc = error_sys(err, errno, from, "cannot read");
    if (!rc && to && fsync(out))
        rc = error_sys(err, errno, to, "cannot flush");
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    return rc;
}

static bool is_file(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Copies what is_kept of the data directory. */
static int copy_kept(const char *from_dir, const char *to_dir, struct error *err)
{
    DIR *dir = opendir(from_dir);
    int rc = 0;
    if (!dir)
        return error_sys(err, errno, from_dir, "cannot read the directory");
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        char from[PATH_BYTES], to[PATH_BYTES];
        uint32_t crc;
        uint64_t size;
        (void)snprintf(from, sizeof from, "%s/%s", from_dir, entry->d_name);
        (void)snprintf(to, sizeof to, "%s/%s", to_dir, entry->d_name);
        if (is_kept(entry->d_name) && is_file(from))
            rc = copy_file(from, to, &crc, &size, err);
    }
    (void)closedir(dir);
    return rc;
}

/* Writes a line "CRC SIZE NAME" for each file under the directory. */
static int list_files(const char *top, const char *under, struct buf *lines, struct error *err)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s%s%s", top, under[0] ? "/" : "", under);
    DIR *dir = opendir(path);
    int rc = 0;
    if (!dir)
        return error_sys(err, errno, path, "cannot read the directory");
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        char name[PATH_BYTES / 2], file[PATH_BYTES];
        uint32_t crc;
        uint64_t size;
        struct stat st;
        if (entry->d_name[0] == '.' || str_equal(entry->d_name, MANIFEST))
            continue;
        (void)snprintf(name, sizeof name, "%s%s%s", under, under[0] ? "/" : "", entry->d_name);
        (void)snprintf(file, sizeof file, "%s/%s", top, name);
        if (lstat(file, &st) == 0 && S_ISDIR(st.st_mode) && !under[0]) {
            rc = list_files(top, name, lines, err);
        } else if (is_file(file)) {
            rc = copy_file(file, NULL, &crc, &size, err);
            buf_printf(lines, "%08" PRIx32 " %" PRIu64 " %s\n", crc, size, name);
        }
    }
    (void)closedir(dir);
    return rc;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static int backup(struct admin *admin, struct error *err)
{
    struct buf lines;
    char manifest[PATH_BYTES];
    (void)snprintf(manifest, sizeof manifest, "%s/" MANIFEST, admin->word);
    int rc = store_backup(admin->store, admin->word, &admin->progress, err);
    if (!rc)
        rc = copy_kept(admin->options.data, admin->word, err);
    buf_init(&lines, 64u << 20);
    buf_puts(&lines, "oculi backup 1\n");
    if (!rc)
        rc = list_files(admin->word, "", &lines, err);
    if (!rc)
        rc = file_write(manifest, lines.data, lines.size, 0600, err);
    if (!rc)
        printf("backed up %s into %s\n", admin->options.data, admin->word);
    buf_done(&lines);
    return rc;
}

static int read_manifest(const char *dir, struct buf *lines, struct error *err)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/" MANIFEST, dir);
    int rc = file_read(path, lines, err);
    if (!rc && !str_starts(buf_str(lines), "oculi backup 1\n"))
        rc = error_set(err, E_INVALID, path, "this is no backup, or one of a newer version");
    return rc;
}

/* A line of the manifest; names lead nowhere but into the directory. */
static int restore_file(struct admin *admin, const char *line, struct error *err)
{
    uint32_t want_crc, crc;
    uint64_t want_size, size;
    int at = 0;
    char from[PATH_BYTES], to[PATH_BYTES], *slash;
    if (sscanf(line, "%8" SCNx32 " %" SCNu64 " %n", &want_crc, &want_size, &at) != 2 || !at || strstr(line, "..") ||
        line[at] == '/')
        return error_set(err, E_INVALID, admin->word, "the list of its files does not read");
    (void)snprintf(from, sizeof from, "%s/%s", admin->word, line + at);
    (void)snprintf(to, sizeof to, "%s/%s", admin->options.data, line + at);
    slash = strrchr(to, '/');
    *slash = 0;
    int rc = file_make_dir(to, 0700, err);
    *slash = '/';
    if (!rc)
        rc = copy_file(from, to, &crc, &size, err);
    if (!rc && (crc != want_crc || size != want_size))
        rc = error_set(err, E_CORRUPT, from, "the file is not what was backed up");
    admin->files++;
    return rc;
}

static int restore(struct admin *admin, struct error *err)
{
    struct buf lines;
    uint64_t total = 0;
    if (access(admin->store, F_OK) == 0)
        return error_set(err, E_EXISTS, admin->store, "there is a store already; restore into another directory");
    buf_init(&lines, 64u << 20);
    int rc = read_manifest(admin->word, &lines, err);
    for (size_t i = 0; !rc && i < lines.size; i++)
        total += lines.data[i] == '\n';
    char *next = NULL;
    if (!rc) {
        (void)buf_str(&lines);
        (void)strtok_r((char *)lines.data, "\n", &next);
    }
    for (char *line; !rc && (line = strtok_r(NULL, "\n", &next));) {
        on_progress(admin, line, admin->files, total - 1);
        rc = restore_file(admin, line, err);
    }
    if (!rc)
        printf("restored %" PRIu64 " files into %s\n", admin->files, admin->options.data);
    buf_done(&lines);
    return rc;
}

static int check(struct admin *admin, struct error *err)
{
    struct store_check_result result;
    int rc = store_check(admin->store, on_problem, admin, &admin->progress, &result, err);
    if (rc)
        return rc;
    printf("checked %" PRIu64 " files, %" PRIu64 " chunks, %" PRIu64 " rounds%s: %" PRIu64 " problems\n", result.files,
           result.chunks, result.rounds, result.is_running ? " of a running server" : "", result.problems);
    return result.problems ? error_set(err, E_CORRUPT, admin->store, "the store has problems") : 0;
}

static int compact(struct admin *admin, struct error *err)
{
    struct store_compact_result result;
    int rc = store_compact(admin->store, &admin->progress, &result, err);
    if (!rc)
        printf("compacted %" PRIu64 " bytes to %" PRIu64 "; %" PRIu64 " files in use left alone\n", result.bytes_before,
               result.bytes_after, result.skipped);
    return rc;
}

static const struct {
    const char *name;
    int (*run)(struct admin *admin, struct error *err);
    bool needs_dir;
    const char *help;
} commands[] = {
    {"backup", backup, true, "copy everything into DIR, while the server runs or not"},
    {"restore", restore, true, "put the backup in DIR into a new data directory"},
    {"check", check, false, "read all that is kept and tell what is damaged"},
    {"compact", compact, false, "give unused space back to the file system"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])
const char *const admin_words[] = {"backup", "restore", "check", "compact", NULL};

static void print_help(void)
{
    struct buf text;
    buf_init(&text, 1u << 16);
    buf_puts(&text, "Usage: oculi admin [OPTION...] COMMAND [DIR]\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        buf_printf(&text, "  %-8s%s  %s\n", commands[i].name, commands[i].needs_dir ? "DIR" : "   ", commands[i].help);
    buf_puts(&text, "\nOptions:\n");
    field_help(&admin_option_table, &text);
    buf_puts(&text, "\nThe manual page is oculi-admin(8).\n");
    (void)fputs(buf_str(&text), stdout);
    buf_done(&text);
}

static int run(struct admin *admin, const char *const *word, size_t count, struct error *err)
{
    size_t which = 0;
    while (which < COMMANDS && (!count || !str_equal(word[0], commands[which].name)))
        which++;
    if (which == COMMANDS)
        return error_set(err, E_UNKNOWN, count ? word[0] : "admin",
                         "is no command of oculi admin: backup, restore, check, compact");
    if (count != (commands[which].needs_dir ? 2u : 1u))
        return error_set(err, E_REQUIRED, word[0],
                         commands[which].needs_dir ? "takes one directory" : "takes no further words");
    admin->word = count > 1 ? word[1] : NULL;
    admin->progress = (struct store_progress){on_progress, admin};
    (void)snprintf(admin->store, sizeof admin->store, "%s/" DATABASE, admin->options.data);
    return commands[which].run(admin, err);
}

static void complain(const struct error *err)
{
    char text[700];
    fprintf(stderr, "oculi: %s\n", error_format(err, text, sizeof text));
}

/* Options in any place; what is none is a word. */
static int read_arguments(int argc, char **argv, struct admin *admin, struct arena *arena, const char **words,
                          size_t *ret_count, bool *ret_help, struct error *err)
{
    int rc = 0;
    for (int i = 0; !rc && i < argc; i++) {
        if (str_equal(argv[i], "--help") || str_equal(argv[i], "-h"))
            *ret_help = true;
        else if (str_equal(argv[i], "-q") || str_equal(argv[i], "--quiet"))
            admin->options.is_quiet = true;
        else if (str_equal(argv[i], "--data") && i + 1 < argc)
            rc = field_from_text(&admin_option_table, "data", argv[++i], &admin->options, arena, err);
        else if (str_starts(argv[i], "--data="))
            rc = field_from_text(&admin_option_table, "data", argv[i] + strlen("--data="), &admin->options, arena, err);
        else if (argv[i][0] == '-')
            rc = error_set(err, E_UNKNOWN, argv[i], "is no option of oculi admin, or has no value");
        else
            words[(*ret_count)++] = argv[i];
    }
    return rc;
}

int admin_main(int argc, char **argv)
{
    struct admin admin = {.told_ns = 0};
    struct arena arena;
    struct error err = {0};
    bool is_help = false;
    size_t count = 0;
    arena_init(&arena, 1u << 20);
    field_defaults(&admin_option_table, &admin.options);
    const char **words = arena_alloc_array(&arena, (size_t)argc + 1, sizeof *words);
    int rc = words ? read_arguments(argc, argv, &admin, &arena, words, &count, &is_help, &err)
                   : error_set(&err, E_LIMIT, "", "too many arguments");
    if (!rc && is_help)
        print_help();
    else if (!rc)
        rc = run(&admin, words, count, &err);
    if (rc)
        complain(&err);
    arena_done(&arena);
    return !rc ? 0 : rc == -E_UNKNOWN || rc == -E_REQUIRED ? 2 : 1;
}
