/*
 * Growable byte buffer with a ceiling.
 *
 * The owner calls buf_init and buf_done. Writers never fail loudly: at the ceiling the buffer keeps what it has and
 * sets `is_overflowed`, which the owner checks once at the end. data is always followed by a NUL that is not counted.
 */
#ifndef OCULI_BASE_BUF_H
#define OCULI_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    unsigned char *data;
    size_t size;
    size_t room;
    size_t ceiling;
    bool is_overflowed;
};

void buf_init(struct buf *buf, size_t ceiling);
void buf_done(struct buf *buf);
void buf_reset(struct buf *buf); /* empty, memory kept */

void buf_put(struct buf *buf, const void *bytes, size_t size);
void buf_puts(struct buf *buf, const char *s);
void buf_putc(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for size more bytes and returns where to write them (NULL at the ceiling); buf_grow counts them. */
void *buf_reserve(struct buf *buf, size_t size);
void buf_grow(struct buf *buf, size_t size);

/* Removes size bytes from the front. */
void buf_consume(struct buf *buf, size_t size);

/* The content as a C string, owned by the buffer. */
const char *buf_str(struct buf *buf);

#endif
