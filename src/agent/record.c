#include "agent/record.h"

#include <assert.h>
#include <string.h>

#include "base/crc.h"
#include "base/limit.h"

static const char magic[4] = "OcRd";

static void put_le(unsigned char *p, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_le(const unsigned char *p, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

void record_header(const struct record *record, unsigned char header[RECORD_HEADER_BYTES])
{
    assert(record->size <= LIMIT_SPOOL_RECORD_BYTES);
    memcpy(header, magic, sizeof magic);
    put_le(header + 4, record->size, 4);
    put_le(header + 8, record->test_id, 8);
    put_le(header + 16, (uint64_t)record->round_id, 8);
    put_le(header + 24, crc32c(0, record->bytes, record->size), 4);
    put_le(header + 28, crc32c(0, header, 28), 4);
}

/* True when p (of at least RECORD_HEADER_BYTES) is an intact header; the payload is not looked at. */
static bool read_header(const unsigned char *p, struct record *ret_record)
{
    if (memcmp(p, magic, sizeof magic) != 0 || crc32c(0, p, 28) != get_le(p + 28, 4))
        return false;
    *ret_record = (struct record){.test_id = get_le(p + 8, 8),
                                  .round_id = (int64_t)get_le(p + 16, 8),
                                  .bytes = p + RECORD_HEADER_BYTES,
                                  .size = get_le(p + 4, 4)};
    return ret_record->size <= LIMIT_SPOOL_RECORD_BYTES;
}

/* What an interrupted write leaves behind: a part of a header, or a header with a part of its payload. */
static bool is_torn(const unsigned char *p, size_t size)
{
    struct record record;
    if (size < RECORD_HEADER_BYTES)
        return memcmp(p, magic, size < sizeof magic ? size : sizeof magic) == 0;
    return read_header(p, &record) && record.size > size - RECORD_HEADER_BYTES;
}

enum record_state record_find(const void *bytes, size_t size, size_t at, struct record *ret_record, size_t *ret_start,
                              size_t *ret_end)
{
    assert(at <= size);
    const unsigned char *p = bytes;
    if (at == size)
        return RECORD_END;
    for (size_t start = at; size - start >= RECORD_HEADER_BYTES; start++) {
        const unsigned char *hit = memchr(p + start, magic[0], size - start);
        if (!hit || (size_t)(p + size - hit) < RECORD_HEADER_BYTES)
            break;
        start = (size_t)(hit - p);
        struct record record;
        if (!read_header(hit, &record) || record.size > size - start - RECORD_HEADER_BYTES)
            continue;
        if (crc32c(0, record.bytes, record.size) != get_le(hit + 24, 4))
            continue;
        *ret_record = record;
        *ret_start = start;
        *ret_end = start + RECORD_HEADER_BYTES + record.size;
        return RECORD_FOUND;
    }
    return is_torn(p + at, size - at) ? RECORD_TORN : RECORD_DAMAGED;
}
