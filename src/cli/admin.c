/* oculi admin: the work is oculid's, which knows how the server keeps its data and stands beside us. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli.h"

int cli_admin(int argc, char **argv)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof "oculid");
    char **arguments = mem_alloc_array((size_t)argc + 3, sizeof *arguments);
    char program[] = "oculid", command[] = "admin";
    arguments[0] = program;
    arguments[1] = command;
    memcpy(arguments + 2, argv, (size_t)argc * sizeof *argv);
    char *slash = NULL;
    if (size > 0) {
        path[size] = 0;
        slash = strrchr(path, '/');
    }
    if (slash) {
        memcpy(slash + 1, program, sizeof program);
        (void)execv(path, arguments);
    }
    (void)execvp(program, arguments); /* /usr/sbin, for the packages */
    (void)execv("/usr/sbin/oculid", arguments);
    fprintf(stderr, "oculi: oculid is not installed here: %s\n", strerror(errno));
    mem_free(arguments);
    return CLI_FAILED;
}
