#include "measure/runner.h"

#include "base/limit.h"
#include "base/str.h"
#include "measure_list.h"

#define MEASURE_TYPE(name) extern const struct measure_runner name##_runner;
MEASURE_LIST
#undef MEASURE_TYPE

#define MEASURE_TYPE(name) &name##_runner,
const struct measure_runner *const measure_runners[] = {MEASURE_LIST NULL};

const struct measure_runner *measure_runner_find(const char *type_name)
{
    for (const struct measure_runner *const *runner = measure_runners; *runner; runner++) {
        if (str_equal((*runner)->type->name, type_name))
            return *runner;
    }
    return NULL;
}

static void on_deadline(void *user)
{
    struct measure_round *round = user;
    measure_round_stop(round);
    round->done(round);
}

int measure_round_start(const struct measure_runner *runner, struct measure_round *round, struct error *err)
{
    const struct measure_type *type = runner->type;
    round->runner = runner;
    round->state = NULL;
    round->start_wall_ns = clock_wall_ns(round->context->clock);
    round->end_wall_ns = 0;
    round->deadline = (struct loop_timer){.fn = on_deadline, .user = round};
    arena_init(&round->arena, LIMIT_ROUND_ARENA);
    round->result = arena_alloc(&round->arena, type->result_size);
    for (size_t i = 0; i < type->part_count; i++)
        field_defaults(type->parts[i].table, (char *)round->result + type->parts[i].offset);
    int rc = runner->start(round, err);
    if (rc) {
        arena_done(&round->arena);
        return rc;
    }
    if (round->deadline_ns && round->context->loop)
        loop_timer_start(round->context->loop, &round->deadline, round->deadline_ns);
    return 0;
}

static void end(struct measure_round *round)
{
    if (round->context->loop)
        loop_timer_stop(round->context->loop, &round->deadline);
    round->end_wall_ns = clock_wall_ns(round->context->clock);
}

void measure_round_stop(struct measure_round *round)
{
    round->runner->stop(round);
    end(round);
}

void measure_round_finish(struct measure_round *round)
{
    end(round);
    round->done(round);
}

void measure_round_done(struct measure_round *round)
{
    arena_done(&round->arena);
    round->result = NULL;
}
