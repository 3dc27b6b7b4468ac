#include "server/route.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define ENTRIES_MAX 2000u
#define ROUTE_ARENA_BYTES (1u << 20)

const char *route_pascal(struct arena *arena, const char *name)
{
    char *out = arena_alloc(arena, strlen(name) + 1);
    size_t n = 0;
    bool is_start = true;
    for (const char *c = name; *c; c++) {
        if (*c == '-') {
            is_start = true;
            continue;
        }
        out[n++] = is_start ? (char)toupper((unsigned char)*c) : *c;
        is_start = false;
    }
    return out;
}

static const char *replace(struct arena *arena, const char *text, const char *word, const char *with)
{
    const char *at = strstr(text, word);
    if (!at)
        return text;
    return arena_printf(arena, "%.*s%s%s", (int)(at - text), text, with, at + strlen(word));
}

static void refuse(const struct route *route, const char *why)
{
    fprintf(stderr, "oculid: route %s %s %s\n", route->method, route->pattern, why);
    abort();
}

static void add(struct route_set *set, const struct route *route, const struct measure_type *type,
                const struct measure_part *part)
{
    assert(set->count < ENTRIES_MAX);
    const char *pattern = route->pattern, *operation = route->operation;
    if (type && strstr(pattern, "{type}")) {
        pattern = replace(&set->arena, pattern, "{type}", type->name);
        operation = replace(&set->arena, operation, "{Type}", route_pascal(&set->arena, type->name));
    }
    if (part) {
        pattern = replace(&set->arena, pattern, "{part}", part->api_path);
        operation = replace(&set->arena, operation, "{Part}", route_pascal(&set->arena, part->name));
    }
    for (size_t i = 0; i < set->count; i++) {
        if (str_equal(set->entries[i].pattern, pattern) && str_equal(set->entries[i].method, route->method))
            return; /* two types share this part: results are found by the test's own type */
    }
    set->entries[set->count++] = (struct route_entry){route, route->method, pattern, operation, type, part};
}

static void expand(struct route_set *set, const struct route *route)
{
    if (route->permission == PERMISSION_UNSET || route->permission >= PERMISSION_COUNT)
        refuse(route, "names no permission");
    if (!route->fn || !route->operation || !route->help)
        refuse(route, "is incomplete");
    bool is_per_type = strstr(route->pattern, "{type}") != NULL, is_per_part = strstr(route->pattern, "{part}") != NULL;
    if (!is_per_type && !is_per_part) {
        add(set, route, NULL, NULL);
        return;
    }
    for (const struct measure_type *const *type = measure_types; *type; type++) {
        if (is_per_type)
            add(set, route, *type, NULL);
        for (size_t i = 0; is_per_part && i < (*type)->part_count; i++) {
            if (route->flags & ROUTE_DETAIL && !(*type)->parts[i].summary)
                continue;
            add(set, route, *type, &(*type)->parts[i]);
        }
    }
}

void route_set_init(struct route_set *set, const struct route *const *tables)
{
    *set = (struct route_set){0};
    arena_init(&set->arena, ROUTE_ARENA_BYTES);
    set->entries = arena_alloc_array(&set->arena, ENTRIES_MAX, sizeof *set->entries);
    for (; *tables; tables++) {
        for (const struct route *route = *tables; route->method; route++)
            expand(set, route);
    }
    /* What v7 knows and we do not offer answers so, and is no unknown path. */
    size_t offered = set->count;
    for (size_t i = 0; i < v7_operation_count; i++) {
        const char *pattern = arena_printf(&set->arena, "/v7%s", v7_operations[i][1]);
        struct route_match match;
        struct arena scratch;
        arena_init(&scratch, 4096);
        struct route_set ours = {.entries = set->entries, .count = offered};
        route_find(&ours, v7_operations[i][0], pattern, &scratch, &match);
        bool is_ours = match.entry && str_equal(match.entry->pattern, pattern);
        arena_done(&scratch);
        assert(set->count < ENTRIES_MAX);
        if (!is_ours)
            set->entries[set->count++] = (struct route_entry){.method = v7_operations[i][0], .pattern = pattern};
    }
}

void route_set_done(struct route_set *set)
{
    arena_done(&set->arena);
}

/* Whether path fits pattern. A literal segment beats a {name}: ret_rank grows with literals further left. */
static bool fits(const char *pattern, const char *path, uint32_t *ret_rank)
{
    uint32_t rank = 0, bit = 1u << 31;
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t pattern_length = strcspn(pattern, "/"), path_length = strcspn(path, "/");
        if (*pattern == '{') {
            if (path_length == 0)
                return false;
        } else {
            if (pattern_length != path_length || memcmp(pattern, path, path_length) != 0)
                return false;
            rank |= bit;
        }
        bit >>= 1;
        pattern += pattern_length;
        path += path_length;
    }
    *ret_rank = rank;
    return *pattern == 0 && *path == 0;
}

static void take_params(const char *pattern, const char *path, struct arena *arena, struct route_match *match)
{
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t pattern_length = strcspn(pattern, "/"), path_length = strcspn(path, "/");
        if (*pattern == '{' && match->param_count < ROUTE_PARAMS_MAX) {
            match->params[match->param_count++] = (struct route_param){
                arena_strndup(arena, pattern + 1, pattern_length - 2), arena_strndup(arena, path, path_length)};
        }
        pattern += pattern_length;
        path += path_length;
    }
}

