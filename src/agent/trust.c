#include "agent/trust.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define TRUST_PATH_BYTES 700
#define TRUST_DIRS 2

struct trust {
    char dirs[TRUST_DIRS][TRUST_PATH_BYTES];
    struct timespec changed[TRUST_DIRS];
    struct buf only; /* of --ca-file */
    STACK_OF(X509) * own;
};

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Adds the certificates of PEM text to list. */
static int read_pem(const char *path, const struct buf *text, STACK_OF(X509) * list, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(text->data, (int)text->size);
    unsigned count = 0;
    int rc = 0;
    ERR_clear_error();
    while (bio && !rc) {
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        unsigned long why = ERR_peek_last_error();
        if (!certificate && ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE)
            break; /* the end, or text without any */
        if (!certificate)
            rc = error_set(err, E_INVALID, path, "certificate %u of the file is damaged", count + 1);
        else if (++count > TRUST_CERTIFICATES)
            rc = error_set(err, E_LIMIT, path, "more than %u certificates", TRUST_CERTIFICATES);
        if (rc || !sk_X509_push(list, certificate))
            X509_free(certificate);
    }
    ERR_clear_error();
    BIO_free(bio);
    return rc ? rc : count ? 0 : error_set(err, E_INVALID, path, "the file holds no certificate in PEM form");
}

static int read_file(const char *path, struct buf *text, STACK_OF(X509) * list, struct error *err)
{
    int rc = file_read(path, text, err);
    return rc ? rc : read_pem(path, text, list, err);
}

static bool is_certificate_name(const char *name)
{
    size_t length = strlen(name);
    return *name != '.' && length > 4 &&
           (str_equal(name + length - 4, ".pem") || str_equal(name + length - 4, ".crt"));
}

/* A directory that does not exist holds none. With is_strict the first file that cannot be used is an error. */
static int read_dir(const char *path, bool is_strict, STACK_OF(X509) * list, struct error *err)
{
    DIR *dir = opendir(path);
    int rc = 0;
    if (!dir)
        return errno == ENOENT ? -E_NOT_FOUND : error_sys(err, errno, path, "cannot list the directory");
    for (const struct dirent *entry = readdir(dir); entry && !rc; entry = readdir(dir)) {
        char file[TRUST_PATH_BYTES + 300];
        struct buf text;
        if (!is_certificate_name(entry->d_name))
            continue;
        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        buf_init(&text, TRUST_FILE_BYTES);
        int one = read_file(file, &text, list, err);
        rc = is_strict ? one : 0;
        buf_done(&text);
    }
    (void)closedir(dir);
    return rc;
}

static void free_list(STACK_OF(X509) * list)
{
    sk_X509_pop_free(list, X509_free);
}

/* --- trusting ----------------------------------------------------------------------------------------------------- */

static void own_dir(const char *state_dir, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/ca", state_dir);
}

int trust_open(const struct trust_settings *settings, struct trust **ret_trust, struct error *err)
{
    struct trust *trust = mem_alloc(sizeof *trust);
    buf_init(&trust->only, TRUST_FILE_BYTES);
    trust->own = sk_X509_new_null();
    STACK_OF(X509) *only = sk_X509_new_null();
    int rc = settings->ca_file ? read_file(settings->ca_file, &trust->only, only, err) : 0;
    free_list(only);
    if (settings->ca_dir)
        (void)str_copy(trust->dirs[0], sizeof trust->dirs[0], settings->ca_dir);
    if (settings->state_dir)
        own_dir(settings->state_dir, trust->dirs[1], sizeof trust->dirs[1]);
    for (size_t i = 0; i < TRUST_DIRS && !rc; i++) {
        struct stat st;
        if (!*trust->dirs[i])
            continue;
        rc = read_dir(trust->dirs[i], true, trust->own, err);
        if (rc == -E_NOT_FOUND)
            rc = i == 0 ? error_set(err, E_NOT_FOUND, trust->dirs[i], "there is no such directory") : 0;
        if (!rc && stat(trust->dirs[i], &st) == 0)
            trust->changed[i] = st.st_mtim;
    }
    if (rc) {
        trust_close(trust);
        return rc;
    }
    *ret_trust = trust;
    return 0;
}

void trust_close(struct trust *trust)
{
    if (!trust)
        return;
    free_list(trust->own);
    buf_done(&trust->only);
    mem_free(trust);
}

bool trust_only(const struct trust *trust, const void **ret_pem, size_t *ret_size)
{
    *ret_pem = trust->only.data;
    *ret_size = trust->only.size;
    return trust->only.size > 0;
}

static void look_again(struct trust *trust)
{
    bool is_changed = false;
    for (size_t i = 0; i < TRUST_DIRS; i++) {
        struct stat st = {0};
        if (*trust->dirs[i])
            (void)stat(trust->dirs[i], &st); /* zeros when it is gone */
        is_changed |= st.st_mtim.tv_sec != trust->changed[i].tv_sec || st.st_mtim.tv_nsec != trust->changed[i].tv_nsec;
        trust->changed[i] = st.st_mtim;
    }
    if (!is_changed)
        return;
    free_list(trust->own);
    trust->own = sk_X509_new_null();
    for (size_t i = 0; i < TRUST_DIRS; i++) {
        if (*trust->dirs[i])
            (void)read_dir(trust->dirs[i], false, trust->own, NULL);
    }
}

