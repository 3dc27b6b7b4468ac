#include "cli/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

int privilege_enter_netns(const char *name, struct error *err)
{
    char path[256];
    const char *format = strchr(name, '/') ? "%s" : "/run/netns/%s";
    if ((size_t)snprintf(path, sizeof path, format, name) >= sizeof path)
        return error_set(err, E_RANGE, "--netns", "the name is too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, E_NOT_FOUND, "--netns", "there is no network namespace %s", path);
    if (fd < 0)
        return error_sys(err, errno, "--netns", "%s cannot be opened", path);
    int rc = setns(fd, CLONE_NEWNET);
    int failure = errno;
    close(fd);
    if (rc == 0)
        return 0;
    if (failure == EPERM)
        return error_set(err, E_PERMISSION, "--netns", "entering a network namespace takes root (CAP_SYS_ADMIN)");
    return error_sys(err, failure, "--netns", "%s cannot be entered", path);
}

int privilege_drop(struct error *err)
{
    if (getuid() != geteuid() && setresuid(getuid(), getuid(), getuid()) != 0)
        return error_sys(err, errno, "", "the rights of the program file cannot be given up");
    cap_t none = cap_init();
    int rc = none ? cap_set_proc(none) : -1;
    if (none)
        cap_free(none);
    if (rc != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return error_sys(err, errno, "", "capabilities cannot be given up");
    return 0;
}
