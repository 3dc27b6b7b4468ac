#include "server/body.h"

#include <strings.h>
#include <zstd.h>

#include "base/limit.h"
#include "base/mem.h"

/* In steps, so that a small body that unpacks to a huge one costs no more than the ceiling. */
static int unpack(const struct buf *packed, struct buf *out, struct error *err)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (!context)
        return error_set(err, E_LIMIT, "", "no memory to unpack the body");
    ZSTD_inBuffer in = {packed->data, packed->size, 0};
    size_t left = 1;
    int rc = 0;
    while (!rc && in.pos < in.size) {
        void *room = buf_reserve(out, ZSTD_DStreamOutSize());
        if (!room) {
            limit_hit(LIMIT_KIND_REQUEST);
            rc = error_set(err, E_LIMIT, "", "the body unpacks to more than %u bytes", LIMIT_REQUEST_BYTES);
            break;
        }
        ZSTD_outBuffer step = {room, ZSTD_DStreamOutSize(), 0};
        size_t before = in.pos;
        left = ZSTD_decompressStream(context, &step, &in);
        if (ZSTD_isError(left))
            rc = error_set(err, E_INVALID, "", "the body is not valid zstd: %s", ZSTD_getErrorName(left));
        else if (step.pos == 0 && in.pos == before)
            break;
        buf_grow(out, step.pos);
    }
    if (!rc && left != 0)
        rc = error_set(err, E_INVALID, "", "the body is not valid zstd: it ends early");
    (void)ZSTD_freeDCtx(context);
    return rc;
}

int body_read(struct request *request, const struct field_table *table, void *record, struct error *err)
{
    const struct buf *body = &request->http->body;
    const char *encoding = http_header(request->http, "Content-Encoding");
    if (!encoding || strcasecmp(encoding, "identity") == 0)
        return field_from_cbor(table, body->data, body->size, record, request->arena, err);
    if (strcasecmp(encoding, "zstd") != 0)
        return error_set(err, E_INVALID, "Content-Encoding", "only zstd and identity are known");
    struct buf out;
    buf_init(&out, LIMIT_REQUEST_BYTES + (1u << 18));
    int rc = unpack(body, &out, err);
    if (!rc)
        rc = field_from_cbor(table, out.data, out.size, record, request->arena, err);
    buf_done(&out);
    return rc;
}
