/*
 * Answers compressed as the client takes them: zstd (RFC 8878) or gzip (RFC 1952), by Accept-Encoding (RFC 9110 section
 * 12.5.3). Only what is worth it and holds no secret: whoever can make a browser ask, put words of his own into the
 * answer and see its length could else guess the secret beside them (BREACH).
 */
#ifndef OCULI_SERVER_PACK_H
#define OCULI_SERVER_PACK_H

#include "server/http.h"

enum pack_coding { PACK_IDENTITY, PACK_GZIP, PACK_ZSTD };

/* What an Accept-Encoding header allows that we have, the best of it; NULL = no header. Apart for checks. */
enum pack_coding pack_choose(const char *accept_encoding);

/* Replaces the body of an answer that is about to be sent, and says so in its headers. */
void pack_response(struct http_request *request);

#endif
