#include "server/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/config.h"
#include "wire/json.h"

#define V7 "/v7"

/* --- schemas ----------------------------------------------------------------------------------------------------------- */

static void add_schema(const struct field_table *table, void *user)
{
    json_t *schemas = user;
    if (!json_object_get(schemas, table->name))
        (void)json_object_set_new(schemas, table->name, field_schema(table));
}

static json_t *ref(const char *name)
{
    char text[200];
    (void)snprintf(text, sizeof text, "#/components/schemas/%s", name);
    return json_pack("{s:s}", "$ref", text);
}

static json_t *table_ref(json_t *schemas, const struct field_table *table)
{
    field_walk(table, add_schema, schemas);
    return ref(table->name);
}

/* A record of a typed route is what all tests have and what the type has, in one flat object. */
static json_t *record_schema(json_t *schemas, const struct route_entry *entry, const struct field_table *table)
{
    if (!(entry->route->flags & ROUTE_TYPED) || !entry->type)
        return table_ref(schemas, table);
    return json_pack("{s:[o, o]}", "allOf", table_ref(schemas, table), table_ref(schemas, entry->type->settings));
}

static json_t *part_item(json_t *schemas, const struct route_entry *entry)
{
    const struct field_table *table = entry->part->table;
    if (entry->part->summary && !strstr(entry->pattern, "/round/"))
        table = entry->part->summary;
    return json_pack("{s:[o, o]}", "allOf", table_ref(schemas, entry->route->response), table_ref(schemas, table));
}

static json_t *answer_schema(json_t *schemas, const struct route_entry *entry)
{
    const struct route *route = entry->route;
    json_t *item = entry->part ? part_item(schemas, entry) : record_schema(schemas, entry, route->response);
    json_t *links = json_pack("{s:s, s:b, s:s}", "type", "object", "readOnly", 1, "description", "Links");
    if (!route->list)
        return json_pack("{s:[o, {s:s, s:{s:o}}]}", "allOf", item, "type", "object", "properties", "_links", links);
    json_t *properties = json_pack("{s:{s:s, s:o}, s:o}", route->list, "type", "array", "items", item, "_links", links);
    if (entry->part) {
        (void)json_object_set_new(properties, "test", ref("UnexpandedTest"));
        if (route->flags & ROUTE_PAGED) {
            for (int i = 0; i < 2; i++)
                (void)json_object_set_new(properties, i ? "endDate" : "startDate",
                                          json_pack("{s:s, s:s, s:b}", "type", "string", "format", "date-time",
                                                    "readOnly", 1));
        }
    }
    return json_pack("{s:s, s:o}", "type", "object", "properties", properties);
}

static void add_problem(json_t *schemas)
{
    json_t *string = json_pack("{s:s}", "type", "string");
    json_t *item = json_pack("{s:s, s:{s:O, s:O, s:O}}", "type", "object", "properties", "code", string, "field", string,
                             "message", string);
    json_t *properties = json_pack("{s:O, s:O, s:{s:s}, s:O, s:O, s:{s:s, s:o}}", "type", string, "title", string,
                                   "status", "type", "integer", "detail", string, "instance", string, "errors", "type",
                                   "array", "items", item);
    (void)json_object_set_new(schemas, "Error", json_pack("{s:s, s:o}", "type", "object", "properties", properties));
    json_decref(string);
}

/* --- operations --------------------------------------------------------------------------------------------------------- */

static void add_query(json_t *parameters, const char *name, const char *description, const char *type)
{
    json_t *schema = json_pack("{s:s}", "type", type);
    (void)json_array_append_new(parameters, json_pack("{s:s, s:s, s:s, s:o}", "name", name, "in", "query", "description",
                                                      description, "schema", schema));
}

static json_t *parameters_of(const struct route_entry *entry)
{
    const struct route *route = entry->route;
    json_t *parameters = json_array();
    for (const char *at = strchr(entry->pattern, '{'); at; at = strchr(at + 1, '{')) {
        json_t *name = json_stringn(at + 1, strcspn(at, "}") - 1);
        (void)json_array_append_new(parameters, json_pack("{s:o, s:s, s:b, s:{s:s}}", "name", name, "in", "path",
                                                          "required", 1, "schema", "type", "string"));
    }
    if (!(route->flags & ROUTE_NO_AID))
        add_query(parameters, "aid", "Account group; the one entered at sign-in when not given", "string");
    if (route->flags & ROUTE_PAGED) {
        add_query(parameters, "window", "Time up to now: a number and s, m, h, d or w", "string");
        add_query(parameters, "startDate", "Begin of the time wanted (ISO 8601, UTC)", "string");
        add_query(parameters, "endDate", "End of the time wanted; now when not given", "string");
        add_query(parameters, "cursor", "Where to go on, from _links.next", "string");
    }
    for (const char *const *query = route->queries; query && *query; query++)
        add_query(parameters, *query, *query, "string");
    if (route->expand) {
        json_t *words = json_array();
        for (const char *const *word = route->expand; *word; word++)
            (void)json_array_append_new(words, json_string(*word));
        (void)json_array_append_new(
            parameters, json_pack("{s:s, s:s, s:s, s:b, s:s, s:{s:s, s:{s:s, s:o}}}", "name", "expand", "in", "query",
                                  "style", "form", "explode", 0, "description", "What to include", "schema", "type",
                                  "array", "items", "type", "string", "enum", words));
    }
    return parameters;
}

