/* Copying, comparing, walking and auditing over field tables. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "wire/field.h"
#include "wire/field_inner.h"

/* --- copy -------------------------------------------------------------------------------------------------------- */

static int copy_value(const struct field *f, const void *from, void *to, struct arena *arena);

static int copy_list(const struct field *f, const struct field_list *from, struct field_list *to, struct arena *arena)
{
    size_t item_size = field_item_size(f);
    char *items = arena_alloc_array(arena, from->count, item_size);
    if (!items)
        return field_out_of_memory(f, NULL);
    for (size_t i = 0; i < from->count; i++) {
        const char *item = (const char *)from->items + i * item_size;
        if (f->kind == FIELD_KIND_STRS) {
            const char *copy = arena_strdup(arena, *(const char *const *)(const void *)item);
            if (!copy)
                return field_out_of_memory(f, NULL);
            ((const char **)(void *)items)[i] = copy;
        } else if (f->kind == FIELD_KIND_LIST) {
            int rc = field_copy(f->table, item, items + i * item_size, arena);
            if (rc)
                return rc;
        } else if (f->kind == FIELD_KIND_I64ROWS) {
            int rc = copy_list(&field_row, (const struct field_list *)(const void *)item,
                               &((struct field_list *)(void *)items)[i], arena);
            if (rc)
                return rc;
        } else {
            memcpy(items + i * item_size, item, item_size);
        }
    }
    *to = (struct field_list){.items = items, .count = from->count};
    return 0;
}

static int copy_bytes(const struct field *f, const struct field_bytes *from, struct field_bytes *to,
                      struct arena *arena)
{
    void *data = arena_alloc(arena, from->size);
    if (!data)
        return field_out_of_memory(f, NULL);
    memcpy(data, from->data, from->size);
    *to = (struct field_bytes){.data = data, .size = from->size};
    return 0;
}

static int copy_value(const struct field *f, const void *from, void *to, struct arena *arena)
{
    if (field_is_absent(f, from)) {
        field_set_absent(f, to);
        return 0;
    }
    if (field_is_list(f))
        return copy_list(f, from, to, arena);
    if (f->kind == FIELD_KIND_BYTES)
        return copy_bytes(f, from, to, arena);
    if (f->kind == FIELD_KIND_RECORD)
        return field_copy(f->table, from, to, arena);
    if (f->kind == FIELD_KIND_RECORD_PTR) {
        void *copy = arena_alloc(arena, f->table->size);
        *(void **)to = copy;
        return copy ? field_copy(f->table, *(void *const *)from, copy, arena) : field_out_of_memory(f, NULL);
    }
    if (f->kind == FIELD_KIND_STR) {
        *(const char **)to = arena_strdup(arena, *(const char *const *)from);
        return *(const char **)to ? 0 : field_out_of_memory(f, NULL);
    }
    memcpy(to, from, field_size(f));
    return 0;
}

int field_copy(const struct field_table *table, const void *record, void *ret_copy, struct arena *arena)
{
    /* Members the table does not know are copied as they are. */
    memmove(ret_copy, record, table->size);
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        int rc = copy_value(f, field_at_const(f, record), field_at(f, ret_copy), arena);
        if (rc)
            return rc;
    }
    return 0;
}

/* --- equal ------------------------------------------------------------------------------------------------------- */

static bool list_equal(const struct field *f, const struct field_list *a, const struct field_list *b)
{
    if (a->count != b->count)
        return false;
    size_t item_size = field_item_size(f);
    for (size_t i = 0; i < a->count; i++) {
        const void *x = (const char *)a->items + i * item_size, *y = (const char *)b->items + i * item_size;
        bool same = f->kind == FIELD_KIND_LIST ? field_equal(f->table, x, y)
                    : f->kind == FIELD_KIND_STRS
                        ? str_equal(*(const char *const *)x, *(const char *const *)y)
                    : f->kind == FIELD_KIND_I64ROWS
                        ? list_equal(&field_row, x, y)
                        : memcmp(x, y, item_size) == 0;
        if (!same)
            return false;
    }
    return true;
}

bool field_value_equal(const struct field *f, const void *a, const void *b)
{
    bool is_absent = field_is_absent(f, a);
    if (is_absent || field_is_absent(f, b))
        return is_absent == field_is_absent(f, b);
    if (field_is_list(f))
        return list_equal(f, a, b);
    if (f->kind == FIELD_KIND_STR)
        return str_equal(*(const char *const *)a, *(const char *const *)b);
    if (f->kind == FIELD_KIND_RECORD)
        return field_equal(f->table, a, b);
    if (f->kind == FIELD_KIND_RECORD_PTR)
        return field_equal(f->table, *(void *const *)a, *(void *const *)b);
    if (f->kind == FIELD_KIND_BYTES) {
        const struct field_bytes *x = a, *y = b;
        return x->size == y->size && memcmp(x->data, y->data, x->size) == 0;
    }
    if (f->kind == FIELD_KIND_F64)
        return *(const double *)a == *(const double *)b;
    return memcmp(a, b, field_size(f)) == 0;
}

bool field_equal(const struct field_table *table, const void *a, const void *b)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        if (!field_value_equal(f, field_at_const(f, a), field_at_const(f, b)))
            return false;
    }
    return true;
}

