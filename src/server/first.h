/*
 * The data directory: what the first start makes (account group, administrator, agent token) and what every start
 * refreshes. Secrets are in files only their owner reads:
 *
 *   first-login   e-mail and one-time password of the administrator; removed once another was chosen
 *   agent-token   what an agent shows to register
 *   api-token     a bearer token of the administrator for programs of this machine, new at each start
 *   run.json      where the running server is: {"url", "local", "pid", "version"}
 *   key           seals cursors
 *   seal-keys     seal the secrets that are kept (seal.h)
 */
#ifndef OCULI_SERVER_FIRST_H
#define OCULI_SERVER_FIRST_H

#include "server/server.h"

#define FIRST_EMAIL "admin@oculi.local"

int first_open_store(const struct config *config, struct arena *arena, struct store **ret_store, struct error *err);
/* Opens the store in the data directory and makes what is missing. */
int first_open(struct server *server, struct error *err);
/* Written when the server listens. */
int first_tell(struct server *server, struct error *err);
/* Writes DATA/agent-token: the first account group's. At the start, and when it was rotated. */
int first_tell_agent_token(const struct server *server, struct error *err);
/* The administrator chose a password. */
void first_forget_password(const struct server *server);
/* "oculid token": prints DATA/api-token. */
int first_print_token(const struct config *config, struct error *err);

#endif