static json_t *responses_of(json_t *schemas, const struct route_entry *entry)
{
    static const int errors[] = {400, 401, 403, 404, 429, 500};
    const struct route *route = entry->route;
    char status[8];
    (void)snprintf(status, sizeof status, "%d", route->status ? route->status : 200);
    json_t *responses = json_object();
    json_t *success = json_pack("{s:s}", "description", route->status == 201 ? "Created" : "OK");
    if (route->response)
        (void)json_object_set_new(success, "content", json_pack("{s:{s:o}}", "application/hal+json", "schema",
                                                                answer_schema(schemas, entry)));
    (void)json_object_set_new(responses, status, success);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        (void)snprintf(status, sizeof status, "%d", errors[i]);
        (void)json_object_set_new(responses, status,
                                  json_pack("{s:s, s:{s:{s:o}}}", "description", "Problem", "content",
                                            "application/problem+json", "schema", ref("Error")));
    }
    return responses;
}

static json_t *operation_of(json_t *schemas, const struct route_entry *entry)
{
    const struct route *route = entry->route;
    json_t *operation = json_pack("{s:s, s:s, s:o}", "operationId", entry->operation, "summary", route->help,
                                  "parameters", parameters_of(entry));
    if (*permission_infos[route->permission].label)
        (void)json_object_set_new(operation, "description",
                                  json_sprintf("Needs the permission \"%s\".", permission_infos[route->permission].label));
    if (route->request) {
        json_t *schema = record_schema(schemas, entry, route->request);
        (void)json_object_set_new(operation, "requestBody", json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content",
                                                                      "application/json", "schema", schema));
    }
    (void)json_object_set_new(operation, "responses", responses_of(schemas, entry));
    if (route->permission == PERMISSION_PUBLIC)
        (void)json_object_set_new(operation, "security", json_array());
    return operation;
}

json_t *openapi_document(const struct route_set *routes, const char *url)
{
    json_t *schemas = json_object(), *paths = json_object();
    add_problem(schemas);
    for (size_t i = 0; i < routes->count; i++) {
        const struct route_entry *entry = &routes->entries[i];
        if (!entry->route || !(entry->route->flags & ROUTE_V7))
            continue;
        const char *path = entry->pattern + strlen(V7);
        json_t *item = json_object_get(paths, path);
        if (!item) {
            item = json_object();
            (void)json_object_set_new(paths, path, item);
        }
        char method[16];
        size_t n = 0;
        for (; entry->method[n] && n + 1 < sizeof method; n++)
            method[n] = (char)tolower((unsigned char)entry->method[n]);
        method[n] = 0;
        (void)json_object_set_new(item, method, operation_of(schemas, entry));
    }
    json_t *info = json_pack("{s:s, s:s, s:s}", "title", "Oculi API", "version", "7.0.99", "description",
                             "The operations of API v7 that this server offers.");
    json_t *bearer = json_pack("{s:s, s:s}", "type", "http", "scheme", "bearer");
    return json_pack("{s:s, s:o, s:[{s:o}], s:[{s:[]}], s:o, s:{s:{s:o}, s:o}}", "openapi", "3.0.1", "info", info,
                     "servers", "url", json_sprintf("%s" V7, url), "security", "BearerAuth", "paths", paths,
                     "components", "securitySchemes", "BearerAuth", bearer, "schemas", schemas);
}

void openapi_print(const struct route_set *routes, struct buf *out)
{
    json_t *document = openapi_document(routes, "http://127.0.0.1:8080");
    json_dump_to_buf(document, 2, out);
    buf_putc(out, '\n');
    json_decref(document);
}

/* --- TypeScript ----------------------------------------------------------------------------------------------------------- */

struct typescript {
    struct buf *out;
    json_t *seen;
};

static void add_type(const struct field_table *table, void *user)
{
    struct typescript *typescript = user;
    if (json_object_get(typescript->seen, table->name))
        return;
    (void)json_object_set_new(typescript->seen, table->name, json_true());
    field_typescript(table, typescript->out);
    buf_putc(typescript->out, '\n');
}

static void put_string(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, " %s: ", name);
    json_put_string(out, text ? text : "", text ? strlen(text) : 0);
    buf_putc(out, ',');
}

