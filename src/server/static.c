#include "server/static.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "server/request.h"

#define CSP                                                                                                            \
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "                 \
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "             \
    "require-trusted-types-for 'script'; trusted-types svelte-trusted-html oculi"

static const struct {
    const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
    {".webmanifest", "application/manifest+json"},
    {".map", "application/json"},
};

static const char *type_of(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t n = strlen(types[i].suffix);
        if (length > n && strcmp(path + length - n, types[i].suffix) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* The kernel keeps the walk beneath the directory: "..", absolute links and magic links cannot leave it. */
static int open_beneath(const char *dir, const char *path)
{
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -1;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    (void)close(dir_fd);
    return fd;
}

static int open_file(const char *dir, const char *path, struct stat *ret_stat)
{
    int fd = open_beneath(dir, path);
    if (fd >= 0 && (fstat(fd, ret_stat) != 0 || !S_ISREG(ret_stat->st_mode))) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* The first words of the UI's own addresses; whatever else is asked for and is no file is not there. tests/api holds
 * them against the UI's list of pages. */
static const char *const pages[] = {"login", "password", "start", "views", "tests", "agents", "settings"};

static bool is_page_of_ui(const char *path)
{
    size_t length = strcspn(path, "/");
    if (strchr(path, '.') || strstr(path, "//"))
        return false;
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strlen(pages[i]) == length && strncmp(path, pages[i], length) == 0)
            return true;
    }
    return false;
}

/* The build puts what it names by content under assets/. */
static bool is_hashed(const char *path)
{
    return strncmp(path, "assets/", 7) == 0;
}

static void answer_file(struct request *request, const char *path, int fd, const struct stat *stat, bool is_gzip)
{
    struct http_request *http = request->http;
    bool is_page = strcmp(path, "index.html") == 0;
    char etag[64];
    (void)snprintf(etag, sizeof etag, "\"%llx-%llx%s\"", (unsigned long long)stat->st_mtim.tv_sec,
                   (unsigned long long)stat->st_size, is_gzip ? "-g" : "");
    const char *known = http_header(http, "If-None-Match");
    bool is_known = !is_page && known && strcmp(known, etag) == 0;
    http_add_header(http, "Cache-Control",
                    is_page ? "no-store" : is_hashed(path) ? "public, max-age=31536000, immutable" : "no-cache");
    http_add_header(http, "Vary", "Accept-Encoding");
    http_add_header(http, "Content-Security-Policy", CSP);
    http_add_header(http, "Referrer-Policy", "same-origin");
    http_add_header(http, "X-Frame-Options", "DENY");
    http_add_header(http, "Cross-Origin-Opener-Policy", "same-origin");
    http_add_header(http, "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
    if (!is_page)
        http_add_header(http, "ETag", etag);
    if (is_known) {
        (void)close(fd);
        request_answer_empty(request, 304);
        return;
    }
    if (is_gzip)
        http_add_header(http, "Content-Encoding", "gzip");
    http_add_header(http, "Content-Type", type_of(path));
    request_answer_empty(request, 200);
    http->response.fd = fd;
    http->response.fd_size = (uint64_t)stat->st_size;
}

static bool takes_gzip(const struct request *request)
{
    const char *encodings = http_header(request->http, "Accept-Encoding");
    return encodings && strstr(encodings, "gzip") && !strstr(encodings, "gzip;q=0");
}

bool static_serve(struct request *request)
{
    const char *dir = request->server->config->web;
    if (!dir)
        return false;
    if (strcmp(request->http->method, "GET") != 0) {
        http_add_header(request->http, "Allow", "GET, HEAD");
        request_answer_problem(request, 405, NULL, NULL);
        return true;
    }
    const char *path = request->http->path + 1;
    if (!*path)
        path = "index.html";
    struct stat stat;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (takes_gzip(request)) {
            int fd = open_file(dir, arena_printf(request->arena, "%s.gz", path), &stat);
            if (fd >= 0) {
                answer_file(request, path, fd, &stat, true);
                return true;
            }
        }
        int fd = open_file(dir, path, &stat);
        if (fd >= 0) {
            answer_file(request, path, fd, &stat, false);
            return true;
        }
        if (!is_page_of_ui(path))
            return false;
        path = "index.html";
    }
    return false;
}
