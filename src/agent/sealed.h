/*
 * The agent's small files (identity, plan): replaced atomically, with a sum over the content, so that a damaged file is
 * told from an old one. And the lock of the state directory.
 */
#ifndef OCULI_AGENT_SEALED_H
#define OCULI_AGENT_SEALED_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

int sealed_write(const char *path, const void *bytes, size_t size, mode_t mode, struct error *err);

/* Appends the content to buf. -E_NOT_FOUND when there is no such file, -E_CORRUPT when it is damaged. */
int sealed_read(const char *path, struct buf *buf, struct error *err);

/* Takes the lock of a state directory, waiting up to wait_ms for a process that is just ending. The lock lives as long
 * as the descriptor. -E_CONFLICT when another process keeps it. */
int sealed_lock(const char *state_dir, int wait_ms, int *ret_fd, struct error *err);

#endif
