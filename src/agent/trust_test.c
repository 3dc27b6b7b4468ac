/* Checks of certificates that the operator trusts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/trust.h"
#include "base/file.h"

/* A self-signed certificate, made now: nothing that could expire lies in the tree. */
static X509 *make(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_true(X509_set_version(certificate, 2));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 86400));
    X509_NAME *subject = X509_get_subject_name(certificate);
    assert_true(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0));
    assert_true(X509_set_issuer_name(certificate, subject));
    assert_true(X509_set_pubkey(certificate, key));
    X509_EXTENSION *is_ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_add_ext(certificate, is_ca, -1));
    X509_EXTENSION_free(is_ca);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    EVP_PKEY_free(key);
    return certificate;
}

static void write_pem(const char *path, X509 *const *certificates, size_t count, const char *tail)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < count; i++)
        assert_true(PEM_write_X509(file, certificates[i]));
    (void)fputs(tail, file);
    assert_int_equal(fclose(file), 0);
}

struct world {
    char dir[64], file[96], state[96];
    X509 *one, *two;
};

static int setup(void **state)
{
    static struct world world;
    strcpy(world.dir, "/tmp/agent-trust-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    (void)snprintf(world.file, sizeof world.file, "%s/file.pem", world.dir);
    (void)snprintf(world.state, sizeof world.state, "%s/state", world.dir);
    assert_int_equal(file_make_dir(world.state, 0700, NULL), 0);
    world.one = make("one");
    world.two = make("two");
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char command[200];
    X509_free(world->one);
    X509_free(world->two);
    (void)snprintf(command, sizeof command, "rm -rf %s", world->dir);
    return system(command);
}

struct told {
    unsigned count;
    struct trust_certificate last;
};

static void note(void *user, const struct trust_certificate *certificate)
{
    struct told *told = user;
    told->count++;
    told->last = *certificate;
}

static void a_bad_file_is_named(void **state)
{
    struct world *world = *state;
    struct trust_settings settings = {.ca_file = world->file};
    struct trust *trust;
    struct error err;
    assert_int_equal(trust_open(&settings, &trust, &err), -E_NOT_FOUND);
    assert_string_equal(err.where, world->file);
    write_pem(world->file, NULL, 0, "hello\n");
    assert_int_equal(trust_open(&settings, &trust, &err), -E_INVALID);
    assert_string_equal(err.where, world->file);
    assert_string_equal(err.text, "the file holds no certificate in PEM form");
    write_pem(world->file, &world->one, 1, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    assert_int_equal(trust_open(&settings, &trust, &err), -E_INVALID);
    assert_string_equal(err.text, "certificate 2 of the file is damaged");
    struct told told = {0};
    assert_int_equal(trust_keep(world->state, world->file, note, &told, &err), -E_INVALID);
    assert_int_equal(told.count, 0);
    write_pem(world->file, &world->one, 1, "");
    assert_int_equal(trust_open(&settings, &trust, &err), 0);
    const void *pem;
    size_t size;
    assert_true(trust_only(trust, &pem, &size));
    assert_true(size > 100);
    trust_close(trust);
    settings = (struct trust_settings){.ca_dir = "/nowhere/at/all"};
    assert_int_equal(trust_open(&settings, &trust, &err), -E_NOT_FOUND);
    assert_string_equal(err.where, "/nowhere/at/all");
}

static int in_store(struct trust *trust)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    trust_add_to(trust, ctx);
    int count = sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx)));
    SSL_CTX_free(ctx);
    return count;
}

static void kept_ones_are_trusted_listed_and_forgotten(void **state)
{
    struct world *world = *state;
    struct trust_settings settings = {.state_dir = world->state};
    struct trust *trust;
    struct told told = {0};
    struct error err;
    X509 *both[] = {world->one, world->two};
    assert_int_equal(trust_open(&settings, &trust, &err), 0); /* before there is any */
    assert_int_equal(in_store(trust), 0);
    write_pem(world->file, both, 2, "");
    assert_int_equal(trust_keep(world->state, world->file, note, &told, &err), 0);
    assert_int_equal(told.count, 2);
    assert_string_equal(told.last.subject, "CN=two");
    assert_true(told.last.is_authority);
    assert_int_equal(told.last.not_after_s - told.last.not_before_s, 86400);
    assert_int_equal(trust_keep(world->state, world->file, note, &told, &err), 0); /* again */
    assert_int_equal(in_store(trust), 2); /* an agent that runs sees them */
    told.count = 0;
    assert_int_equal(trust_list(world->state, note, &told, &err), 0);
    assert_int_equal(told.count, 2);
    char beginning[9];
    memcpy(beginning, told.last.fingerprint, 8);
    beginning[8] = 0;
    assert_int_equal(trust_forget(world->state, "12", note, &told, &err), -E_INVALID);
    assert_int_equal(trust_forget(world->state, "ffffffffffffffffff", note, &told, &err), -E_NOT_FOUND);
    assert_int_equal(trust_forget(world->state, beginning, note, &told, &err), 0);
    assert_int_equal(in_store(trust), 1);
    trust_close(trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bad_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(kept_ones_are_trusted_listed_and_forgotten, setup, teardown),
    };
    return cmocka_run_group_tests_name("agent_trust", tests, NULL, NULL);
}
