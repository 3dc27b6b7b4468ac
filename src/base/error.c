#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[E_CODE_COUNT] = {
    [0] = "none",
    [E_INVALID] = "invalid",
    [E_RANGE] = "range",
    [E_TYPE] = "type",
    [E_UNKNOWN] = "unknown",
    [E_REQUIRED] = "required",
    [E_NOT_FOUND] = "not-found",
    [E_EXISTS] = "exists",
    [E_CONFLICT] = "conflict",
    [E_PERMISSION] = "permission",
    [E_AUTH] = "auth",
    [E_LIMIT] = "limit",
    [E_FULL] = "full",
    [E_IO] = "io",
    [E_CORRUPT] = "corrupt",
    [E_AGAIN] = "again",
    [E_CLOSED] = "closed",
    [E_TIMEOUT] = "timeout",
    [E_UNRESOLVED] = "unresolved",
    [E_NOT_SUPPORTED] = "not-supported",
};

int error_vset(struct error *err, enum error_code code, const char *where, const char *format, va_list args)
{
    assert(code > 0 && code < E_CODE_COUNT);
    if (err) {
        err->code = (int)code;
        (void)snprintf(err->where, sizeof err->where, "%s", where ? where : "");
        (void)vsnprintf(err->text, sizeof err->text, format, args);
    }
    return -(int)code;
}

int error_set(struct error *err, enum error_code code, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = error_vset(err, code, where, format, args);
    va_end(args);
    return rc;
}

static enum error_code code_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case EPERM:
    case EACCES:
        return E_PERMISSION;
    case ENOENT:
    case ENODEV:
        return E_NOT_FOUND;
    case EEXIST:
        return E_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return E_FULL;
    case EAGAIN:
    case EINPROGRESS:
        return E_AGAIN;
    case EPIPE:
    case ECONNRESET:
        return E_CLOSED;
    case ETIMEDOUT:
        return E_TIMEOUT;
    case ENFILE:
    case EMFILE:
    case ENOBUFS:
    case ENOMEM:
        return E_LIMIT;
    case EINVAL:
        return E_INVALID;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
    case ENOSYS:
        return E_NOT_SUPPORTED;
    default:
        return E_IO;
    }
}

int error_sys(struct error *err, int sys_errno, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = error_vset(err, code_of_errno(sys_errno), where, format, args);
    va_end(args);
    if (err) {
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(sys_errno));
    }
    return rc;
}

void error_prefix(struct error *err, const char *prefix)
{
    if (!err || !prefix || !*prefix)
        return;
    char old[sizeof err->where];
    memcpy(old, err->where, sizeof old);
    const char *joint = *old && *old != '[' ? "." : "";
    (void)snprintf(err->where, sizeof err->where, "%.60s%s%.98s", prefix, joint, old);
}

const char *error_format(const struct error *err, char *buf, unsigned long size)
{
    (void)snprintf(buf, size, "%s%s%s", err->where, *err->where ? ": " : "", err->text);
    return buf;
}

const char *error_name(int code)
{
    if (code < 0)
        code = -code;
    return code < E_CODE_COUNT && names[code] ? names[code] : "?";
}
