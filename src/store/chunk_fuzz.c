/* Whatever an agent sends comes out of a chunk as it went in; and a chunk that somebody made up is refused or read within
 * its bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "store/chunk.h"

#define WORDS 512

static struct buf words[WORDS];
static size_t word_count;

static int put_word(void *user, const void *bytes, size_t size, uint64_t *ret_id, struct error *err)
{
    (void)user;
    if (word_count == WORDS)
        return error_set(err, E_LIMIT, "words", "too many");
    buf_init(&words[word_count], 1 << 24);
    if (size)
        buf_put(&words[word_count], bytes, size);
    *ret_id = ++word_count;
    return 0;
}

static int get_word(void *user, uint64_t id, const void **ret_bytes, size_t *ret_size, struct error *err)
{
    (void)user;
    if (!id || id > word_count)
        return error_set(err, E_CORRUPT, "words", "there is none");
    *ret_bytes = words[id - 1].data;
    *ret_size = words[id - 1].size;
    return 0;
}

static void forget_words(void)
{
    while (word_count)
        buf_done(&words[--word_count]);
}

/* chunk_write compares what it wrote with what it was given. */
static void round_trip(const struct chunk_words *access, const uint8_t *data, size_t size)
{
    struct buf out;
    struct store_round rounds[3];
    size_t third = size / 3;
    for (size_t i = 0; i < 3; i++)
        rounds[i] = (struct store_round){.round_id = (int64_t)i * 60, .body = data + i * third, .body_size = third};
    rounds[2].body = data;
    rounds[2].body_size = size;
    buf_init(&out, 1 << 26);
    int rc = chunk_write(rounds, 3, CHUNK_METRICS, access, &out, NULL);
    if (rc && rc != -E_LIMIT)
        abort();
    buf_done(&out);
    forget_words();
}

static void made_up(const struct chunk_words *access, const uint8_t *data, size_t size)
{
    struct arena arena;
    struct buf bytes, body;
    struct chunk *chunk;
    uint64_t id;
    arena_init(&arena, 32 << 20);
    buf_init(&bytes, 1 << 24);
    buf_init(&body, 1 << 24);
    size_t third = size / 3; /* two words, then the chunk */
    (void)put_word(NULL, data, third, &id, NULL);
    (void)put_word(NULL, data + third, third, &id, NULL);
    buf_put(&bytes, data + 2 * third, size - 2 * third);
    uint32_t crc = crc32c(0, bytes.data, bytes.size);
    for (unsigned i = 0; i < 4; i++)
        buf_putc(&bytes, (char)(unsigned char)(crc >> 8 * i));
    if (!chunk_open(bytes.data, bytes.size, "fuzz", access, &arena, &chunk, NULL)) {
        struct store_round round;
        if (chunk_flags(chunk) & CHUNK_METRICS)
            (void)chunk_row(chunk, 0, &round, NULL);
        (void)chunk_body(chunk, chunk_count(chunk) - 1, &body, NULL);
    }
    buf_done(&bytes);
    buf_done(&body);
    arena_done(&arena);
    forget_words();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chunk_words access;
    if (!access.compressor)
        access = (struct chunk_words){.put = put_word,
                                      .get = get_word,
                                      .compressor = ZSTD_createCCtx(),
                                      .decompressor = ZSTD_createDCtx()};
    if (size < 8)
        return 0;
    if (data[0] & 1)
        round_trip(&access, data + 1, size - 1);
    else
        made_up(&access, data + 1, size - 1);
    return 0;
}
