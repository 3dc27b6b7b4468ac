/*
 * What the checks of real measurements share: run a program to its end, keep what it printed, read it as JSON.
 *
 * These checks need root and /dev/net/tun. Where one is missing they say so and count as skipped.
 */
#ifndef OCULI_TESTS_LAB_HARNESS_H
#define OCULI_TESTS_LAB_HARNESS_H

#include <jansson.h>
#include <stdbool.h>

struct harness_output {
    int status; /* exit status, or 128 + signal */
    char *out, *err;
};

/* NULL, or why simulated networks cannot be made here. */
const char *harness_obstacle(void);

/* Prints the whole program as skipped, in TAP; returns its exit status. */
int harness_skip(const char *why);

/* Runs argv (NULL-terminated, looked up in PATH) to its end; fails the check after timeout_s seconds. interrupt_ms > 0
 * sends SIGINT that long after the start. */
struct harness_output harness_run(const char *const *argv, int timeout_s, int interrupt_ms);
void harness_free(struct harness_output *output);

/* Parses text or fails the check; the caller owns the reference. */
json_t *harness_json(const char *text);

/* The value at a dotted path with [indexes] ("pathVis.pathTraces[0].hops"), borrowed; NULL when there is none. */
json_t *harness_at(json_t *json, const char *path);
/* The same; fails the check when there is none or its type is another. */
double harness_number(json_t *json, const char *path);
const char *harness_string(json_t *json, const char *path);

#endif
