/*
 * Plain resources: objects of an account group that API v7 lists, reads, creates, changes and deletes one by one. Such
 * a resource is a struct resource beside its tables; its routes name these handlers. The struct of the stored record,
 * of what the API takes and of what it answers is the same one, under three tables.
 */
#ifndef OCULI_SERVER_RESOURCE_H
#define OCULI_SERVER_RESOURCE_H

#include "server/request.h"

struct resource {
    const struct object_kind *kind;
    const char *path;  /* "/v7/tags": an item's own address is that, "/" and its id */
    const char *param; /* the id in paths: "id" */
    size_t uuid;       /* offset of a const char *, the kind's lookup, when v7 knows items by a UUID; else OBJECT_NONE */
    bool is_put_whole; /* PUT sets what is not given to its default; otherwise it keeps it */
    bool is_forgotten; /* no version is kept of what is deleted: it held a secret */
    const char *key;   /* the field that must be unique, for the error: "name" */
    /* Rules beyond the tables, before anything is kept; may fill in what follows from the rest. before: NULL on
     * creation. */
    int (*check)(struct request *request, const void *before, void *record, struct error *err);
    /* Adds to an answer what no field holds. */
    int (*show)(struct request *request, const void *record, json_t *json, struct error *err);
    /* Inside the transaction of a deletion: what goes with it, or why it cannot go. */
    int (*leave)(struct request *request, const void *record, struct error *err);
    /* After the commit. */
    void (*changed)(struct request *request, const void *record);
};

int resource_list(struct request *request, struct error *err);
int resource_get(struct request *request, struct error *err);
int resource_create(struct request *request, struct error *err); /* routes with ROUTE_PARTIAL */
int resource_put(struct request *request, struct error *err);    /* routes with ROUTE_PARTIAL */
int resource_delete(struct request *request, struct error *err);

/* --- for resources that do more ------------------------------------------------------------------------------------- */

/* The item of the path. -E_NOT_FOUND. */
int resource_find(struct request *request, void *ret_record, struct error *err);
/* The item with that id as v7 spells it. */
int resource_find_id(struct request *request, const struct resource *resource, const char *id, void *ret_record,
                     struct error *err);
json_t *resource_json(struct request *request, const struct resource *resource, const struct field_table *table,
                      const void *record, struct error *err);
/* A new item from JSON, checked and kept; part of the caller's transaction when there is one. */
int resource_make(struct request *request, const struct resource *resource, const struct field_table *table,
                  const json_t *json, void *ret_record, struct error *err);

#endif
