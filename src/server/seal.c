#include "server/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#define KEYS_MAX 100u
#define ID_BYTES 8u /* hexadecimal digits */
#define LINE_BYTES (ID_BYTES + 1 + 2 * crypto_secretbox_KEYBYTES + 1)
#define PURPOSE_MAX 64u
#define PREFIX "sealed:" /* sealed:ID:PURPOSE:BASE64URL(nonce, box) */

struct key {
    char id[ID_BYTES + 1];
    unsigned char bytes[crypto_secretbox_KEYBYTES];
};

struct seal {
    char path[4096];
    struct key keys[KEYS_MAX]; /* the newest first */
    size_t count;
};

/* --- the file -------------------------------------------------------------------------------------------------------- */

static void new_key(struct key *key)
{
    unsigned char id[ID_BYTES / 2];
    rng_secret(id, sizeof id);
    rng_secret(key->bytes, sizeof key->bytes);
    str_hex(id, sizeof id, key->id);
}

static int write_keys(const struct seal *seal, struct error *err)
{
    char text[KEYS_MAX * (LINE_BYTES + 1)];
    size_t size = 0;
    for (size_t i = 0; i < seal->count; i++) {
        char hex[2 * crypto_secretbox_KEYBYTES + 1];
        str_hex(seal->keys[i].bytes, sizeof seal->keys[i].bytes, hex);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s %s\n", seal->keys[i].id, hex);
        sodium_memzero(hex, sizeof hex);
    }
    int rc = file_write(seal->path, text, size, 0600, err);
    sodium_memzero(text, sizeof text);
    return rc;
}

static int read_line(struct seal *seal, const char *line, size_t length)
{
    struct key *key = &seal->keys[seal->count];
    char hex[2 * crypto_secretbox_KEYBYTES + 1];
    unsigned char id[ID_BYTES / 2];
    if (seal->count == KEYS_MAX || length != LINE_BYTES - 1 || line[ID_BYTES] != ' ')
        return -E_CORRUPT;
    memcpy(key->id, line, ID_BYTES);
    key->id[ID_BYTES] = 0;
    memcpy(hex, line + ID_BYTES + 1, sizeof hex - 1);
    hex[sizeof hex - 1] = 0;
    int rc = str_unhex(key->id, id, sizeof id);
    if (!rc)
        rc = str_unhex(hex, key->bytes, sizeof key->bytes);
    sodium_memzero(hex, sizeof hex);
    seal->count += rc == 0;
    return rc;
}

static int read_keys(struct seal *seal, struct error *err)
{
    struct buf text;
    buf_init(&text, KEYS_MAX * (LINE_BYTES + 1));
    int rc = file_read(seal->path, &text, err), bad = 0;
    for (const char *at = rc ? "" : buf_str(&text); *at && !bad;) {
        size_t length = strcspn(at, "\n");
        bad = read_line(seal, at, length);
        at += length + (at[length] == '\n');
    }
    if (!rc && (bad || seal->count == 0))
        rc = error_set(err, E_CORRUPT, seal->path, "this is no file of keys; without them stored secrets cannot be read");
    if (text.data)
        sodium_memzero(text.data, text.size);
    buf_done(&text);
    return rc;
}

int seal_load(const char *path, struct seal **ret_seal, struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, E_NOT_SUPPORTED, "", "libsodium cannot start");
    struct seal *seal = mem_alloc(sizeof *seal);
    int rc = str_copy(seal->path, sizeof seal->path, path) ? 0 : error_set(err, E_INVALID, path, "too long");
    if (!rc && access(path, F_OK) == 0) {
        rc = read_keys(seal, err);
    } else if (!rc && errno == ENOENT) {
        new_key(&seal->keys[0]);
        seal->count = 1;
        rc = write_keys(seal, err);
    } else if (!rc) {
        rc = error_sys(err, errno, path, "cannot be read");
    }
    if (rc) {
        seal_free(seal);
        return rc;
    }
    *ret_seal = seal;
    return 0;
}

void seal_free(struct seal *seal)
{
    if (!seal)
        return;
    sodium_memzero(seal, sizeof *seal);
    mem_free(seal);
}

int seal_rotate(struct seal *seal, struct error *err)
{
    if (seal->count == KEYS_MAX)
        return error_set(err, E_LIMIT, seal->path, "holds %u keys; remove the oldest ones first", KEYS_MAX);
    memmove(seal->keys + 1, seal->keys, seal->count * sizeof seal->keys[0]);
    seal->count++;
    new_key(&seal->keys[0]);
    int rc = write_keys(seal, err);
    if (rc) {
        seal->count--;
        memmove(seal->keys, seal->keys + 1, seal->count * sizeof seal->keys[0]);
    }
    return rc;
}

/* --- texts ----------------------------------------------------------------------------------------------------------- */