void trust_add_to(struct trust *trust, void *ssl_ctx)
{
    look_again(trust);
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    for (int i = 0; i < sk_X509_num(trust->own); i++)
        (void)X509_STORE_add_cert(store, sk_X509_value(trust->own, i));
    if (sk_X509_num(trust->own) > 0) /* a server's own certificate may be what is trusted */
        (void)X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    ERR_clear_error();
}

/* --- keeping ------------------------------------------------------------------------------------------------------ */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void describe(X509 *certificate, struct trust_certificate *ret_certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    *ret_certificate = (struct trust_certificate){0};
    (void)X509_digest(certificate, EVP_sha256(), digest, &size);
    str_hex(digest, 32, ret_certificate->fingerprint);
    BIO *bio = BIO_new(BIO_s_mem());
    (void)X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    int length = BIO_read(bio, ret_certificate->subject, sizeof ret_certificate->subject - 1);
    ret_certificate->subject[length > 0 ? length : 0] = 0;
    BIO_free(bio);
    ret_certificate->not_before_s = seconds_of(X509_get0_notBefore(certificate));
    ret_certificate->not_after_s = seconds_of(X509_get0_notAfter(certificate));
    ret_certificate->is_authority = X509_check_ca(certificate) > 0;
}

static void own_path(const char *state_dir, const char *fingerprint, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/ca/%s.pem", state_dir, fingerprint);
}

static int keep_one(const char *state_dir, X509 *certificate, const struct trust_certificate *about, struct error *err)
{
    char path[TRUST_PATH_BYTES];
    char *text;
    own_path(state_dir, about->fingerprint, path, sizeof path);
    BIO *bio = BIO_new(BIO_s_mem());
    (void)PEM_write_bio_X509(bio, certificate);
    long size = BIO_get_mem_data(bio, &text);
    int rc = size > 0 ? file_write(path, text, (size_t)size, 0644, err)
                      : error_set(err, E_INVALID, path, "the certificate cannot be written");
    BIO_free(bio);
    return rc;
}

int trust_keep(const char *state_dir, const char *path, trust_fn *fn, void *user, struct error *err)
{
    char dir[TRUST_PATH_BYTES];
    struct buf text;
    STACK_OF(X509) *list = sk_X509_new_null();
    buf_init(&text, TRUST_FILE_BYTES);
    own_dir(state_dir, dir, sizeof dir);
    int rc = read_file(path, &text, list, err);
    if (!rc)
        rc = file_make_dir(dir, 0755, err);
    for (int i = 0; i < sk_X509_num(list) && !rc; i++) {
        struct trust_certificate about;
        describe(sk_X509_value(list, i), &about);
        rc = keep_one(state_dir, sk_X509_value(list, i), &about, err);
        if (!rc)
            fn(user, &about);
    }
    free_list(list);
    buf_done(&text);
    return rc;
}

int trust_list(const char *state_dir, trust_fn *fn, void *user, struct error *err)
{
    char dir[TRUST_PATH_BYTES];
    STACK_OF(X509) *list = sk_X509_new_null();
    own_dir(state_dir, dir, sizeof dir);
    int rc = read_dir(dir, true, list, err);
    for (int i = 0; i < sk_X509_num(list) && !rc; i++) {
        struct trust_certificate about;
        describe(sk_X509_value(list, i), &about);
        fn(user, &about);
    }
    free_list(list);
    return rc == -E_NOT_FOUND ? 0 : rc;
}

struct search {
    const char *beginning;
    struct trust_certificate found;
    unsigned count;
};

static void search_one(void *user, const struct trust_certificate *certificate)
{
    struct search *search = user;
    if (!str_starts(certificate->fingerprint, search->beginning))
        return;
    search->found = *certificate;
    search->count++;
}

int trust_forget(const char *state_dir, const char *fingerprint, trust_fn *fn, void *user, struct error *err)
{
    struct search search = {.beginning = fingerprint};
    char path[TRUST_PATH_BYTES];
    if (strlen(fingerprint) < 8)
        return error_set(err, E_INVALID, fingerprint, "at least 8 digits of the fingerprint are needed");
    int rc = trust_list(state_dir, search_one, &search, err);
    if (rc)
        return rc;
    if (search.count != 1)
        return error_set(err, search.count ? E_CONFLICT : E_NOT_FOUND, fingerprint,
                         search.count ? "several certificates have a fingerprint that begins so"
                                      : "no certificate kept here has a fingerprint that begins so");
    own_path(state_dir, search.found.fingerprint, path, sizeof path);
    if (unlink(path) != 0)
        return error_sys(err, errno, path, "cannot remove");
    fn(user, &search.found);
    return 0;
}
