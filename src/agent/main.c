#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/command.h"
#include "agent/options.h"
#include "agent/lookup.h"
#include "agent/parent.h"
#include "agent/trust.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "wire/completion.h"

#define MAIN_ARENA_BYTES (1u << 20)

static int work(void *user)
{
    return agent_run(user);
}

static const char *const shells[] = {"bash", "fish", NULL};
static const char *const ca_words[] = {"add", "list", "remove", "--json", NULL};
static const char *const proxy_words[] = {"show", "test", "set", "unset", "--json", NULL};
static const char *const status_words[] = {"--json", NULL};
static const char *const reset_words[] = {"--yes", NULL};
static const char *const general[] = {"--version", "--print-config", NULL};

static const struct completion_command completed[] = {
    {.words = "", .tables = {&agent_options_table}, .more = general},
    {"status", "what the agent does", {&agent_options_table}, status_words, false},
    {"ca", "certificates to trust", {&agent_options_table}, ca_words, false},
    {"proxy", "the way to the server", {&agent_options_table}, proxy_words, false},
    {"reset", "forget the identity and the plan", {&agent_options_table}, reset_words, false},
    {.words = "completion", .help = "print the completion of a shell", .more = shells},
};

static int fail(const struct error *err)
{
    char text[600];
    (void)fprintf(stderr, "oculi-agent: %s\n", error_format(err, text, sizeof text));
    return PARENT_EXIT_FATAL;
}

static void print_help(void)
{
    struct buf buf;
    buf_init(&buf, 65536);
    field_help(&agent_options_table, &buf);
    (void)printf("Usage: oculi-agent --server URL [--token-file FILE] [OPTION...]\n"
                 "       oculi-agent [--state-dir DIR] status [--json]\n"
                 "       oculi-agent [--state-dir DIR] ca add FILE | list [--json] | remove FINGERPRINT\n"
                 "       oculi-agent [OPTION...] proxy show [--json] | test | set | unset\n"
                 "       oculi-agent [--state-dir DIR] reset [--yes]\n"
                 "       oculi-agent completion bash | fish\n\n"
                 "Measures what an Oculi server plans for it, keeps every round until the server has it.\n\n%s\n"
                 "  --help  This text\n  --print-config  A configuration file with every option and its default\n"
                 "  --version  The version\n\nSee oculi-agent(8).\n",
                 buf_str(&buf));
    buf_done(&buf);
}

static void print_config(void)
{
    struct buf buf;
    buf_init(&buf, 65536);
    field_config(&agent_options_table, &buf);
    (void)printf("# Configuration of oculi-agent; see oculi-agent(8). A line is NAME = VALUE. What is commented out is the "
                 "default.\n%s",
                 buf_str(&buf));
    buf_done(&buf);
}

/* --help and --version anywhere win over everything else. */
static bool answer_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (str_equal(argv[i], "--help") || str_equal(argv[i], "-h")) {
            print_help();
            return true;
        }
        if (str_equal(argv[i], "--print-config")) {
            print_config();
            return true;
        }
        if (str_equal(argv[i], "--version")) {
            (void)printf("oculi-agent " OCULI_VERSION "\n");
            return true;
        }
    }
    return false;
}

/* The file this program was started from, whatever lies there later. */
static const char *own_path(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    path[length > 0 ? length : 0] = 0;
    return path;
}

static int run(struct agent_options *options, char *const *argv, struct arena *arena, struct error *err)
{
    char path[4096];
    struct parent_program program = {.path = own_path(path, sizeof path), .argv = argv};
    struct trust *trust = NULL;
    struct parent_opened opened = {0};
    int rc = agent_options_complete(options, arena, err);
    if (!rc)
        rc = file_make_dir(options->state_dir, 0700, err);
    struct trust_settings trusted = {
        .ca_file = options->ca_file, .ca_dir = options->ca_dir, .state_dir = options->state_dir};
    if (!rc)
        rc = trust_open(&trusted, &trust, err);
    struct parent_settings parent = {.netns = options->netns,
                                     .interface = options->interface,
                                     .dns_servers = options->dns_servers,
                                     .user = options->user,
                                     .state_dir = options->state_dir};
    if (!rc)
        rc = parent_prepare(&parent, &opened, err);
    if (!rc && access(options->state_dir, W_OK | X_OK) != 0)
        rc = error_set(err, E_PERMISSION, options->state_dir,
                       "the state directory cannot be written by user %u: change its owner, or choose another with "
                       "--state-dir or --user",
                       (unsigned)geteuid());
    int status = PARENT_EXIT_FATAL;
    struct lookup *link_lookup = NULL;
    if (!rc)
        rc = lookup_open(&(struct lookup_settings){.servers = options->dns_servers}, &link_lookup, err);
    if (!rc) {
        struct agent_settings settings = {
            .options = options, .trust = trust, .opened = &opened, .link_lookup = link_lookup};
        agent_make_instance(settings.instance);
        status = parent_run(&opened, &program, work, &settings);
    }
    lookup_close(link_lookup);
    lookup_close(opened.lookup);
    trust_close(trust);
    return rc ? rc : status;
}

int main(int argc, char **argv)
{
    if (answer_words(argc, argv))
        return 0;
    if (argc > 1 && str_equal(argv[1], "completion"))
        return completion_print(&(struct completion_program){"oculi-agent", completed, sizeof completed / sizeof completed[0]},
                                argc > 2 ? argv[2] : NULL);
    struct arena arena;
    struct agent_options options;
    struct error err = {0};
    struct agent_words words;
    arena_init(&arena, MAIN_ARENA_BYTES);
    if (agent_options_read(argc, argv, &options, &words, &arena, &err))
        return fail(&err);
    int rc;
    if (words.count > 0) {
        rc = command_run(&words, &options, &arena, &err);
    } else {
        log_open("oculi-agent", (enum log_level)options.log_level, (enum log_format)options.log_format);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is then an error of the write, like a full disk */
        rc = run(&options, argv, &arena, &err);
    }
    int status = rc < 0 ? fail(&err) : rc;
    arena_done(&arena);
    return status;
}
