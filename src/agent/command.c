#include "agent/command.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/http.h"
#include "agent/pac.h"
#include "agent/sealed.h"
#include "agent/spool.h"
#include "agent/status.h"
#include "agent/trust.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "wire/json.h"

#define COMMAND_TEST_S 20

/* Who owns the state directory runs the agent, and has to read what is put there. */
static void give_to_owner(const char *state_dir, const char *path)
{
    struct stat st;
    if (geteuid() == 0 && stat(state_dir, &st) == 0 && lchown(path, st.st_uid, st.st_gid) != 0)
        (void)fprintf(stderr, "oculi-agent: %s stays root's: the agent may not be able to use it\n", path);
}

static int unknown(const struct agent_words *words, const char *known, struct error *err)
{
    return error_set(err, words->count > 1 ? E_UNKNOWN : E_REQUIRED, words->items[words->count - 1],
                     "what is to be done? %s", known);
}

/* --- ca ----------------------------------------------------------------------------------------------------------- */

static void print_certificate(void *user, const struct trust_certificate *certificate)
{
    const struct agent_words *words = user;
    char from[CLOCK_ISO_BYTES], until[CLOCK_ISO_BYTES];
    (void)clock_iso(certificate->not_before_s, from, sizeof from);
    (void)clock_iso(certificate->not_after_s, until, sizeof until);
    if (words->is_json) {
        json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:b}", "fingerprint", certificate->fingerprint, "subject",
                                 certificate->subject, "notBefore", from, "notAfter", until, "isAuthority",
                                 certificate->is_authority);
        char *text = json_dumps(json, JSON_COMPACT);
        (void)printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(json);
        return;
    }
    bool is_over = certificate->not_after_s < clock_wall_ns(&clock_real) / CLOCK_S;
    (void)printf("%s  %s  until %s%s%s\n", certificate->fingerprint, certificate->subject, until,
                 is_over ? ", which has passed" : "",
                 certificate->is_authority ? "" : "; no authority, trusted by itself only");
}

static int run_ca(const struct agent_words *words, const struct agent_options *options, struct error *err)
{
    const char *what = words->count > 1 ? words->items[1] : "", *which = words->count > 2 ? words->items[2] : NULL;
    void *user = (void *)(uintptr_t)words;
    char dir[512];
    if (str_equal(what, "list") && !which)
        return trust_list(options->state_dir, print_certificate, user, err);
    if (str_equal(what, "add") && which) {
        int rc = trust_keep(options->state_dir, which, print_certificate, user, err);
        (void)snprintf(dir, sizeof dir, "%s/ca", options->state_dir);
        if (!rc)
            give_to_owner(options->state_dir, dir);
        return rc;
    }
    if (str_equal(what, "remove") && which)
        return trust_forget(options->state_dir, which, print_certificate, user, err);
    return unknown(words, "ca add FILE, ca list, or ca remove FINGERPRINT", err);
}

/* --- proxy -------------------------------------------------------------------------------------------------------- */

static void proxy_path(const struct agent_options *options, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/proxy", options->state_dir);
}

static void put_option(struct buf *buf, const char *name, const char *value)
{
    if (value && *value)
        buf_printf(buf, "%s = %s\n", name, value);
}

/* Checks what was given before anything is written. */
static int set_proxy(struct agent_options *options, struct arena *arena, struct error *err)
{
    static const char *const types[] = {"environment", "direct", "static", "pac"};
    static const char *const auths[] = {NULL, "basic", "ntlm"};
    char path[512];
    struct buf buf;
    struct agent_options given = *options;
    int rc = agent_options_proxy(&given, false, arena, err);
    if (rc)
        return rc;
    proxy_path(options, path, sizeof path);
    buf_init(&buf, 65536);
    put_option(&buf, "proxy-type", types[given.proxy_type]);
    put_option(&buf, "proxy-location", given.proxy_location);
    put_option(&buf, "proxy-auth", auths[given.proxy_auth]);
    put_option(&buf, "proxy-user", given.proxy_user);
    put_option(&buf, "proxy-password-file", given.proxy_password_file);
    if (!given.proxy_password_file)
        put_option(&buf, "proxy-password", given.proxy_password);
    put_option(&buf, "proxy-bypass", given.proxy_bypass);
    rc = file_write(path, buf.data, buf.size, 0600, err);
    buf_done(&buf);
    if (rc)
        return rc;
    give_to_owner(options->state_dir, path);
    (void)printf("kept in %s; the agent uses it from its next start on\n", path);
    return 0;
}

static int show_proxy(const struct agent_words *words, const struct agent_options *options)
{
    const struct message_proxy *proxy = options->proxy;
    const char *type = proxy ? proxy->type : "environment";
    if (words->is_json) {
        struct message_proxy bare = proxy ? *proxy : (struct message_proxy){.type = type};
        json_t *json = field_to_json(&message_proxy_table, &bare, NULL); /* the password is secret: never written */
        char *text = json_dumps(json, JSON_COMPACT);
        (void)printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(json);
        return 0;
    }
    (void)printf("type: %s\n", type);
    if (proxy && proxy->location)
        (void)printf("location: %s\n", proxy->location);
    if (proxy && proxy->auth)
        (void)printf("auth: %s as %s, password %s\n", proxy->auth, proxy->user, proxy->password ? "given" : "empty");
    if (options->proxy_bypass)
        (void)printf("bypass: %s\n", options->proxy_bypass);
    return 0;
}

struct attempt {
    struct loop *loop;
    long status;
    char text[600];
};

static void on_attempt(void *user, const struct http_answer *answer)
{
    struct attempt *attempt = user;
    attempt->status = answer->status;
    (void)str_copy(attempt->text, sizeof attempt->text, answer->error);
    loop_stop(attempt->loop);
}

