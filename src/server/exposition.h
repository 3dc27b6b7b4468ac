/*
 * Metrics as Prometheus and its kin read them: the text format 0.0.4, or OpenMetrics 1.0 for who asks for it. The two
 * differ in the names of counters' families, in their content type and in the end.
 */
#ifndef OCULI_SERVER_EXPOSITION_H
#define OCULI_SERVER_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "server/tally.h"

struct exposition {
    struct buf *out;
    bool is_open; /* OpenMetrics */
};

/* What an Accept header asks for; NULL = nothing in particular. */
bool exposition_wants_open(const char *accept);
const char *exposition_type(const struct exposition *to); /* for Content-Type */

/* A family: counters end in _total. type "counter", "gauge" or "histogram"; its samples follow at once. */
void exposition_family(struct exposition *to, const char *name, const char *type, const char *help);
/* labels as `{part="v7"}`, or "". Values of labels are words of ours and need no escapes. */
void exposition_value(struct exposition *to, const char *name, const char *labels, double value);
/* label as `part="v7"`, or "". */
void exposition_times(struct exposition *to, const char *name, const char *label, const struct tally_times *times);
void exposition_end(struct exposition *to);

#endif
