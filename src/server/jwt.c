#include "server/jwt.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "base/str.h"
#include "wire/json.h"

#define TOKEN_BYTES_MAX 65536u
#define RSA_BYTES_MIN 256u /* 2048 bits */

struct algorithm {
    const char *name, *key_type, *curve;
    gnutls_sign_algorithm_t sign;
    gnutls_ecc_curve_t ecc;
    size_t half; /* bytes of each of the two numbers of an ECDSA signature (RFC 7518 section 3.4) */
};
static const struct algorithm algorithms[] = {
    {"RS256", "RSA", NULL, GNUTLS_SIGN_RSA_SHA256, GNUTLS_ECC_CURVE_INVALID, 0},
    {"RS384", "RSA", NULL, GNUTLS_SIGN_RSA_SHA384, GNUTLS_ECC_CURVE_INVALID, 0},
    {"RS512", "RSA", NULL, GNUTLS_SIGN_RSA_SHA512, GNUTLS_ECC_CURVE_INVALID, 0},
    {"PS256", "RSA", NULL, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_ECC_CURVE_INVALID, 0},
    {"ES256", "EC", "P-256", GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_ECC_CURVE_SECP256R1, 32},
    {"ES384", "EC", "P-384", GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_ECC_CURVE_SECP384R1, 48},
};

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* The bytes a base64url text stands for; size 0 and NULL when it is none. */
static gnutls_datum_t bytes_of(struct arena *arena, const char *text)
{
    size_t room = text ? strlen(text) : 0;
    unsigned char *bytes = room && room <= TOKEN_BYTES_MAX ? arena_alloc(arena, room) : NULL;
    int size = bytes ? str_unbase64url(text, bytes, room) : -1;
    return size > 0 ? (gnutls_datum_t){bytes, (unsigned)size} : (gnutls_datum_t){NULL, 0};
}

static json_t *json_of(struct arena *arena, const char *text)
{
    gnutls_datum_t bytes = bytes_of(arena, text);
    json_t *json = NULL;
    if (!bytes.data || json_parse_strict(bytes.data, bytes.size, &json, NULL) != 0)
        return NULL;
    if (!json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* With a key id exactly that key, without one the only key that could be meant. */
static const json_t *find_key(const json_t *set, const struct algorithm *algorithm, const char *id)
{
    const json_t *keys = json_object_get(set, "keys"), *key, *found = NULL;
    size_t i;
    json_array_foreach(keys, i, key) {
        const char *use = text_of(key, "use"), *alg = text_of(key, "alg");
        if (!str_equal(text_of(key, "kty"), algorithm->key_type) || (use && !str_equal(use, "sig")) ||
            (alg && !str_equal(alg, algorithm->name)) ||
            (algorithm->curve && !str_equal(text_of(key, "crv"), algorithm->curve)))
            continue;
        if (id ? !str_equal(text_of(key, "kid"), id) : found != NULL)
            continue;
        found = key;
    }
    return found;
}

static bool import_key(gnutls_pubkey_t pubkey, const struct algorithm *algorithm, const json_t *key, struct arena *arena)
{
    if (algorithm->half) {
        gnutls_datum_t x = bytes_of(arena, text_of(key, "x")), y = bytes_of(arena, text_of(key, "y"));
        return x.size == algorithm->half && y.size == algorithm->half &&
               gnutls_pubkey_import_ecc_raw(pubkey, algorithm->ecc, &x, &y) == 0;
    }
    gnutls_datum_t n = bytes_of(arena, text_of(key, "n")), e = bytes_of(arena, text_of(key, "e"));
    return n.size >= RSA_BYTES_MIN && e.size > 0 && gnutls_pubkey_import_rsa_raw(pubkey, &n, &e) == 0;
}

static bool is_signed(const struct algorithm *algorithm, const json_t *key, const gnutls_datum_t *data,
                      gnutls_datum_t signature, struct arena *arena)
{
    gnutls_pubkey_t pubkey;
    gnutls_datum_t der = {NULL, 0};
    if (gnutls_pubkey_init(&pubkey) != 0)
        return false;
    bool is_good = import_key(pubkey, algorithm, key, arena);
    if (is_good && algorithm->half) {
        gnutls_datum_t r = {signature.data, (unsigned)algorithm->half},
                       s = {signature.data + algorithm->half, (unsigned)algorithm->half};
        is_good = signature.size == 2 * algorithm->half && gnutls_encode_rs_value(&der, &r, &s) == 0;
        signature = der;
    }
    is_good = is_good && gnutls_pubkey_verify_data2(pubkey, algorithm->sign, 0, data, &signature) >= 0;
    gnutls_free(der.data);
    gnutls_pubkey_deinit(pubkey);
    return is_good;
}

static int refuse(struct error *err, const char *why)
{
    return error_set(err, E_AUTH, "", "the identity token %s", why);
}

static int check_signature(const char *token, const char *header_end, const char *payload_end, const json_t *key_set,
                           struct arena *arena, struct error *err)
{
    json_t *header = json_of(arena, arena_strndup(arena, token, (size_t)(header_end - token)));
    if (!header)
        return refuse(err, "cannot be read");
    const char *alg = text_of(header, "alg"), *kid = text_of(header, "kid");
    const struct algorithm *algorithm = NULL;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        algorithm = str_equal(algorithms[i].name, alg) ? &algorithms[i] : algorithm;
    const json_t *key = algorithm ? find_key(key_set, algorithm, kid) : NULL;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)token, (unsigned)(payload_end - token)};
    gnutls_datum_t signature = bytes_of(arena, payload_end + 1);
    int rc = 0;
    if (!algorithm || json_object_get(header, "crit"))
        rc = refuse(err, "is signed in a way that is not taken");
    else if (!key)
        rc = error_set(err, E_NOT_FOUND, "", "the identity token is signed with a key that is not known");
    else if (!signature.data || !is_signed(algorithm, key, &data, signature, arena))
        rc = refuse(err, "has a wrong signature");
    json_decref(header);
    return rc;
}

int jwt_verify(const char *token, const json_t *key_set, struct arena *arena, json_t **ret_claims, struct error *err)
{
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    if (!second || strchr(second + 1, '.') || strlen(token) > TOKEN_BYTES_MAX)
        return refuse(err, "cannot be read");
    int rc = check_signature(token, first, second, key_set, arena, err);
    if (rc)
        return rc;
    json_t *claims = json_of(arena, arena_strndup(arena, first + 1, (size_t)(second - first - 1)));
    if (!claims)
        return refuse(err, "cannot be read");
    *ret_claims = claims;
    return 0;
}