static bool refuses(const struct measure_type *type, const void *settings, const struct field *field)
{
    struct error err = {0};
    return type->supported(settings, &err) == -E_NOT_SUPPORTED && strcmp(err.where, field->name) == 0;
}

static size_t choices_of(const struct field *field)
{
    size_t count = 0;
    if (field->kind == FIELD_KIND_BOOL)
        return 2;
    while (field->kind == FIELD_KIND_ENUM && field->words[count])
        count++;
    return count;
}

static void choose(void *settings, const struct field *field, size_t choice)
{
    char *at = (char *)settings + field->offset;
    if (field->kind == FIELD_KIND_BOOL)
        *(bool *)at = choice == 1;
    else
        *(int *)at = (int)choice;
}

/* What a type refuses is code, not data: every word of every field is tried, over settings it takes otherwise. */
static void put_unsupported(const struct measure_type *type, struct buf *out)
{
    buf_puts(out, "    unsupported: {");
    char *settings = mem_alloc(type->settings->size), *tried = mem_alloc(type->settings->size);
    field_defaults(type->settings, settings);
    for (size_t i = 0; type->supported && i < type->settings->count; i++) {
        const struct field *field = &type->settings->fields[i];
        for (size_t choice = 0; choice < choices_of(field) && refuses(type, settings, field); choice++)
            choose(settings, field, choice);
    }
    const char *between = "";
    for (size_t i = 0; type->supported && i < type->settings->count; i++) {
        const struct field *field = &type->settings->fields[i];
        size_t refused = 0;
        for (size_t choice = 0; choice < choices_of(field); choice++) {
            memcpy(tried, settings, type->settings->size);
            choose(tried, field, choice);
            if (!refuses(type, tried, field))
                continue;
            const char *word = field->kind == FIELD_KIND_ENUM ? field->words[choice] : choice ? "true" : "false";
            if (refused++)
                buf_printf(out, ", \"%s\"", word);
            else
                buf_printf(out, "%s %s: [\"%s\"", between, field->name, word);
        }
        if (refused) {
            buf_puts(out, "]");
            between = ",";
        }
    }
    buf_puts(out, *between ? " },\n" : "},\n");
    mem_free(tried);
    mem_free(settings);
}

/* What the UI must know of each measure type as data. */
static void put_types(struct buf *out)
{
    buf_puts(out, "export const MEASURE_TYPES = [\n");
    for (const struct measure_type *const *at = measure_types; *at; at++) {
        const struct measure_type *type = *at;
        buf_puts(out, "  {");
        put_string(out, "name", type->name);
        put_string(out, "title", type->title);
        put_string(out, "help", type->help);
        put_string(out, "target", type->target_name);
        put_string(out, "defaultView", type->default_view);
        buf_printf(out, " fields: %s_FIELDS,\n", type->settings->name);
        put_unsupported(type, out);
        buf_puts(out, "    metrics: [\n");
        for (size_t i = 0; i < type->metric_count; i++) {
            const struct measure_metric *metric = &type->metrics[i];
            buf_puts(out, "      {");
            put_string(out, "id", metric->id);
            put_string(out, "title", metric->title);
            put_string(out, "unit", metric->unit);
            put_string(out, "part", metric->part);
            put_string(out, "help", metric->help);
            buf_printf(out, " isHigherWorse: %s },\n", metric->is_higher_worse ? "true" : "false");
        }
        buf_puts(out, "    ],\n    parts: [");
        for (size_t i = 0; i < type->part_count; i++)
            buf_printf(out, "%s{ name: \"%s\", path: \"%s\" }", i ? ", " : "", type->parts[i].name,
                       type->parts[i].api_path);
        buf_puts(out, "],\n  },\n");
    }
    buf_puts(out, "] as const;\n");
}

void openapi_typescript(const struct route_set *routes, struct buf *out)
{
    struct typescript typescript = {out, json_object()};
    buf_puts(out, "// Made by `oculid schema typescript` from the server's tables. Do not edit.\n\n");
    field_typescript_prelude(out);
    buf_putc(out, '\n');
    for (size_t i = 0; i < routes->count; i++) {
        const struct route_entry *entry = &routes->entries[i];
        if (!entry->route)
            continue;
        const struct field_table *tables[] = {entry->route->request, entry->route->response,
                                              entry->type ? entry->type->settings : NULL,
                                              entry->part ? entry->part->table : NULL,
                                              entry->part ? entry->part->summary : NULL};
        for (size_t j = 0; j < sizeof tables / sizeof tables[0]; j++) {
            if (tables[j] && !(entry->route->flags & ROUTE_CBOR))
                field_walk(tables[j], add_type, &typescript);
        }
    }
    put_types(out);
    json_decref(typescript.seen);
}
