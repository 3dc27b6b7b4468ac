/*
 * Writes the seeds that follow from field tables: for each table a few records it allows, as the fuzz targets take
 * them. They are kept in corpus/; after a change of tables run `ninja -C build fuzz-seeds` and look at the difference.
 *
 * usage: fuzz_seeds CORPUS-DIRECTORY
 */
#include <stdio.h>
#include <string.h>

#include "agent/record.h"
#include "base/file.h"
#include "base/limit.h"
#include "fuzz/record.h"
#include "measure/type.h"
#include "wire/field_sample.h"
#include "wire/json.h"
#include "wire/message.h"

#define VARIANTS 4u

static const char *corpus;
static int failures;

static void write_seed(const char *target, const char *table, const char *form, unsigned number, struct buf *buf)
{
    char dir[600], path[800], text[700];
    struct error err;
    (void)snprintf(dir, sizeof dir, "%s/%s", corpus, target);
    (void)snprintf(path, sizeof path, "%s/%s-%u.%s", dir, table, number, form);
    if (file_make_dir(dir, 0755, &err) || file_write(path, buf->data, buf->size, 0644, &err)) {
        (void)fprintf(stderr, "%s\n", error_format(&err, text, sizeof text));
        failures++;
    }
}

static void seed(const char *target, const struct field_table *table, size_t selector, bool is_json)
{
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        struct arena arena;
        struct buf buf;
        arena_init(&arena, LIMIT_REQUEST_ARENA);
        buf_init(&buf, 1 << 20);
        void *record = arena_alloc(&arena, table->size);
        fuzz_fill(table, record, variant, &arena);
        buf_putc(&buf, fuzz_selector(selector));
        if (is_json) {
            json_t *json = field_to_json(table, record, NULL);
            json_dump_to_buf(json, 0, &buf);
            json_decref(json);
        } else {
            field_to_cbor(table, record, &buf);
        }
        write_seed(target, table->name, is_json ? "json" : "cbor", (unsigned)selector * VARIANTS + variant, &buf);
        buf_done(&buf);
        arena_done(&arena);
    }
}

/* Two rounds in a spool: whole, cut within the second, damaged within the first. */
static void seed_spool(void)
{
    struct buf buf;
    buf_init(&buf, 1 << 16);
    for (uint64_t i = 1; i <= 2; i++) {
        unsigned char header[RECORD_HEADER_BYTES];
        static const char payload[] = "\xa1\x67roundId\x1a\x6a\xb1\x3b\x80";
        const struct record record = {
            .test_id = i, .round_id = 1790000000, .bytes = payload, .size = sizeof payload - 1};
        record_header(&record, header);
        buf_put(&buf, header, sizeof header);
        buf_put(&buf, record.bytes, record.size);
    }
    write_seed("spool", "whole", "bin", 0, &buf);
    buf.size -= 3;
    write_seed("spool", "torn", "bin", 0, &buf);
    buf.data[40] ^= 1;
    write_seed("spool", "damaged", "bin", 0, &buf);
    buf_done(&buf);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return 2;
    }
    corpus = argv[1];
    seed_spool();
    seed("cbor", &every_table, 0, false);
    for (size_t mode = 0; mode < 3; mode++)
        seed("json", &every_table, mode, true);
    for (size_t i = 0; message_tables[i]; i++)
        seed("message", message_tables[i], i, false);
    for (size_t i = 0; measure_types[i]; i++) {
        const struct measure_type *type = measure_types[i];
        seed("measure", type->settings, 0, true);
        for (size_t part = 0; part < type->part_count; part++)
            seed("measure", type->parts[part].table, 1 + part, false);
    }
    return failures > 0;
}
