#include "wire/completion.h"

#include "base/arena.h"
#include "base/limit.h"
#include "cli/cli.h"
#include "cli/probing.h"
#include "measure/type.h"

#define COMMANDS_MAX 64u

static const char *const shells[] = {"bash", "fish", NULL};
static const char *const general[] = {"--version", NULL};
static const char *const helped[] = {"ping", "trace", "mtr", "paths", "measure", "admin", "completion", NULL};

/* Of oculid, which knows them. */
static const char *const admin[] = {"backup", "restore", "check", "compact", "--data", "--quiet", "-q", NULL};

static const struct completion_command fixed[] = {
    {.words = "", .more = general},
    {"ping", "loss, latency and jitter to hosts", {&ping_option_table, &probing_option_table}, NULL, true},
    {"trace", "the paths to hosts, hop by hop", {&trace_option_table, &probing_option_table}, NULL, true},
    {"mtr", "the path to a host, watched", {&mtr_option_table, &probing_option_table}, NULL, true},
    {"paths", "all paths of load balancers to a host", {&paths_option_table, &probing_option_table}, NULL, true},
    {.words = "measure", .help = "measure something from here and now"},
    {.words = "admin", .help = "back up, restore, check and compact a server's data", .more = admin},
    {.words = "help", .help = "the help of a command", .more = helped},
    {.words = "version", .help = "print the version"},
    {.words = "completion", .help = "print the completion of a shell", .more = shells},
};
#define FIXED (sizeof fixed / sizeof fixed[0])

int cli_completion(int argc, char **argv)
{
    struct completion_command commands[COMMANDS_MAX];
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, LIMIT_REQUEST_ARENA);
    for (; count < FIXED; count++)
        commands[count] = fixed[count];
    for (const struct measure_type *const *type = measure_types; *type && count < COMMANDS_MAX; type++)
        commands[count++] = (struct completion_command){.words = arena_printf(&arena, "measure %s", (*type)->name),
                                                        .help = (*type)->help,
                                                        .tables = {(*type)->settings, &measure_option_table}};
    int status = completion_print(&(struct completion_program){"oculi", commands, count}, argc > 0 ? argv[0] : NULL);
    arena_done(&arena);
    return status;
}
