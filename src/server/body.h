/*
 * Bodies of agents: CBOR records, perhaps compressed with zstd (RFC 8878).
 */
#ifndef OCULI_SERVER_BODY_H
#define OCULI_SERVER_BODY_H

#include "server/request.h"

/* Reads the request's body into record, which lives in the request's arena. -E_LIMIT when it unpacks to more than
 * LIMIT_REQUEST_BYTES, -E_INVALID and the like when it is no such record. */
int body_read(struct request *request, const struct field_table *table, void *record, struct error *err);

#endif
