#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void buf_init(struct buf *buf, size_t ceiling)
{
    *buf = (struct buf){.ceiling = ceiling};
}

void buf_done(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){.ceiling = buf->ceiling};
}

void buf_reset(struct buf *buf)
{
    buf->size = 0;
    buf->is_overflowed = false;
    if (buf->data)
        buf->data[0] = 0;
}

void *buf_reserve(struct buf *buf, size_t size)
{
    if (buf->is_overflowed || size > buf->ceiling || buf->size > buf->ceiling - size) {
        buf->is_overflowed = true;
        return NULL;
    }
    size_t need = buf->size + size + 1;
    if (need > buf->room) {
        size_t room = buf->room ? buf->room : 256;
        while (room < need)
            room *= 2;
        buf->data = mem_resize(buf->data, buf->room, room);
        buf->room = room;
    }
    return buf->data + buf->size;
}

void buf_grow(struct buf *buf, size_t size)
{
    assert(buf->size + size < buf->room);
    buf->size += size;
    buf->data[buf->size] = 0;
}

void buf_put(struct buf *buf, const void *bytes, size_t size)
{
    void *to = buf_reserve(buf, size);
    if (!to)
        return;
    if (size)
        memcpy(to, bytes, size);
    buf_grow(buf, size);
}

void buf_puts(struct buf *buf, const char *s)
{
    buf_put(buf, s, strlen(s));
}

void buf_putc(struct buf *buf, char c)
{
    buf_put(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);
    char *to = buf_reserve(buf, (size_t)length);
    if (to) {
        (void)vsnprintf(to, (size_t)length + 1, format, again);
        buf_grow(buf, (size_t)length);
    }
    va_end(again);
}

void buf_consume(struct buf *buf, size_t size)
{
    assert(size <= buf->size);
    memmove(buf->data, buf->data + size, buf->size - size);
    buf->size -= size;
    if (buf->data)
        buf->data[buf->size] = 0;
}

const char *buf_str(struct buf *buf)
{
    return buf->data ? (const char *)buf->data : "";
}
