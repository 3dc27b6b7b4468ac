/*
 * Changes to what the server keeps, each told to the audit log in the transaction that makes it: who, from where, what,
 * and how it was before and is after, without secrets. A handler that writes goes through here; the mechanism stops
 * the program when a route that writes answers success without having done so (ROUTE_SILENT says it need not).
 *
 * Inside a transaction these are part of it; outside, each is one by itself.
 */
#ifndef OCULI_SERVER_CHANGE_H
#define OCULI_SERVER_CHANGE_H

#include "server/object.h"
#include "server/request.h"

/* Creates (head.id 0) or replaces, and records "<Title> created" or "<Title> updated" in the record's account group
 * (the one worked in when it has none). Errors of object_put. */
int change_put(struct request *request, const struct object_kind *kind, void *record, struct error *err);

/* Deletes what was read before, and records "<Title> deleted". is_forgotten: no version is kept. */
int change_delete(struct request *request, const struct object_kind *kind, const void *record, bool is_forgotten,
                  struct error *err);

/* Records what changes no object of its own: "Login failed", "Agent token rotated". resource_type and resource_name may
 * be NULL. Nothing secret may be in it. */
int change_note(struct request *request, uint64_t aid, const char *event, const char *resource_type,
                const char *resource_name, struct error *err);

#endif