/* --- walk -------------------------------------------------------------------------------------------------------- */

#define TABLES_MAX 256u

struct walk {
    const struct field_table *seen[TABLES_MAX];
    size_t count;
    void (*fn)(const struct field_table *table, void *user);
    void *user;
};

static void walk_table(struct walk *walk, const struct field_table *table)
{
    for (size_t i = 0; i < walk->count; i++) {
        if (walk->seen[i] == table)
            return;
    }
    assert(walk->count < TABLES_MAX);
    walk->seen[walk->count++] = table;
    for (size_t i = 0; i < table->count; i++) {
        if (table->fields[i].table)
            walk_table(walk, table->fields[i].table);
    }
    walk->fn(table, walk->user);
}

void field_walk(const struct field_table *table, void (*fn)(const struct field_table *table, void *user), void *user)
{
    struct walk walk = {.fn = fn, .user = user};
    walk_table(&walk, table);
}

/* --- audit ------------------------------------------------------------------------------------------------------- */

static int audit_preset(const struct field *f, struct error *err)
{
    if (!f->preset)
        return 0;
    if (f->kind == FIELD_KIND_RECORD || f->kind == FIELD_KIND_RECORD_PTR || f->kind == FIELD_KIND_BYTES)
        return error_set(err, E_INVALID, f->name, "a preset makes no sense here");
    if (field_is_list(f))
        return *f->preset ? error_set(err, E_INVALID, f->name, "the preset of a list can only be empty") : 0;
    union {
        int64_t i;
        double f;
        const char *s;
        bool b;
    } value = {.i = 0};
    if (f->kind == FIELD_KIND_STR) {
        value.s = f->preset;
        return field_check_value(f, &value, err);
    }
    int rc = field_scalar_from_text(f, f->preset, &value, err);
    return rc ? rc : field_check_value(f, &value, err);
}

static int audit_field(const struct field_table *table, const struct field *f, struct error *err)
{
    if (!f->name || !isalpha((unsigned char)f->name[0]))
        return error_set(err, E_INVALID, table->name, "a field without a proper name");
    if (!f->help || !*f->help || islower((unsigned char)*f->help) || f->help[strlen(f->help) - 1] == '.')
        return error_set(err, E_INVALID, f->name, "help must start with a capital and end without a stop");
    if (strstr(f->help, "*/"))
        return error_set(err, E_INVALID, f->name, "help ends a comment");
    bool is_nested = f->kind == FIELD_KIND_RECORD || f->kind == FIELD_KIND_RECORD_PTR || f->kind == FIELD_KIND_LIST;
    if (is_nested != (f->table != NULL))
        return error_set(err, E_INVALID, f->name, "records and lists have a table, others none");
    if (f->offset + field_size(f) > table->size)
        return error_set(err, E_INVALID, f->name, "reaches beyond its struct");
    bool may_have_words = f->kind == FIELD_KIND_ENUM || f->kind == FIELD_KIND_I32 || f->kind == FIELD_KIND_STRS;
    if ((f->kind == FIELD_KIND_ENUM && !f->words) || (f->words && !may_have_words))
        return error_set(err, E_INVALID, f->name, "words belong to enum, i32 and strs");
    for (size_t i = 0; f->words && f->kind == FIELD_KIND_I32 && f->words[i]; i++) {
        int64_t number;
        if (str_to_i64(f->words[i], INT32_MIN + 1, INT32_MAX, &number))
            return error_set(err, E_INVALID, f->name, "word %zu is not a number", i);
    }
    if (!(f->min <= f->max))
        return error_set(err, E_INVALID, f->name, "min is above max");
    return audit_preset(f, err);
}

static int audit_table(const struct field_table *table, struct error *err)
{
    if (!table->name || !table->help || !*table->help || table->count == 0 || table->count > FIELD_COUNT_MAX)
        return error_set(err, E_INVALID, table->name, "a table needs a name, help and 1 to %u fields", FIELD_COUNT_MAX);
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        int rc = audit_field(table, f, err);
        if (rc)
            return rc;
        for (size_t j = 0; j < i; j++) {
            const struct field *g = &table->fields[j];
            if (strcmp(f->name, g->name) == 0)
                return error_set(err, E_EXISTS, f->name, "the name is used twice");
            if (f->letter && f->letter == g->letter)
                return error_set(err, E_EXISTS, f->name, "the letter is used twice");
            bool is_never_read = f->flags & g->flags & FIELD_READONLY; /* in requests: two may stand for nothing */
            if (!is_never_read && f->offset < g->offset + field_size(g) && g->offset < f->offset + field_size(f))
                return error_set(err, E_INVALID, f->name, "shares memory with %s", g->name);
        }
    }
    return 0;
}

struct audit {
    struct error *err;
    int rc;
};

static void audit_one(const struct field_table *table, void *user)
{
    struct audit *audit = user;
    if (audit->rc == 0) {
        audit->rc = audit_table(table, audit->err);
        if (audit->rc)
            error_prefix(audit->err, table->name);
    }
}

int field_audit(const struct field_table *table, struct error *err)
{
    struct audit audit = {.err = err};
    field_walk(table, audit_one, &audit);
    return audit.rc;
}
