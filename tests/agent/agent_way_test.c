/*
 * The way from the agent to its server: proxies, certificates, names, and what is said when it is the wrong one. And
 * the way to targets: source addresses.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "fake_proxy.h"
#include "world.h"

static int run_command(struct world *world, const char *format, ...)
{
    char words[600], command[900];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    (void)snprintf(command, sizeof command, "%s --state-dir %s %s >>%s 2>&1", program, world->state, words, world->log);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void use_tls(struct world *world)
{
    fake_server_free(world->server);
    assert_true(make_certificate(world, "server"));
    world->server = fake_server_start(certificate_text(world, "server.pem"), certificate_text(world, "server.key"));
    add_option(world, "--ca-file=%s/server.pem", world->dir);
}

static void through(struct world *world, enum fake_proxy_auth auth, const char *word)
{
    struct fake_proxy *proxy = fake_proxy_start(auth);
    add_option(world, "--proxy-location=127.0.0.1:%u", fake_proxy_port(proxy));
    if (word) {
        add_option(world, "--proxy-auth=%s", word);
        add_option(world, "--proxy-user=" FAKE_PROXY_USER);
        add_option(world, "--proxy-password=" FAKE_PROXY_PASSWORD);
    }
    set_tests(world, 1, 3);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 1));
    assert_true(fake_proxy_passed(proxy) > 0);
    assert_int_equal(stop_agent(world), 0);
    assert_null(strstr(read_text(world, world->log), FAKE_PROXY_PASSWORD));
    fake_proxy_free(proxy);
}

static void a_proxy_leads_to_a_plain_server(void **state)
{
    NEEDS_RAW_SOCKETS();
    through(*state, FAKE_PROXY_OPEN, NULL);
}

static void a_proxy_with_a_password_leads_to_a_server(void **state)
{
    NEEDS_RAW_SOCKETS();
    use_tls(*state);
    through(*state, FAKE_PROXY_BASIC, "basic");
}

static void a_proxy_with_ntlm_leads_to_a_server(void **state)
{
    NEEDS_RAW_SOCKETS();
    use_tls(*state);
    through(*state, FAKE_PROXY_NTLM, "ntlm");
}

static void a_pac_file_names_the_proxy(void **state)
{
    struct world *world = *state;
    char path[128], script[300];
    NEEDS_RAW_SOCKETS();
    struct fake_proxy *proxy = fake_proxy_start(FAKE_PROXY_OPEN);
    int length = snprintf(script, sizeof script,
                          "function FindProxyForURL(url, host) { return host == '127.0.0.1' ? "
                          "'PROXY 127.0.0.1:9; PROXY 127.0.0.1:%u' : 'DIRECT'; }",
                          fake_proxy_port(proxy));
    (void)snprintf(path, sizeof path, "%s/proxy.pac", world->dir);
    assert_int_equal(file_write(path, script, (size_t)length, 0644, NULL), 0);
    set_tests(world, 1, 3);
    /* Kept by the command, and used by the agent that starts afterwards. The first proxy does not answer. */
    assert_int_equal(file_make_dir(world->state, 0700, NULL), 0);
    assert_int_equal(run_command(world, "proxy set --proxy-type pac --proxy-location file://%s", path), 0);
    start_agent(world);
    void *library = dlopen("libpacparser.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        wait_text(world, world->log, "libpacparser");
        print_message("# libpacparser is not installed: only its absence is checked\n");
    } else {
        assert_true(fake_server_wait_rounds(world->server, 1));
        assert_true(fake_proxy_passed(proxy) > 0);
        (void)dlclose(library);
    }
    assert_int_equal(stop_agent(world), 0);
    fake_proxy_free(proxy);
}

