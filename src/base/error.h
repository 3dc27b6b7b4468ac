/*
 * Operating errors: things that stop us from doing our work and that a person can act on.
 *
 * A function that can fail for such a reason returns 0 or a negative -E_xxx from the one list below. Where a
 * person will read the reason it also takes a `struct error *` (may be NULL), which says where (a field, a file,
 * a line, an address) and what. What the network did (timeout, refused, NXDOMAIN) is a result and never an error;
 * a bug of ours is an assert.
 */
#ifndef OCULI_BASE_ERROR_H
#define OCULI_BASE_ERROR_H

#include <stdarg.h>

enum error_code {
    E_INVALID = 1,   /* malformed or contradictory input */
    E_RANGE,         /* a value outside its bounds */
    E_TYPE,          /* a value of the wrong type */
    E_UNKNOWN,       /* a name nobody knows: setting, enum value, option */
    E_REQUIRED,      /* something that must be given is absent */
    E_NOT_FOUND,     /* the object does not exist */
    E_EXISTS,        /* it exists already */
    E_CONFLICT,      /* it was changed or is in use by somebody else */
    E_PERMISSION,    /* the operating system or the account does not allow it */
    E_AUTH,          /* who are you? */
    E_LIMIT,         /* a ceiling of limit.h was hit */
    E_FULL,          /* the disk or quota is full */
    E_IO,            /* reading or writing failed */
    E_CORRUPT,       /* stored or received bytes are damaged */
    E_AGAIN,         /* not now: would block, or in progress */
    E_CLOSED,        /* the peer went away */
    E_TIMEOUT,       /* our own deadline passed */
    E_UNRESOLVED,    /* a host name has no usable address */
    E_NOT_SUPPORTED, /* this build or machine cannot do it */
    E_CODE_COUNT
};

struct error {
    int code;        /* 0, or an enum error_code (positive) */
    char where[160]; /* field path, file:line, address; may be empty */
    char text[400];  /* a sentence without the place */
};

/* Fills err (may be NULL) and returns -code, so that callers write `return error_set(...)`. Texts too long are cut. */
int error_set(struct error *err, enum error_code code, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int error_vset(struct error *err, enum error_code code, const char *where, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

/* Like error_set, with the code chosen from errno value sys_errno and its text appended. */
int error_sys(struct error *err, int sys_errno, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts `prefix` before err->where, joined by '.' (or by nothing before '['): an outer record naming its field. */
void error_prefix(struct error *err, const char *prefix);

/* "where: text" into buf; returns buf. */
const char *error_format(const struct error *err, char *buf, unsigned long size);

/* Stable lower-case word for a code, for example "not-found". */
const char *error_name(int code);

#endif
