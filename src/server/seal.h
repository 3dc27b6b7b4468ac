/*
 * Secrets that must be read again (TOTP keys, credentials, passwords of proxies), sealed before they are stored: the
 * database alone, or a backup of it, tells none of them. XSalsa20-Poly1305 (libsodium's secretbox) under a key of the
 * data directory's file "seal-keys", from which one key for each purpose is derived, so that a text moved from one
 * place to another does not open there.
 *
 * The file holds one key a line, "ID HEX", the newest first. New texts are sealed with the first; every key that is
 * still listed opens what it sealed. seal_rotate puts a new key first; seal_again brings a stored text to it.
 *
 * What is opened lives in the caller's arena and must not be logged, answered or stored.
 */
#ifndef OCULI_SERVER_SEAL_H
#define OCULI_SERVER_SEAL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

struct seal;

/* Reads the keys of a file, and makes the file with a first key when there is none. -E_CORRUPT when it holds anything
 * but keys: a server that lost its keys must say so and not make new ones. */
int seal_load(const char *path, struct seal **ret_seal, struct error *err);
void seal_free(struct seal *seal); /* wipes the keys; NULL is fine */

/* Puts a new key first in the file. Texts sealed before still open. */
int seal_rotate(struct seal *seal, struct error *err);

/* purpose: words of letters, digits, '.' and '-', such as "credential". ret_sealed is text for a FIELD_SECRET field. */
int seal_text(const struct seal *seal, const char *purpose, const char *plain, struct arena *arena,
              const char **ret_sealed, struct error *err);

/* -E_CORRUPT when it is no sealed text, was sealed for another purpose or with a key that is gone, or was damaged. */
int seal_open(const struct seal *seal, const char *purpose, const char *sealed, struct arena *arena,
              const char **ret_plain, struct error *err);

/* Whether a stored text is a sealed one. */
bool seal_is_sealed(const char *text);

/* Seals anew what an older key sealed; ret_sealed is sealed itself when it already is of the newest. */
int seal_again(const struct seal *seal, const char *sealed, struct arena *arena, const char **ret_sealed,
               struct error *err);

#endif
