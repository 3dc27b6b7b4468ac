/*
 * What an operator does on the server's own machine while it stands still: a new password for who lost his, new keys
 * for what is sealed.
 */
#ifndef OCULI_SERVER_REPAIR_H
#define OCULI_SERVER_REPAIR_H

#include "server/config.h"

/* Prints a one-time password of the user; his second factor and his sessions go, and the audit log is told. */
int repair_reset_password(const struct config *config, const char *email, struct error *err);

/* Puts a new key first, and seals with it what is stored. Older versions of objects stay as they were. */
int repair_rotate_keys(const struct config *config, struct error *err);

#endif
