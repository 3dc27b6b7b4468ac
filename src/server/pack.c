#include "server/pack.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#include "base/limit.h"

#define LEAST_BYTES 1024u
/* Larger ones would hold up everybody else for more than some milliseconds. */
#define GZIP_MOST_BYTES (512u << 10)
#define ZSTD_MOST_BYTES (4u << 20)
#define ZSTD_LEVEL 1
#define GZIP_LEVEL 1
#define GZIP_WINDOW (15 + 16) /* zlib's way to ask for a gzip header */

/* The weight of one coding in the header: -1 = it is not named. */
static double weight_of(const char *header, const char *coding)
{
    size_t length = strlen(coding);
    double any = -1;
    for (const char *at = header; *at;) {
        at += strspn(at, " \t,");
        size_t name = strcspn(at, ",; \t"), all = strcspn(at, ",");
        const char *q = memchr(at, ';', all);
        double weight = 1;
        if (q) {
            q += 1 + strspn(q + 1, " \t");
            weight = (q[0] == 'q' || q[0] == 'Q') && q[1] == '=' ? strtod(q + 2, NULL) : 1;
        }
        if (name == length && strncasecmp(at, coding, length) == 0)
            return weight;
        if (name == 1 && *at == '*')
            any = weight;
        at += all;
    }
    return any;
}

enum pack_coding pack_choose(const char *accept_encoding)
{
    if (!accept_encoding)
        return PACK_IDENTITY;
    double zstd = weight_of(accept_encoding, "zstd"), gzip = weight_of(accept_encoding, "gzip");
    if (zstd > 0 && zstd >= gzip)
        return PACK_ZSTD;
    return gzip > 0 ? PACK_GZIP : PACK_IDENTITY;
}

static const char *header_of(const struct http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (strcasecmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    }
    return NULL;
}

static bool is_worth_it(const struct http_response *response)
{
    const char *type = header_of(response, "Content-Type");
    if (response->is_stream || response->fd >= 0 || response->body.size < LEAST_BYTES || !type ||
        header_of(response, "Content-Encoding"))
        return false;
    return strncmp(type, "text/", 5) == 0 || strstr(type, "json");
}

static bool gzip(const struct buf *from, struct buf *to)
{
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t bound = deflateBound(&stream, from->size);
    void *room = buf_reserve(to, bound);
    stream.next_in = from->data;
    stream.avail_in = (uInt)from->size;
    stream.next_out = room;
    stream.avail_out = (uInt)bound;
    bool is_done = room && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    if (is_done)
        buf_grow(to, stream.total_out);
    (void)deflateEnd(&stream);
    return is_done;
}

static bool zstd(const struct buf *from, struct buf *to)
{
    static ZSTD_CCtx *context; /* of the loop's thread, for the life of the process */
    if (!context)
        context = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(from->size);
    void *room = context ? buf_reserve(to, bound) : NULL;
    size_t size = room ? ZSTD_compressCCtx(context, room, bound, from->data, from->size, ZSTD_LEVEL) : 0;
    if (!room || ZSTD_isError(size))
        return false;
    buf_grow(to, size);
    return true;
}

void pack_response(struct http_request *request)
{
    struct http_response *response = &request->response;
    if (request->is_secret || strcmp(request->method, "GET") != 0 || response->status != 200 || !is_worth_it(response))
        return;
    if (!header_of(response, "Vary"))
        http_add_header(request, "Vary", "Accept-Encoding");
    enum pack_coding coding = pack_choose(http_header(request, "Accept-Encoding"));
    if (coding == PACK_IDENTITY || response->body.size > (coding == PACK_ZSTD ? ZSTD_MOST_BYTES : GZIP_MOST_BYTES))
        return;
    struct buf packed;
    buf_init(&packed, LIMIT_RESPONSE_BYTES);
    bool is_packed = coding == PACK_ZSTD ? zstd(&response->body, &packed) : gzip(&response->body, &packed);
    if (!is_packed || packed.size >= response->body.size) {
        buf_done(&packed);
        return;
    }
    buf_done(&response->body);
    response->body = packed;
    http_add_header(request, "Content-Encoding", coding == PACK_ZSTD ? "zstd" : "gzip");
}