/* Any answer of the server will do: it has been reached. */
static int try_server(struct agent_options *options, struct trust *trust, struct pac *pac, struct error *err)
{
    struct attempt attempt = {0};
    struct http *http = NULL;
    struct http_settings settings = {.server = options->server, .trust = trust, .proxy = options->proxy, .pac = pac};
    struct http_request request = {.method = "GET", .path = "/healthz", .timeout_s = COMMAND_TEST_S};
    int rc = loop_new(&attempt.loop, err);
    if (!rc)
        rc = http_new(attempt.loop, &settings, &http, err);
    if (!rc) {
        int64_t began_ns = loop_now_ns(attempt.loop);
        (void)http_start(http, &request, on_attempt, &attempt);
        rc = loop_run(attempt.loop) ? error_set(err, E_IO, "", "the event loop failed") : 0;
        double ms = (double)(loop_now_ns(attempt.loop) - began_ns) / 1e6;
        bool is_reached = attempt.status > 0 && attempt.status != 407 && attempt.status != 502 && attempt.status != 503;
        if (!rc && is_reached)
            (void)printf("reached %s: HTTP %ld in %.1f ms\n", options->server, attempt.status, ms);
        else if (!rc)
            rc = error_set(err, E_CLOSED, options->server, "%s", attempt.text);
    }
    http_free(http);
    loop_free(attempt.loop);
    return rc;
}

static int test_proxy(struct agent_options *options, struct error *err)
{
    struct trust_settings trusted = {
        .ca_file = options->ca_file, .ca_dir = options->ca_dir, .state_dir = options->state_dir};
    struct trust *trust = NULL;
    struct pac *pac = NULL;
    int rc = options->server ? pac_open(&pac, err)
                             : error_set(err, E_REQUIRED, "--server", "whom to reach must be given");
    if (!rc)
        rc = trust_open(&trusted, &trust, err);
    if (!rc)
        rc = try_server(options, trust, pac, err);
    trust_close(trust);
    pac_close(pac);
    return rc;
}

static int run_proxy(const struct agent_words *words, struct agent_options *options, struct arena *arena,
                     struct error *err)
{
    const char *what = words->count > 1 ? words->items[1] : "";
    char path[512];
    if (words->count > 2)
        return error_set(err, E_INVALID, words->items[2], "one word too many");
    if (str_equal(what, "set"))
        return set_proxy(options, arena, err);
    if (str_equal(what, "unset")) {
        proxy_path(options, path, sizeof path);
        if (unlink(path) != 0 && errno != ENOENT)
            return error_sys(err, errno, path, "cannot remove");
        return 0;
    }
    bool is_test = str_equal(what, "test");
    if (!is_test && !str_equal(what, "show"))
        return unknown(words, "proxy show, proxy test, proxy set with --proxy-... options, or proxy unset", err);
    int rc = agent_options_proxy(options, true, arena, err);
    if (rc)
        return rc;
    return is_test ? test_proxy(options, err) : show_proxy(words, options);
}

/* --- reset -------------------------------------------------------------------------------------------------------- */

static bool count_round(void *user, const struct record *record)
{
    (void)record;
    ++*(size_t *)user;
    return true;
}

/* Rounds that would be lost: they are of the identity that goes. */
static int count_spool(const char *path, size_t *ret_count, struct error *err)
{
    struct spool *spool;
    struct spool_options options = {0};
    struct spool_mark mark;
    struct stat st;
    *ret_count = 0;
    if (stat(path, &st) != 0)
        return 0;
    int rc = spool_open(path, &options, &spool, err);
    if (rc)
        return rc;
    (void)spool_read(spool, count_round, ret_count, &mark);
    spool_close(spool);
    return 0;
}

static void remove_spool(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

static int run_reset(const struct agent_words *words, const struct agent_options *options, struct error *err)
{
    static const char *const files[] = {"identity", "plan", "progress", "clock", "status", "status.json"};
    char path[512], spool[512];
    size_t rounds;
    int lock;
    if (words->count > 1)
        return error_set(err, E_INVALID, words->items[1], "one word too many");
    int rc = sealed_lock(options->state_dir, 0, &lock, err);
    if (rc == -E_CONFLICT)
        return error_set(err, E_CONFLICT, options->state_dir, "an agent uses it: stop that first");
    (void)snprintf(spool, sizeof spool, "%s/spool", options->state_dir);
    if (!rc)
        rc = count_spool(spool, &rounds, err);
    if (!rc && rounds > 0 && !words->is_yes)
        rc = error_set(err, E_CONFLICT, spool,
                       "%zu rounds are not known to be with the server and would be lost; with --yes they are", rounds);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", options->state_dir, files[i]);
        if (unlink(path) == 0)
            (void)printf("removed %s\n", path);
        else if (errno != ENOENT)
            return error_sys(err, errno, path, "cannot remove");
    }
    remove_spool(spool);
    (void)printf("the next start registers as a new agent; certificates and the proxy are kept\n");
    (void)close(lock);
    return 0;
}

int command_run(const struct agent_words *words, struct agent_options *options, struct arena *arena, struct error *err)
{
    const char *word = words->items[0];
    if (str_equal(word, "status") && words->count == 1)
        return agent_status_print(options->state_dir, words->is_json, err);
    if (str_equal(word, "ca"))
        return run_ca(words, options, err);
    if (str_equal(word, "proxy"))
        return run_proxy(words, options, arena, err);
    if (str_equal(word, "reset"))
        return run_reset(words, options, err);
    return error_set(err, E_UNKNOWN, word, "there is no such command; there are status, ca, proxy and reset");
}