static void a_proxy_that_wants_more_is_told(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    struct fake_proxy *proxy = fake_proxy_start(FAKE_PROXY_BASIC);
    char url[64];
    (void)snprintf(url, sizeof url, "%s", fake_server_url(world->server));
    assert_int_equal(file_make_dir(world->state, 0700, NULL), 0);
    assert_int_equal(run_command(world, "--server %s --proxy-location 127.0.0.1:%u proxy test", url,
                                 fake_proxy_port(proxy)), 2);
    wait_text(world, world->log, "HTTP 407 from proxy 127.0.0.1: it wants a user and a password");
    assert_int_equal(run_command(world, "--server %s --proxy-location 127.0.0.1:%u --proxy-auth basic --proxy-user %s "
                                 "--proxy-password %s proxy test", url, fake_proxy_port(proxy), FAKE_PROXY_USER,
                                 FAKE_PROXY_PASSWORD), 0);
    wait_text(world, world->log, "reached http://127.0.0.1:");
    size_t passed = fake_proxy_passed(proxy);
    assert_int_equal(run_command(world, "--server %s --proxy-location 127.0.0.1:%u --proxy-bypass '127.*' proxy test", url,
                                 fake_proxy_port(proxy)), 0);
    assert_int_equal(fake_proxy_passed(proxy), passed);
    fake_proxy_free(proxy);
}

static void certificates_of_ones_own_are_trusted(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    use_tls(world);
    *world->extra[0] = 0; /* no --ca-file */
    set_tests(world, 1, 3);
    start_agent(world);
    wait_text(world, world->log, "cannot register yet: SSL certificate problem");
    assert_int_equal(run_command(world, "ca add %s/server.pem", world->dir), 0);
    assert_true(fake_server_wait_rounds(world->server, 1)); /* without a new start */
    assert_int_equal(stop_agent(world), 0);
    add_option(world, "--ca-file=%s/server.key", world->dir);
    start_agent(world);
    assert_int_equal(WEXITSTATUS(reap(world)), 2);
    wait_text(world, world->log, "server.key: the file holds no certificate in PEM form");
}

static void the_wrong_scheme_is_told(void **state)
{
    struct world *world = *state;
    char url[64];
    NEEDS_RAW_SOCKETS();
    (void)snprintf(url, sizeof url, "https%s", strchr(fake_server_url(world->server), ':'));
    world->url = url;
    start_agent(world);
    wait_text(world, world->log, "its address may begin with http://");
    assert_int_equal(stop_agent(world), 0);
    use_tls(world);
    (void)snprintf(url, sizeof url, "http%s", strchr(fake_server_url(world->server), ':'));
    start_agent(world);
    wait_text(world, world->log, "this port may speak TLS; then its address begins with https://");
    assert_int_equal(stop_agent(world), 0);
}

/* Names of the server and of targets, by servers that do not answer and by what /etc/hosts says before them. */
static void names_are_looked_up_as_told(void **state)
{
    struct world *world = *state;
    char url[64];
    NEEDS_RAW_SOCKETS();
    (void)snprintf(url, sizeof url, "http://localhost%s", strrchr(fake_server_url(world->server), ':'));
    world->url = url;
    add_option(world, "--dns-servers=127.0.0.1:9");
    struct message_test tests[] = {{.test_id = 1, .version = 1, .type = "agent-to-server", .interval_s = 3,
                                    .settings = settings_of(world, "localhost")},
                                   {.test_id = 2, .version = 1, .type = "agent-to-server", .interval_s = 3,
                                    .settings = settings_of(world, "oculi-check.invalid")}};
    set_plan(world, tests, 2, NULL, 0);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 2)); /* by IPv4, after IPv6 was tried in vain where there is such */
    const struct fake_round *rounds;
    size_t count = fake_server_rounds(world->server, &rounds);
    for (size_t i = 0; i < count; i++) {
        const char *want = rounds[i].test_id == 1 ? "" : "Could not resolve host: oculi-check.invalid";
        if (strncmp(rounds[i].error, want, strlen(want)) != 0 || (!*want && *rounds[i].error))
            fail_msg("test %d says \"%s\"", (int)rounds[i].test_id, rounds[i].error);
    }
    assert_int_equal(stop_agent(world), 0);
    *world->extra[0] = 0;
    add_option(world, "--dns-servers=localhost");
    start_agent(world);
    assert_int_equal(WEXITSTATUS(reap(world)), 2);
    wait_text(world, world->log, "--dns-servers: \"localhost\" is not an IP address");
}

static void read_namespace(pid_t pid, char *text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    ssize_t length = readlink(path, text, size - 1);
    assert_true(length > 0);
    text[length] = 0;
}

