#include "facts/mmdb.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "facts/scope.h"

enum { STRING = 2, UINT16 = 5, UINT32 = 6, MAP = 7, UINT64 = 9, ARRAY = 11 };

#define FIELDS_MAX 16
#define STRING_BYTES 65000u /* longer ones are cut */
#define LEAF (1u << 31)

struct mmdb_write *mmdb_write_new(const char *type, uint16_t ip_version, uint16_t record_size, uint64_t built_s)
{
    struct mmdb_write *write = mem_alloc(sizeof *write);
    write->type = type;
    write->ip_version = ip_version;
    write->record_size = record_size;
    write->built_s = built_s;
    write->node_count = 1;
    write->node_room = 256;
    write->nodes = mem_alloc_array(write->node_room, sizeof *write->nodes);
    buf_init(&write->data, MMDB_WRITE_DATA_BYTES);
    return write;
}

void mmdb_write_free(struct mmdb_write *write)
{
    buf_done(&write->data);
    mem_free(write->nodes);
    mem_free(write);
}

/* --- data --------------------------------------------------------------------------------------------------------- */

static void put_control(struct buf *out, int type, size_t size)
{
    size_t shown = size < 29 ? size : size < 285 ? 29 : 30;
    assert(size < 285 + 65536);
    buf_putc(out, (char)((type > 7 ? 0 : type << 5) | (int)shown));
    if (type > 7)
        buf_putc(out, (char)(type - 7));
    if (size >= 285)
        buf_putc(out, (char)((size - 285) >> 8));
    if (size >= 29)
        buf_putc(out, (char)(size - (size >= 285 ? 285 : 29)));
}

static void put_string(struct buf *out, const char *text, size_t size)
{
    size = size < STRING_BYTES ? size : STRING_BYTES;
    put_control(out, STRING, size);
    buf_put(out, text, size);
}

static void put_number(struct buf *out, int type, uint64_t value, size_t size)
{
    put_control(out, type, size);
    while (size-- > 0)
        buf_putc(out, (char)(value >> (8 * size)));
}

struct piece {
    const char *path, *value;
    size_t path_size, value_size;
};

static size_t word_size(const struct piece *piece)
{
    const char *dot = memchr(piece->path, '.', piece->path_size);
    return dot ? (size_t)(dot - piece->path) : piece->path_size;
}

static bool is_same_word(const struct piece *a, const struct piece *b)
{
    return word_size(a) == word_size(b) && memcmp(a->path, b->path, word_size(a)) == 0;
}

