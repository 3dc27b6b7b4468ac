#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments, *help;
} commands[] = {
    {"ping", cli_ping, "[OPTION...] HOST...", "loss, latency and jitter to hosts, one probe after the other"},
    {"trace", cli_trace, "[OPTION...] HOST...", "the paths to hosts, hop by hop"},
    {"mtr", cli_mtr, "[OPTION...] HOST", "the path to a host, watched round after round"},
    {"paths", cli_paths, "[OPTION...] HOST", "all paths of load balancers to a host, with loss and latency of each"},
    {"measure", cli_measure, "TYPE [OPTION...]", "measure something from here and now"},
    {"admin", cli_admin, "[OPTION...] COMMAND [DIR]", "back up, restore, check and compact a server's data"},
    {"completion", cli_completion, "bash|fish", "print what completes these commands in a shell"},
    {"help", help, "[COMMAND [TYPE]]", "this text, or that of a command"},
    {"version", version, "", "print the version"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(FILE *file)
{
    fputs("Usage: oculi COMMAND ...\n\n", file);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-10s %-25s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fputs("\nA first measurement:  oculi ping example.net\n"
          "The manual page is oculi(1).\n",
          file);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int help(int argc, char **argv)
{
    if (argc == 0) {
        print_usage(stdout);
        return CLI_DONE;
    }
    const struct command *command = find(argv[0]);
    char *asked[] = {argc > 1 ? argv[1] : "--help", "--help", NULL};
    if (!command) {
        fprintf(stderr, "oculi: there is no command \"%s\"; oculi help lists them\n", argv[0]);
        return CLI_USAGE;
    }
    if (command->run == help || command->run == version || command->run == cli_completion) {
        print_usage(stdout);
        return CLI_DONE;
    }
    return command->run(argc > 1 ? 2 : 1, asked);
}

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("oculi " OCULI_VERSION);
    return CLI_DONE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return version(0, NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(0, NULL);
    const struct command *command = find(argv[1]);
    if (!command) {
        fprintf(stderr, "oculi: there is no command \"%s\"; oculi help lists them\n", argv[1]);
        return CLI_USAGE;
    }
    int status = command->run(argc - 2, argv + 2);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("oculi: standard output could not be written\n", stderr);
        return status > CLI_FAILED ? status : CLI_FAILED;
    }
    return status;
}
