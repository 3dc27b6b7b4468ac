#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

int file_read(const char *path, struct buf *buf, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, path, "cannot open");
    int rc = 0;
    for (;;) {
        unsigned char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = error_sys(err, errno, path, "cannot read");
        if (n <= 0)
            break;
        buf_put(buf, chunk, (size_t)n);
        if (buf->is_overflowed) {
            rc = error_set(err, E_LIMIT, path, "larger than %zu bytes", buf->ceiling);
            break;
        }
    }
    (void)close(fd);
    return rc;
}

int file_write_all(int fd, const void *bytes, size_t size, const char *path, struct error *err)
{
    const char *p = bytes;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_sys(err, errno, path, "cannot write");
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static int sync_parent(const char *path, struct error *err)
{
    char dir[4096];
    if (!str_copy(dir, sizeof dir, path))
        return error_set(err, E_RANGE, path, "the path is too long");
    char *slash = strrchr(dir, '/');
    if (!slash)
        (void)str_copy(dir, sizeof dir, ".");
    else if (slash == dir)
        slash[1] = 0;
    else
        *slash = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, dir, "cannot open the directory");
    int rc = fsync(fd) == 0 ? 0 : error_sys(err, errno, dir, "cannot sync");
    (void)close(fd);
    return rc;
}

int file_write(const char *path, const void *bytes, size_t size, mode_t mode, struct error *err)
{
    char temp[4096];
    if (snprintf(temp, sizeof temp, "%s.new", path) >= (int)sizeof temp)
        return error_set(err, E_RANGE, path, "the path is too long");
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return error_sys(err, errno, temp, "cannot create");
    int rc = file_write_all(fd, bytes, size, temp, err);
    if (!rc && fsync(fd) != 0)
        rc = error_sys(err, errno, temp, "cannot sync");
    if (close(fd) != 0 && !rc)
        rc = error_sys(err, errno, temp, "cannot close");
    if (!rc && rename(temp, path) != 0)
        rc = error_sys(err, errno, path, "cannot replace");
    if (!rc)
        rc = sync_parent(path, err);
    if (rc)
        (void)unlink(temp);
    return rc;
}

int file_make_dir(const char *path, mode_t mode, struct error *err)
{
    char part[4096];
    if (!str_copy(part, sizeof part, path))
        return error_set(err, E_RANGE, path, "the path is too long");
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char old = *p;
        *p = 0;
        if (mkdir(part, mode) != 0 && errno != EEXIST)
            return error_sys(err, errno, part, "cannot make the directory");
        if (old == 0)
            break;
        *p = old;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return error_sys(err, errno, path, "cannot look at");
    return S_ISDIR(st.st_mode) ? 0 : error_set(err, E_EXISTS, path, "is there but is not a directory");
}