void route_find(const struct route_set *set, const char *method, const char *path, struct arena *arena,
                struct route_match *ret_match)
{
    *ret_match = (struct route_match){0};
    uint32_t best = 0, rank;
    for (size_t i = 0; i < set->count; i++) {
        if (fits(set->entries[i].pattern, path, &rank) && (!ret_match->is_path_known || rank > best)) {
            ret_match->is_path_known = true;
            best = rank;
        }
    }
    if (!ret_match->is_path_known)
        return;
    for (size_t i = 0; i < set->count; i++) {
        const struct route_entry *entry = &set->entries[i];
        if (!fits(entry->pattern, path, &rank) || rank != best)
            continue;
        size_t used = strlen(ret_match->allow);
        if (used + strlen(entry->method) + 3 < sizeof ret_match->allow && !strstr(ret_match->allow, entry->method))
            (void)snprintf(ret_match->allow + used, sizeof ret_match->allow - used, "%s%s", used ? ", " : "",
                           entry->method);
        if (!ret_match->entry && strcmp(entry->method, method) == 0)
            ret_match->entry = entry;
    }
    if (ret_match->entry)
        take_params(ret_match->entry->pattern, path, arena, ret_match);
}

static const char *permission_word(enum permission permission)
{
    return permission == PERMISSION_PUBLIC      ? "public"
           : permission == PERMISSION_AGENT     ? "agent"
           : permission == PERMISSION_SIGNED_IN ? "signed-in"
                                                : permission_infos[permission].name;
}

void route_print(const struct route_set *set, struct buf *out)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {
        {ROUTE_V7, "v7"},         {ROUTE_OCULI, "oculi"},   {ROUTE_CBOR, "cbor"},
        {ROUTE_NO_AID, "no-aid"}, {ROUTE_PLAIN, "plain"},   {ROUTE_ANY_PASSWORD, "any-password"},
        {ROUTE_SILENT, "silent"}, {ROUTE_SECRET, "secret"},
    };
    for (size_t i = 0; i < set->count; i++) {
        const struct route_entry *entry = &set->entries[i];
        if (!entry->route)
            continue;
        buf_printf(out, "%s\t%s\t%s\t%s\t%s\t", entry->method, entry->pattern, entry->operation,
                   permission_word(entry->route->permission), permission_word(entry->route->or_permission));
        for (size_t j = 0, told = 0; j < sizeof flags / sizeof flags[0]; j++) {
            if (entry->route->flags & flags[j].flag)
                buf_printf(out, "%s%s", told++ ? "," : "", flags[j].name);
        }
        buf_puts(out, "\n");
    }
}

/* The entry that answers an operation of v7, by its place under one of our patterns; NULL when it answers 501. */
static const struct route_entry *find_offered(const struct route_set *set, const char *method, const char *path)
{
    char full[256];
    uint32_t rank, best = 0;
    const struct route_entry *found = NULL;
    (void)snprintf(full, sizeof full, "/v7%s", path);
    for (size_t i = 0; i < set->count; i++) {
        const struct route_entry *entry = &set->entries[i];
        if (entry->route && str_equal(entry->method, method) && fits(entry->pattern, full, &rank) &&
            (!found || rank > best)) {
            found = entry;
            best = rank;
        }
    }
    /* "/tests/{testId}/run" also fits "/tests/api/instant": only a pattern of the same literals is the operation. */
    return found && str_equal(found->pattern, full) ? found : NULL;
}

static void print_area(const struct route_set *set, const char *area, size_t length, struct buf *out)
{
    buf_printf(out, "\n## /%.*s\n\n| operation | | permission |\n|---|---|---|\n", (int)length, area);
    for (size_t i = 0; i < v7_operation_count; i++) {
        const char *path = v7_operations[i][1];
        if (strncmp(path + 1, area, length) != 0 || (path[1 + length] != 0 && path[1 + length] != '/'))
            continue;
        const struct route_entry *entry = find_offered(set, v7_operations[i][0], path);
        buf_printf(out, "| `%s %s` | %s | %s |\n", v7_operations[i][0], path, entry ? entry->route->help : "501",
                   entry ? permission_word(entry->route->permission) : "");
    }
}

void route_print_coverage(const struct route_set *set, struct buf *out)
{
    size_t offered = 0;
    for (size_t i = 0; i < v7_operation_count; i++)
        offered += find_offered(set, v7_operations[i][0], v7_operations[i][1]) != NULL;
    buf_printf(out,
               "# What of API v7 is real\n\nPrinted by `oculid schema coverage` from the server's table of routes. Of the "
               "%zu operations of API v7\n(7.0.99) this version offers %zu. Every other one answers 501 with a problem "
               "document, never a made-up result.\n",
               v7_operation_count, offered);
    for (size_t i = 0; i < v7_operation_count; i++) {
        const char *area = v7_operations[i][1] + 1;
        size_t length = strcspn(area, "/");
        bool is_new = true;
        for (size_t j = 0; j < i && is_new; j++)
            is_new = strncmp(v7_operations[j][1] + 1, area, length) != 0 ||
                     (v7_operations[j][1][1 + length] != 0 && v7_operations[j][1][1 + length] != '/');
        if (is_new)
            print_area(set, area, length, out);
    }
}
