/*
 * Small files: read whole, written so that a crash leaves the old or the new content and never a mixture.
 */
#ifndef OCULI_BASE_FILE_H
#define OCULI_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/* Appends the whole file to buf; -E_LIMIT when it is larger than the buffer's ceiling. */
int file_read(const char *path, struct buf *buf, struct error *err);

/* Writes to a temporary file beside path, syncs it, renames it over path and syncs the directory. */
int file_write(const char *path, const void *bytes, size_t size, mode_t mode, struct error *err);

/* Makes the directory and its missing parents. */
int file_make_dir(const char *path, mode_t mode, struct error *err);

/* Writes all of it to a descriptor; -E_FULL when the disk is. */
int file_write_all(int fd, const void *bytes, size_t size, const char *path, struct error *err);

#endif
