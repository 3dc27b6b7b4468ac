#include "server/tls.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define CHAIN_MAX 16u
#define FILE_BYTES (1u << 20)
#define RETIRED_KEEP_NS (120 * CLOCK_S) /* longer than any handshake may take */

const char tls_priorities[] = "SECURE128:%SERVER_PRECEDENCE:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-DHE-DSS:"
                              "-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1";

/* A certificate chain with its key. Handshakes under way refer to it, so it outlives its replacement for a while. */
struct pair {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned count;
    gnutls_privkey_t key;
    int64_t expires_s;
    int64_t retired_ns;
    struct pair *next; /* retired earlier */
};

/* What a file was when it was read. */
struct stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified;
};

struct tls {
    char *cert_path, *key_path;
    struct pair *pair, *retired;
    struct stamp stamps[2];
};

static struct tls *current; /* whose handshakes the library asks about */

static void pair_free(struct pair *pair)
{
    if (!pair)
        return;
    for (unsigned i = 0; i < pair->count; i++)
        gnutls_pcert_deinit(&pair->chain[i]);
    if (pair->key)
        gnutls_privkey_deinit(pair->key);
    mem_free(pair);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int bad(struct error *err, const char *path, const char *what, int rc)
{
    return error_set(err, E_INVALID, path, "%s: %s", what, gnutls_strerror(rc));
}

static bool contains(struct buf *text, const char *what)
{
    return strstr(buf_str(text), what) != NULL;
}

static int read_chain(const char *path, struct buf *text, struct pair *pair, struct error *err)
{
    gnutls_datum_t data = {text->data, (unsigned)text->size};
    gnutls_x509_crt_t *certificates = NULL;
    unsigned count = 0;
    if (!contains(text, "-----BEGIN CERTIFICATE-----"))
        return error_set(err, E_INVALID, path,
                         contains(text, "PRIVATE KEY-----") ? "this is a private key: the certificate is the other file"
                                                            : "there is no certificate (PEM) in it");
    int rc = gnutls_x509_crt_list_import2(&certificates, &count, &data, GNUTLS_X509_FMT_PEM, 0);
    if (rc < 0)
        return bad(err, path, "the certificate does not read", rc);
    if (count > CHAIN_MAX)
        rc = GNUTLS_E_CERTIFICATE_ERROR;
    if (rc >= 0)
        pair->expires_s = gnutls_x509_crt_get_expiration_time(certificates[0]);
    for (unsigned i = 0; i < count; i++) {
        if (rc >= 0)
            rc = gnutls_pcert_import_x509(&pair->chain[i], certificates[i], 0);
        pair->count += rc >= 0;
        gnutls_x509_crt_deinit(certificates[i]);
    }
    gnutls_free(certificates);
    return rc < 0 ? bad(err, path, "the certificate chain cannot be used", rc) : 0;
}

static int read_key(const char *path, struct buf *text, struct pair *pair, struct error *err)
{
    gnutls_datum_t data = {text->data, (unsigned)text->size};
    if (contains(text, "ENCRYPTED PRIVATE KEY-----") || contains(text, "Proc-Type: 4,ENCRYPTED"))
        return error_set(err, E_INVALID, path, "the private key is protected by a passphrase, which nobody is there to type");
    if (!contains(text, "PRIVATE KEY-----"))
        return error_set(err, E_INVALID, path,
                         contains(text, "-----BEGIN CERTIFICATE-----") ? "this is a certificate: the key is the other file"
                                                                       : "there is no private key (PEM) in it");
    int rc = gnutls_privkey_init(&pair->key);
    if (rc >= 0)
        rc = gnutls_privkey_import_x509_raw(pair->key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
    return rc < 0 ? bad(err, path, "the private key does not read", rc) : 0;
}

static int check_match(const char *cert_path, const char *key_path, const struct pair *pair, struct error *err)
{
    unsigned char ids[2][64];
    size_t sizes[2] = {sizeof ids[0], sizeof ids[1]};
    gnutls_pubkey_t public_key;
    int rc = gnutls_pubkey_init(&public_key);
    if (rc < 0)
        return bad(err, key_path, "no memory", rc);
    rc = gnutls_pubkey_import_privkey(public_key, pair->key, 0, 0);
    if (rc >= 0)
        rc = gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]);
    if (rc >= 0)
        rc = gnutls_pubkey_get_key_id(pair->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]);
    gnutls_pubkey_deinit(public_key);
    if (rc < 0)
        return bad(err, key_path, "the private key cannot be used", rc);
    if (sizes[0] != sizes[1] || memcmp(ids[0], ids[1], sizes[0]) != 0)
        return error_set(err, E_INVALID, key_path, "this is not the private key of the certificate %s", cert_path);
    return 0;
}

