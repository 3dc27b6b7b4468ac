#include "server/body.h"

#include <strings.h>
#include <zstd.h>

#include "base/limit.h"
#include "base/mem.h"

#define STEP_BYTES (1u << 18)

/* The body says how large it is unpacked: at once, without a copy. */
static int unpack_known(ZSTD_DCtx *context, const struct buf *packed, size_t size, struct buf *out, struct error *err)
{
    void *room = buf_reserve(out, size);
    size_t got = ZSTD_decompressDCtx(context, room, size, packed->data, packed->size);
    if (ZSTD_isError(got))
        return error_set(err, E_INVALID, "", "the body is not valid zstd: %s", ZSTD_getErrorName(got));
    buf_grow(out, got);
    return 0;
}

/* In steps, so that a small body that unpacks to a huge one costs no more than the ceiling. */
static int unpack_unknown(ZSTD_DCtx *context, const struct buf *packed, struct buf *out, struct error *err)
{
    ZSTD_inBuffer in = {packed->data, packed->size, 0};
    size_t left = 1;
    int rc = 0;
    while (!rc && in.pos < in.size) {
        void *room = buf_reserve(out, STEP_BYTES);
        if (!room) {
            limit_hit(LIMIT_KIND_REQUEST);
            rc = error_set(err, E_LIMIT, "", "the body unpacks to more than %u bytes", LIMIT_REQUEST_BYTES);
            break;
        }
        ZSTD_outBuffer step = {room, STEP_BYTES, 0};
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
    return rc;
}

static int unpack(const struct buf *packed, struct buf *out, struct error *err)
{
    static ZSTD_DCtx *context; /* of the loop's thread, for the life of the process */
    if (!context)
        context = ZSTD_createDCtx();
    if (!context)
        return error_set(err, E_LIMIT, "", "no memory to unpack the body");
    (void)ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    unsigned long long size = ZSTD_getFrameContentSize(packed->data, packed->size);
    bool is_one = size <= LIMIT_REQUEST_BYTES && ZSTD_findFrameCompressedSize(packed->data, packed->size) == packed->size;
    return is_one ? unpack_known(context, packed, (size_t)size, out, err) : unpack_unknown(context, packed, out, err);
}

static int read_body(struct request *request, const struct field_table *table, void *record, struct arena *arena,
                     struct error *err)
{
    const struct buf *body = &request->http->body;
    const char *encoding = http_header(request->http, "Content-Encoding");
    if (!encoding || strcasecmp(encoding, "identity") == 0)
        return field_from_cbor(table, body->data, body->size, record, arena, err);
    if (strcasecmp(encoding, "zstd") != 0)
        return error_set(err, E_INVALID, "Content-Encoding", "only zstd and identity are known");
    struct buf out;
    buf_init(&out, LIMIT_REQUEST_BYTES + STEP_BYTES);
    int rc = unpack(body, &out, err);
    if (!rc)
        rc = field_from_cbor(table, out.data, out.size, record, arena, err);
    buf_done(&out);
    return rc;
}

int body_read(struct request *request, const struct field_table *table, void *record, struct error *err)
{
    return read_body(request, table, record, request->arena, err);
}

int body_take(struct request *request, const struct field_table *table, void *record, struct arena *arena,
              struct error *err)
{
    int rc = read_body(request, table, record, arena, err);
    http_drop_body(request->http);
    return rc;
}