static void derive(const struct key *key, const char *purpose, unsigned char ret_key[crypto_secretbox_KEYBYTES])
{
    (void)crypto_generichash(ret_key, crypto_secretbox_KEYBYTES, (const unsigned char *)purpose, strlen(purpose),
                             key->bytes, sizeof key->bytes);
}

int seal_text(const struct seal *seal, const char *purpose, const char *plain, struct arena *arena,
              const char **ret_sealed, struct error *err)
{
    size_t size = strlen(plain), box_size = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + size;
    assert(*purpose && strlen(purpose) <= PURPOSE_MAX && !strchr(purpose, ':'));
    unsigned char *box = size <= LIMIT_STRING_BYTES ? arena_alloc(arena, box_size) : NULL;
    char *text = box ? arena_alloc(arena, STR_BASE64_BYTES(box_size)) : NULL;
    if (!text)
        return error_set(err, E_LIMIT, "", "the secret is too long");
    unsigned char key[crypto_secretbox_KEYBYTES];
    derive(&seal->keys[0], purpose, key);
    rng_secret(box, crypto_secretbox_NONCEBYTES);
    (void)crypto_secretbox_easy(box + crypto_secretbox_NONCEBYTES, (const unsigned char *)plain, size, box, key);
    sodium_memzero(key, sizeof key);
    (void)str_base64url(box, box_size, text);
    const char *sealed = arena_printf(arena, PREFIX "%s:%s:%s", seal->keys[0].id, purpose, text);
    if (!sealed || strlen(sealed) > LIMIT_STRING_BYTES)
        return error_set(err, E_LIMIT, "", "the secret is too long");
    *ret_sealed = sealed;
    return 0;
}

bool seal_is_sealed(const char *text)
{
    return text && str_starts(text, PREFIX);
}

struct parts {
    char id[ID_BYTES + 1];
    char purpose[PURPOSE_MAX + 1];
    const char *box;
};

static bool split(const char *sealed, struct parts *ret_parts)
{
    if (!seal_is_sealed(sealed))
        return false;
    const char *id = sealed + strlen(PREFIX), *purpose = id + ID_BYTES + 1;
    if (strlen(id) <= ID_BYTES || id[ID_BYTES] != ':')
        return false;
    size_t length = strcspn(purpose, ":");
    if (length == 0 || length > PURPOSE_MAX || purpose[length] != ':')
        return false;
    memcpy(ret_parts->id, id, ID_BYTES);
    ret_parts->id[ID_BYTES] = 0;
    memcpy(ret_parts->purpose, purpose, length);
    ret_parts->purpose[length] = 0;
    ret_parts->box = purpose + length + 1;
    return true;
}

int seal_open(const struct seal *seal, const char *purpose, const char *sealed, struct arena *arena,
              const char **ret_plain, struct error *err)
{
    struct parts parts;
    if (!split(sealed, &parts) || !str_equal(parts.purpose, purpose))
        return error_set(err, E_CORRUPT, "", "a stored secret is not one sealed for this");
    const struct key *found = NULL;
    for (size_t i = 0; i < seal->count && !found; i++)
        found = str_equal(seal->keys[i].id, parts.id) ? &seal->keys[i] : NULL;
    if (!found)
        return error_set(err, E_CORRUPT, "", "a stored secret was sealed with key %s, which is not in %s", parts.id,
                         seal->path);
    size_t room = strlen(parts.box);
    unsigned char *box = arena_alloc(arena, room + 1);
    char *plain = box ? arena_alloc(arena, room + 1) : NULL;
    if (!plain)
        return error_set(err, E_LIMIT, "", "no memory to read a secret");
    unsigned char key[crypto_secretbox_KEYBYTES];
    int size = str_unbase64url(parts.box, box, room);
    int rc = -1;
    if (size >= (int)(crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)) {
        derive(found, purpose, key);
        rc = crypto_secretbox_open_easy((unsigned char *)plain, box + crypto_secretbox_NONCEBYTES,
                                        (size_t)size - crypto_secretbox_NONCEBYTES, box, key);
        sodium_memzero(key, sizeof key);
    }
    if (rc)
        return error_set(err, E_CORRUPT, "", "a stored secret was damaged");
    *ret_plain = plain;
    return 0;
}

int seal_again(const struct seal *seal, const char *sealed, struct arena *arena, const char **ret_sealed,
               struct error *err)
{
    struct parts parts;
    if (!split(sealed, &parts))
        return error_set(err, E_CORRUPT, "", "this is no sealed secret");
    if (str_equal(parts.id, seal->keys[0].id)) {
        *ret_sealed = sealed;
        return 0;
    }
    const char *plain;
    int rc = seal_open(seal, parts.purpose, sealed, arena, &plain, err);
    return rc ? rc : seal_text(seal, parts.purpose, plain, arena, ret_sealed, err);
}