static int read_pair(const struct tls *tls, struct pair **ret_pair, struct error *err)
{
    struct pair *pair = mem_alloc(sizeof *pair);
    struct buf text;
    buf_init(&text, FILE_BYTES);
    int rc = file_read(tls->cert_path, &text, err);
    if (!rc)
        rc = read_chain(tls->cert_path, &text, pair, err);
    buf_reset(&text);
    if (!rc)
        rc = file_read(tls->key_path, &text, err);
    if (!rc)
        rc = read_key(tls->key_path, &text, pair, err);
    if (!rc)
        rc = check_match(tls->cert_path, tls->key_path, pair, err);
    if (text.data)
        explicit_bzero(text.data, text.size);
    buf_done(&text);
    if (rc)
        pair_free(pair);
    else
        *ret_pair = pair;
    return rc;
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

/* A link that leads elsewhere now is another file. */
static struct stamp stamp_of(const char *path)
{
    struct stat st;
    struct stamp stamp;
    memset(&stamp, 0, sizeof stamp); /* compared as bytes */
    if (stat(path, &st) == 0) {
        stamp.dev = st.st_dev;
        stamp.ino = st.st_ino;
        stamp.size = st.st_size;
        stamp.modified = st.st_mtim;
    }
    return stamp;
}

static void stamp_files(const struct tls *tls, struct stamp stamps[2])
{
    memset(stamps, 0, 2 * sizeof *stamps);
    stamps[0] = stamp_of(tls->cert_path);
    stamps[1] = stamp_of(tls->key_path);
}

bool tls_has_changed(struct tls *tls)
{
    struct stamp now[2];
    stamp_files(tls, now);
    return memcmp(now, tls->stamps, sizeof now) != 0;
}

static void drop_retired(struct tls *tls, int64_t before_ns)
{
    struct pair **link = &tls->retired;
    while (*link) {
        struct pair *pair = *link;
        if (pair->retired_ns >= before_ns) {
            link = &pair->next;
            continue;
        }
        *link = pair->next;
        pair_free(pair);
    }
}

int tls_reload(struct tls *tls, struct error *err)
{
    struct pair *pair;
    stamp_files(tls, tls->stamps); /* before reading: what changes meanwhile is seen the next time */
    int rc = read_pair(tls, &pair, err);
    if (rc)
        return rc;
    int64_t now_ns = clock_mono_ns(&clock_real);
    drop_retired(tls, now_ns - RETIRED_KEEP_NS);
    if (tls->pair) {
        tls->pair->retired_ns = now_ns;
        tls->pair->next = tls->retired;
        tls->retired = tls->pair;
    }
    tls->pair = pair;
    return 0;
}

int tls_open(const char *cert_path, const char *key_path, struct tls **ret_tls, struct error *err)
{
    struct tls *tls = mem_alloc(sizeof *tls);
    tls->cert_path = mem_strdup(cert_path);
    tls->key_path = mem_strdup(key_path);
    int rc = tls_reload(tls, err);
    if (rc) {
        tls_close(tls);
        return rc;
    }
    current = tls;
    *ret_tls = tls;
    return 0;
}

void tls_close(struct tls *tls)
{
    if (!tls)
        return;
    if (current == tls)
        current = NULL;
    drop_retired(tls, INT64_MAX);
    pair_free(tls->pair);
    mem_free(tls->cert_path);
    mem_free(tls->key_path);
    mem_free(tls);
}

int64_t tls_expires_s(const struct tls *tls)
{
    return tls->pair->expires_s;
}

int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                 const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret_chain,
                 unsigned int *ret_count, gnutls_privkey_t *ret_key)
{
    (void)session;
    (void)authorities;
    (void)authority_count;
    (void)algorithms;
    (void)algorithm_count;
    if (!current)
        return -1;
    *ret_chain = current->pair->chain;
    *ret_count = current->pair->count;
    *ret_key = current->pair->key;
    return 0;
}