static bool is_number(const struct piece *piece, uint32_t *ret_number)
{
    uint64_t number;
    char text[32] = "";
    if (piece->value_size < 2 || piece->value_size > sizeof text || *piece->value != '#')
        return false;
    memcpy(text, piece->value + 1, piece->value_size - 1);
    if (str_to_u64(text, UINT32_MAX, &number) != 0)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

static void put_value(struct buf *out, const struct piece *pieces, size_t count)
{
    if (pieces->path_size == 0) {
        uint32_t number;
        if (is_number(pieces, &number))
            put_number(out, UINT32, number, 4);
        else
            put_string(out, pieces->value, pieces->value_size);
        return;
    }
    size_t words = 0;
    for (size_t i = 0; i < count; i++)
        words += i == 0 || !is_same_word(&pieces[i], &pieces[i - 1]);
    bool is_list = word_size(pieces) == 1 && *pieces->path == '0';
    put_control(out, is_list ? ARRAY : MAP, words);
    for (size_t i = 0, next; i < count; i = next) {
        struct piece below[FIELDS_MAX];
        size_t size = word_size(&pieces[i]);
        for (next = i; next < count && is_same_word(&pieces[next], &pieces[i]); next++) {
            struct piece *piece = &below[next - i];
            *piece = pieces[next];
            size_t skipped = size < piece->path_size ? size + 1 : size;
            piece->path += skipped;
            piece->path_size -= skipped;
        }
        if (!is_list)
            put_string(out, pieces[i].path, size);
        put_value(out, below, next - i);
    }
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

/* The number of a new node that is like the value it stands in for; 0 = the ceiling. */
static uint32_t add_node(struct mmdb_write *write, uint32_t covering)
{
    if (write->node_count == MMDB_WRITE_NODES) {
        write->is_full = true;
        return 0;
    }
    if (write->node_count == write->node_room) {
        size_t size = write->node_room * sizeof *write->nodes;
        write->nodes = mem_resize(write->nodes, size, 2 * size);
        write->node_room *= 2;
    }
    write->nodes[write->node_count].value[0] = write->nodes[write->node_count].value[1] = covering;
    return write->node_count++;
}

void mmdb_write_put(struct mmdb_write *write, const char *prefix, const char *fields)
{
    struct scope_prefix scope;
    int rc = scope_parse(prefix, &scope);
    assert(rc == 0);
    struct piece pieces[FIELDS_MAX];
    size_t count = 0;
    for (const char *at = fields; *at; count++) {
        size_t size = strcspn(at, ";"), path = strcspn(at, "=");
        assert(count < FIELDS_MAX && path < size);
        pieces[count] = (struct piece){at, at + path + 1, path, size - path - 1};
        at += size + (at[size] == ';');
    }
    uint32_t leaf = LEAF + (uint32_t)write->data.size;
    put_value(&write->data, pieces, count);

    unsigned char bytes[16] = {0};
    size_t size, before = write->ip_version == 6 && scope.base.sa.sa_family == AF_INET ? 12 : 0;
    const void *base = sock_ip_bytes(&scope.base, &size);
    memcpy(bytes + before, base, size);
    size_t length = before * 8 + scope.length;
    uint32_t node = 0;
    assert(length > 0);
    for (size_t i = 0; i < length; i++) {
        size_t side = bytes[i / 8] >> (7 - i % 8) & 1;
        uint32_t next = write->nodes[node].value[side];
        if (i + 1 == length)
            next = leaf;
        else if (next == 0 || next >= LEAF)
            next = add_node(write, next);
        if (write->is_full)
            return;
        write->nodes[node].value[side] = next;
        node = next;
    }
}

static void put_node(struct buf *out, uint16_t record_size, const uint32_t value[2])
{
    unsigned char node[8] = {0};
    if (record_size == 28) {
        node[3] = (unsigned char)((value[0] >> 24 & 15) << 4 | (value[1] >> 24 & 15));
        for (size_t i = 0; i < 3; i++) {
            node[i] = (unsigned char)(value[0] >> (16 - 8 * i));
            node[4 + i] = (unsigned char)(value[1] >> (16 - 8 * i));
        }
    } else {
        size_t bytes = record_size / 8;
        for (size_t i = 0; i < 2 * bytes; i++)
            node[i] = (unsigned char)(value[i / bytes] >> (8 * (bytes - 1 - i % bytes)));
    }
    buf_put(out, node, record_size / 4);
}

static void put_metadata(const struct mmdb_write *write, struct buf *out)
{
    static const struct {
        const char *name;
        int type;
        size_t size;
    } numbers[] = {{"node_count", UINT32, 4},
                   {"record_size", UINT16, 2},
                   {"ip_version", UINT16, 2},
                   {"build_epoch", UINT64, 8},
                   {"binary_format_major_version", UINT16, 2},
                   {"binary_format_minor_version", UINT16, 2}};
    const uint64_t values[] = {write->node_count, write->record_size, write->ip_version, write->built_s, 2, 0};
    buf_puts(out, "\xab\xcd\xefMaxMind.com");
    put_control(out, MAP, 9);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        put_string(out, numbers[i].name, strlen(numbers[i].name));
        put_number(out, numbers[i].type, values[i], numbers[i].size);
    }
    put_string(out, "database_type", 13);
    put_string(out, write->type, strlen(write->type));
    put_string(out, "languages", 9);
    put_control(out, ARRAY, 1);
    put_string(out, "en", 2);
    put_string(out, "description", 11);
    put_control(out, MAP, 1);
    put_string(out, "en", 2);
    put_string(out, "Made by Oculi", 13);
}

int mmdb_write_bytes(const struct mmdb_write *write, struct buf *out, struct error *err)
{
    static const char gap[16];
    if (write->is_full || write->data.is_overflowed)
        return error_set(err, E_LIMIT, "", "there is too much for one database");
    for (uint32_t i = 0; i < write->node_count; i++) {
        uint32_t value[2];
        for (size_t side = 0; side < 2; side++) {
            uint32_t inner = write->nodes[i].value[side];
            value[side] = inner == 0      ? write->node_count
                          : inner >= LEAF ? inner - LEAF + write->node_count + 16
                                          : inner;
        }
        put_node(out, write->record_size, value);
    }
    buf_put(out, gap, sizeof gap);
    buf_put(out, write->data.data, write->data.size);
    put_metadata(write, out);
    return out->is_overflowed ? error_set(err, E_LIMIT, "", "there is too much for one database") : 0;
}

int mmdb_write_file(const struct mmdb_write *write, const char *path, struct error *err)
{
    struct buf bytes;
    buf_init(&bytes, MMDB_WRITE_NODES * 8u + 2 * MMDB_WRITE_DATA_BYTES);
    int rc = mmdb_write_bytes(write, &bytes, err);
    if (!rc)
        rc = file_write(path, bytes.data, bytes.size, 0644, err);
    buf_done(&bytes);
    return rc;
}
