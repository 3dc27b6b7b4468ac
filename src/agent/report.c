#include "agent/report.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#define REPORT_BYTES 262144
#define REPORT_TIMEOUT_S 20
#define REPORT_LEAVE_S 2
#define REPORT_AGAIN_S 30 /* after a failure; the requests that matter more retry by themselves */

struct report {
    struct report_settings settings;
    struct http_job *job;
    struct loop_timer timer;
    bool is_kicked; /* while a request was open */
    loop_fn *left;  /* leaving: whom to tell */
    void *left_user;
};

static void start_timer(struct report *report, int64_t seconds)
{
    struct loop *loop = report->settings.loop;
    loop_timer_start(loop, &report->timer, loop_now_ns(loop) + seconds * CLOCK_S);
}

static void on_answer(void *user, const struct http_answer *answer)
{
    struct report *report = user;
    report->job = NULL;
    if (report->left) {
        report->left(report->left_user);
        return;
    }
    bool is_unknown = answer->status == 404 || answer->status == 405;
    bool is_done = answer->status / 100 == 2;
    start_timer(report, report->is_kicked ? REPORT_SOON_S
                        : is_unknown      ? REPORT_UNKNOWN_S
                        : is_done         ? REPORT_EVERY_S : REPORT_AGAIN_S);
    report->is_kicked = false;
}

static void send_now(struct report *report)
{
    struct arena arena;
    struct message_report message;
    struct buf body;
    arena_init(&arena, REPORT_BYTES);
    buf_init(&body, REPORT_BYTES);
    field_defaults(&message_report_table, &message);
    report->settings.fill(report->settings.user, &message, &arena);
    message.is_leaving = report->left != NULL;
    field_to_cbor(&message_report_table, &message, &body);
    struct http_request request = {.method = "POST",
                                   .path = "/oculi/v1/agent/report",
                                   .authorization = report->settings.authorization,
                                   .body = body.data,
                                   .body_size = body.size,
                                   .timeout_s = report->left ? REPORT_LEAVE_S : REPORT_TIMEOUT_S};
    report->job = http_start(report->settings.http, &request, on_answer, report);
    buf_done(&body);
    arena_done(&arena);
}

static void on_timer(void *user)
{
    send_now(user);
}

void report_kick(struct report *report)
{
    struct loop *loop = report->settings.loop;
    int64_t soon_ns = loop_now_ns(loop) + REPORT_SOON_S * CLOCK_S;
    if (report->left)
        return;
    report->is_kicked = report->job != NULL;
    bool is_sooner = !loop_timer_is_armed(&report->timer) || report->timer.due_ns > soon_ns;
    if (!report->job && is_sooner)
        loop_timer_start(loop, &report->timer, soon_ns);
}

void report_leave(struct report *report, loop_fn *fn, void *user)
{
    report->left = fn;
    report->left_user = user;
    loop_timer_stop(report->settings.loop, &report->timer);
    if (report->job)
        http_cancel(report->job);
    send_now(report);
}

struct report *report_new(const struct report_settings *settings)
{
    struct report *report = mem_alloc(sizeof *report);
    report->settings = *settings;
    report->timer = (struct loop_timer){.fn = on_timer, .user = report};
    return report;
}

void report_free(struct report *report)
{
    if (!report)
        return;
    if (report->job)
        http_cancel(report->job);
    loop_timer_stop(report->settings.loop, &report->timer);
    mem_free(report);
}
