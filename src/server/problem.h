/*
 * Errors as API v7 tells them: problem documents (RFC 9457) with the titles of the product and an `errors` list that
 * names the field.
 */
#ifndef OCULI_SERVER_PROBLEM_H
#define OCULI_SERVER_PROBLEM_H

#include <jansson.h>

#include "base/error.h"

int problem_status(int code); /* HTTP status of a negative or positive error code */
const char *problem_reason(int status); /* "404 Not Found" */

/* instance: the path asked for. err may be NULL. */
json_t *problem_from_error(int code, const struct error *err, const char *instance);
json_t *problem_new(int status, const char *title, const char *detail, const char *instance);

#endif
