/* The real oculi-agent as a process, with its server and its directories: what the checks of the agent share. */
#ifndef OCULI_TESTS_AGENT_WORLD_H
#define OCULI_TESTS_AGENT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/arena.h"
#include "fake_server.h"
#include "wire/message.h"

#define WAIT_MS 60000
#define STEP_MS 10
#define WORLD_EXTRA 8

extern const char *program; /* oculi-agent */

/* One agent with its server and directories. */
struct world {
    struct fake_server *server;
    char dir[64], state[96], log[96];
    rlim_t file_ceiling; /* bytes of one file, for a disk that refuses; 0 = none */
    char extra[WORLD_EXTRA][256]; /* further arguments; the first empty one ends them */
    const char *url;     /* instead of the server's own; NULL = that */
    pid_t pid;    /* 0 = not running; also its process group */
    struct arena arena;
};

struct kept {
    int64_t ids[1000];
    size_t count;
};

void start_agent(struct world *world);
void add_option(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
int reap(struct world *world);
void kill_agent(struct world *world);
int stop_agent(struct world *world);
char *read_text(struct world *world, const char *path);
size_t count_text(const char *text, const char *what);
void wait_text(struct world *world, const char *path, const char *what);
char *status_path(struct world *world);
void wait_spooled(struct world *world, int rounds);
void read_spool(const struct world *world, struct kept *kept);
struct field_bytes settings_of(struct world *world, const char *server);
void set_plan(struct world *world, const struct message_test *tests, size_t test_count, const struct message_run *runs,
              size_t run_count);
void set_tests(struct world *world, size_t count, int32_t interval_s);
void set_continuous(struct world *world, int32_t interval_s);
size_t check_contiguous(struct world *world, uint64_t test_id, int64_t interval_s);
bool may_open_raw_sockets(void);
int setup(void **state);
void remove_tree(const char *path);
int teardown(void **state);
pid_t worker_of(const struct world *world);
bool make_certificate(struct world *world, const char *name);
const char *certificate_text(struct world *world, const char *name);

#define NEEDS_RAW_SOCKETS()                                                                                            \
    if (!may_open_raw_sockets())                                                                                       \
    skip()

#endif