/* Children of the parent process: those in another namespace than the check's own. */
static size_t count_elsewhere(const struct world *world)
{
    char path[64], here[64], there[64];
    struct buf buf;
    size_t count = 0;
    read_namespace(getpid(), here, sizeof here);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)world->pid, (int)world->pid);
    buf_init(&buf, 4096);
    assert_int_equal(file_read(path, &buf, NULL), 0);
    char *rest = (char *)(uintptr_t)buf_str(&buf);
    for (long pid = strtol(rest, &rest, 10); pid > 0; pid = strtol(rest, &rest, 10)) {
        read_namespace((pid_t)pid, there, sizeof there);
        count += strcmp(here, there) != 0;
    }
    buf_done(&buf);
    return count;
}

/* The server is reached from here; targets, and their names, from there: only one process has gone there for the names. */
static void names_are_looked_up_where_it_measures(void **state)
{
    struct world *world = *state;
    char name[40], command[200];
    NEEDS_RAW_SOCKETS();
    (void)snprintf(name, sizeof name, "oc-check-%d", (int)getpid());
    (void)snprintf(command, sizeof command, "ip netns add %s 2>/dev/null && ip -n %s link set lo up", name, name);
    if (system(command) != 0) {
        print_message("# no right to make a network namespace, or no ip(8)\n");
        skip();
    }
    struct message_test test = {.test_id = 1, .version = 1, .type = "agent-to-server", .interval_s = 3,
                                .settings = settings_of(world, "localhost")};
    set_plan(world, &test, 1, NULL, 0);
    add_option(world, "--netns=%s", name);
    start_agent(world);
    bool is_there = fake_server_wait_rounds(world->server, 2);
    size_t elsewhere = count_elsewhere(world);
    int status = stop_agent(world);
    (void)snprintf(command, sizeof command, "ip netns del %s", name);
    assert_int_equal(system(command), 0);
    assert_true(is_there);
    assert_int_equal(elsewhere, 1);
    assert_int_equal(status, 0);
    const struct fake_round *rounds;
    size_t count = fake_server_rounds(world->server, &rounds);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(rounds[i].error, "");
}

static void a_source_that_is_not_ours_is_told(void **state)
{
    struct world *world = *state;
    NEEDS_RAW_SOCKETS();
    struct message_test tests[] = {{.test_id = 1, .version = 1, .type = "agent-to-server", .interval_s = 3,
                                    .source_ip = "192.0.2.77", .settings = settings_of(world, "127.0.0.1")},
                                   {.test_id = 2, .version = 1, .type = "agent-to-server", .interval_s = 3,
                                    .source_ip = "127.0.0.1", .settings = settings_of(world, "127.0.0.1")}};
    set_plan(world, tests, 2, NULL, 0);
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, 4));
    const struct fake_round *rounds;
    size_t count = fake_server_rounds(world->server, &rounds);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(rounds[i].error, rounds[i].test_id == 1 ? "Cannot use the selected interface" : "");
    assert_int_equal(stop_agent(world), 0);
    add_option(world, "--interface=oc-nowhere0");
    start_agent(world);
    assert_int_equal(WEXITSTATUS(reap(world)), 2);
    wait_text(world, world->log, "--interface: Cannot use the selected interface oc-nowhere0");
    *world->extra[0] = 0;
    add_option(world, "--interface=lo");
    start_agent(world);
    assert_true(fake_server_wait_rounds(world->server, count + 2));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_proxy_leads_to_a_plain_server, setup, teardown),
        cmocka_unit_test_setup_teardown(a_proxy_with_a_password_leads_to_a_server, setup, teardown),
        cmocka_unit_test_setup_teardown(a_proxy_with_ntlm_leads_to_a_server, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pac_file_names_the_proxy, setup, teardown),
        cmocka_unit_test_setup_teardown(a_proxy_that_wants_more_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates_of_ones_own_are_trusted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrong_scheme_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_looked_up_as_told, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_looked_up_where_it_measures, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_is_not_ours_is_told, setup, teardown),
    };
    if (argc < 2)
        return 2;
    program = argv[1];
    (void)setenv("no_proxy", "*", 1);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* the workers of killed agents are ours to wait for */
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests_name("agent_way", tests, NULL, NULL);
}
