/*
 * Bodies of agents: CBOR records, perhaps compressed with zstd (RFC 8878).
 */
#ifndef OCULI_SERVER_BODY_H
#define OCULI_SERVER_BODY_H

#include "server/request.h"

/* Reads the request's body into record, which lives in the request's arena. -E_LIMIT when it unpacks to more than
 * LIMIT_REQUEST_BYTES, -E_INVALID and the like when it is no such record. */
int body_read(struct request *request, const struct field_table *table, void *record, struct error *err);
/* The same into another arena; the request's body is not needed any more and given back. */
int body_take(struct request *request, const struct field_table *table, void *record, struct arena *arena,
              struct error *err);

#endif
