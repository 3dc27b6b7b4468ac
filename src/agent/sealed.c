#include "agent/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/record.h"
#include "base/file.h"
#include "base/limit.h"

#define SEALED_LOCK_STEP_MS 50

int sealed_write(const char *path, const void *bytes, size_t size, mode_t mode, struct error *err)
{
    if (size > LIMIT_SPOOL_RECORD_BYTES)
        return error_set(err, E_LIMIT, path, "%zu bytes are more than the file may have", size);
    struct record record = {.bytes = bytes, .size = size};
    unsigned char header[RECORD_HEADER_BYTES];
    record_header(&record, header);
    struct buf whole;
    buf_init(&whole, sizeof header + size);
    buf_put(&whole, header, sizeof header);
    buf_put(&whole, bytes, size);
    int rc = file_write(path, whole.data, whole.size, mode, err);
    buf_done(&whole);
    return rc;
}

int sealed_read(const char *path, struct buf *buf, struct error *err)
{
    struct buf whole;
    buf_init(&whole, LIMIT_SPOOL_RECORD_BYTES + RECORD_HEADER_BYTES);
    int rc = file_read(path, &whole, err);
    struct record record;
    size_t start, end;
    if (!rc && (record_find(whole.data, whole.size, 0, &record, &start, &end) != RECORD_FOUND || start != 0 ||
                end != whole.size))
        rc = error_set(err, E_CORRUPT, path, "the file is damaged");
    if (!rc)
        buf_put(buf, record.bytes, record.size);
    buf_done(&whole);
    return rc;
}

int sealed_lock(const char *state_dir, int wait_ms, int *ret_fd, struct error *err)
{
    char path[512];
    if (snprintf(path, sizeof path, "%s/lock", state_dir) >= (int)sizeof path)
        return error_set(err, E_RANGE, state_dir, "the path is too long");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_sys(err, errno, state_dir, "cannot write to the state directory");
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += SEALED_LOCK_STEP_MS) {
        if (errno == EWOULDBLOCK && waited < wait_ms) {
            (void)poll(NULL, 0, SEALED_LOCK_STEP_MS);
            continue;
        }
        int rc = errno == EWOULDBLOCK
                     ? error_set(err, E_CONFLICT, state_dir, "another oculi-agent uses this state directory")
                     : error_sys(err, errno, path, "cannot lock");
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
