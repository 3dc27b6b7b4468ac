/*
 * Who the agent is to its server: kept in the file `identity` of the state directory (mode 0600, replaced atomically,
 * with a sum), made by registering with the token of an account group.
 */
#ifndef OCULI_AGENT_IDENTITY_H
#define OCULI_AGENT_IDENTITY_H

#include "agent/http.h"
#include "agent/options.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/rng.h"
#include "wire/message.h"

/* -E_NOT_FOUND: not registered. -E_CORRUPT: the file is damaged; the text says what to do. */
int identity_load(const char *state_dir, struct message_identity *ret_identity, struct arena *arena,
                  struct error *err);
/* Refuses (-E_FULL, …) a state directory that could not take an identity: to ask the server for one first would leave
 * an agent there that nobody is. */
int identity_make_room(const char *state_dir, struct error *err);
int identity_save(const char *state_dir, const struct message_identity *identity, struct error *err);

struct probe_engine;
struct registration;

/* Called once: 0 with the identity, already saved (valid during the call), or the reason why trying again is useless:
 * -E_AUTH (the server does not know the token) or the failure to save. */
typedef void registration_fn(void *user, int rc, const struct message_identity *identity, const struct error *err);

struct registration_settings {
    struct loop *loop;
    struct http *http;
    struct rng *rng;
    const struct agent_options *options; /* outlives the registration */
    const struct probe_engine *engine;   /* knows the addresses when measuring happens in another network namespace */
    void (*retry)(void *user, const char *why); /* told of each attempt that failed and will be repeated */
    registration_fn *done;
    void *user;
};

/* Tries until it succeeds, is refused, or is freed. */
struct registration *registration_start(const struct registration_settings *settings);
void registration_free(struct registration *registration); /* not from within done; NULL is fine */

#endif
