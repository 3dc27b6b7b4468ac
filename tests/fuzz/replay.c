/*
 * Runs a fuzz target over its corpus, and over a fixed number of small changes to each file, without a fuzzer: what
 * once broke must not break again, on any compiler. Prints TAP; a crash ends it early, which counts as a failure.
 *
 * usage: REPLAY CORPUS-DIRECTORY [CHANGES]
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

#define FILE_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input gets memory of its exact size, so that valgrind and the sanitizers see a read beyond it. */
static void run(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = mem_alloc(size);
    if (size)
        memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    mem_free(copy);
}

static void run_changed(const struct buf *original, struct rng *rng)
{
    struct buf changed;
    buf_init(&changed, FILE_BYTES_MAX);
    buf_put(&changed, original->data, original->size);
    for (uint64_t n = 1 + rng_below(rng, 3); n > 0 && changed.size > 0; n--) {
        size_t at = rng_below(rng, changed.size);
        switch (rng_below(rng, 4)) {
        case 0:
            changed.data[at] = (unsigned char)rng_u64(rng);
            break;
        case 1:
            changed.data[at] ^= (unsigned char)(1u << rng_below(rng, 8));
            break;
        case 2:
            changed.size = at; /* cut */
            break;
        default: { /* a piece moved elsewhere */
            size_t from = rng_below(rng, changed.size), length = changed.size - (at > from ? at : from);
            memmove(changed.data + at, changed.data + from, rng_below(rng, length + 1));
            break;
        }
        }
    }
    run(changed.data, changed.size);
    buf_done(&changed);
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY [CHANGES]\n", argv[0]);
        return 2;
    }
    unsigned long changes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct dirent **entries = NULL;
    int count = scandir(argv[1], &entries, is_file, alphasort);
    if (count <= 0) {
        (void)printf("1..1\nnot ok 1 - no corpus in %s\n", argv[1]);
        return 1;
    }
    (void)printf("1..%d\n", count);
    int failed = 0;
    for (int i = 0; i < count; i++) {
        struct error err;
        struct buf bytes;
        struct rng rng;
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        buf_init(&bytes, FILE_BYTES_MAX);
        bool is_read = file_read(path, &bytes, &err) == 0;
        rng_seed(&rng, (uint64_t)i + 1);
        (void)printf("# %s\n", entries[i]->d_name);
        (void)fflush(stdout);
        if (is_read) {
            run(bytes.data, bytes.size);
            for (unsigned long n = 0; n < changes; n++)
                run_changed(&bytes, &rng);
        }
        failed += !is_read;
        (void)printf("%sok %d - %s and %lu changes to it\n", is_read ? "" : "not ", i + 1, entries[i]->d_name, changes);
        buf_done(&bytes);
        free(entries[i]); /* scandir's */
    }
    free(entries);
    return failed > 0;
}
