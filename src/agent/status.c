#include "agent/status.h"

#include <stdio.h>
#include <string.h>

#include "agent/sealed.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/str.h"
#include "wire/json.h"

#define STATUS_BYTES 65536

static const char *const state_words[] = {"registering", "connected", "away", "refused", "displaced", NULL};

static const struct field fields[] = {
    FIELD_ENUM(struct agent_status, state, "state", state_words, (.preset = "registering"),
               "Whether the server answers and knows the agent"),
    FIELD_TIME(struct agent_status, written, "written", (), "When this was written"),
    FIELD_ID(struct agent_status, agent_id, "agentId", (), "The agent's number"),
    FIELD_ID(struct agent_status, aid, "aid", (), "Its account group"),
    FIELD_STR(struct agent_status, server, "server", (), "The server"),
    FIELD_STR(struct agent_status, proxy, "proxy", (), "The proxy to the server"),
    FIELD_STR(struct agent_status, version, "version", (), "The agent's version"),
    FIELD_STR(struct agent_status, instance, "instance", (), "The process, as it names itself to the server"),
    FIELD_TIME(struct agent_status, started, "started", (), "When it was started"),
    FIELD_I64(struct agent_status, plan_version, "planVersion", (), "Version of the plan that runs"),
    FIELD_I64(struct agent_status, tests, "tests", (.preset = "0"), "Tests of the plan that run"),
    FIELD_I64(struct agent_status, unsupported_tests, "unsupportedTests", (.preset = "0"),
              "Tests of the plan that this version cannot run"),
    FIELD_I64(struct agent_status, running_rounds, "runningRounds", (.preset = "0"), "Rounds running now"),
    FIELD_I64(struct agent_status, finished_rounds, "finishedRounds", (.preset = "0"),
              "Rounds finished since the start"),
    FIELD_I64(struct agent_status, missed_slots, "missedSlots", (.preset = "0"), "Slots that passed without a round"),
    FIELD_I64(struct agent_status, overlapped_slots, "overlappedSlots", (.preset = "0"),
              "Of these: because the round before was still running"),
    FIELD_I64(struct agent_status, clock_steps, "clockSteps", (.preset = "0"), "Steps of the wall clock"),
    FIELD_I64(struct agent_status, spool_bytes, "spoolBytes", (.preset = "0"), "Bytes not confirmed by the server"),
    FIELD_I64(struct agent_status, memory_bytes, "memoryBytes", (.preset = "0"),
              "Of these: in memory, the disk refuses"),
    FIELD_TIME(struct agent_status, spool_oldest, "spoolOldest", (), "Slot of the oldest round not confirmed"),
    FIELD_I64(struct agent_status, dropped_rounds, "droppedRounds", (.preset = "0"),
              "Rounds dropped because the spool was full or they were too old"),
    FIELD_I64(struct agent_status, dropped_bytes, "droppedBytes", (.preset = "0"), "Their bytes"),
    FIELD_I64(struct agent_status, damaged_bytes, "damagedBytes", (.preset = "0"), "Damaged in the spool"),
    FIELD_TIME(struct agent_status, last_contact, "lastContact", (), "When the server answered last"),
    FIELD_TIME(struct agent_status, last_upload, "lastUpload", (), "When the server confirmed rounds last"),
    FIELD_I64(struct agent_status, uploaded_rounds, "uploadedRounds", (.preset = "0"),
              "Rounds confirmed since the start"),
    FIELD_I64(struct agent_status, duplicate_rounds, "duplicateRounds", (.preset = "0"),
              "Of these: the server had them already"),
    FIELD_I64(struct agent_status, refused_rounds, "refusedRounds", (.preset = "0"),
              "Of these: refused, their tests no longer exist"),
    FIELD_F64(struct agent_status, clock_offset_s, "clockOffset", (.unit = "s"), "The server's clock minus this one"),
    FIELD_BOOL(struct agent_status, is_clock_corrected, "clockCorrected", (.preset = "false"),
               "Rounds carry the server's time, because this clock is wrong"),
    FIELD_STR(struct agent_status, local_problem, "localProblem", (), "What is wrong at this machine itself"),
    FIELD_STRS(struct agent_status, queues, "queues", (), "Use of each queue, in five minutes and at most in a day"),
    FIELD_I64(struct agent_status, resident_bytes, "residentBytes", (.preset = "0"), "Memory of the worker"),
    FIELD_F64(struct agent_status, cpu, "cpu", (.unit = "%"), "Share of a core it uses"),
    FIELD_STRS(struct agent_status, limits_hit, "limitsHit", (), "Ceilings hit and how often"),
    FIELD_STR(struct agent_status, last_error, "lastError", (), "The last thing that went wrong"),
};

const struct field_table agent_status_table =
    FIELD_TABLE("AgentStatus", struct agent_status, fields, NULL, "What the agent is doing");

static void put_value(const json_t *value, struct buf *buf)
{
    size_t i;
    const json_t *item;
    switch (json_typeof(value)) {
    case JSON_STRING:
        buf_puts(buf, json_string_value(value));
        break;
    case JSON_INTEGER:
        buf_printf(buf, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        buf_printf(buf, "%.6f", json_real_value(value));
        break;
    case JSON_ARRAY:
        json_array_foreach(value, i, item)
        {
            buf_puts(buf, i ? ", " : "");
            put_value(item, buf);
        }
        break;
    case JSON_TRUE:
        buf_puts(buf, "true");
        break;
    case JSON_OBJECT:
    case JSON_FALSE:
    case JSON_NULL:
        buf_puts(buf, "false");
        break;
    }
}

void agent_status_text(const struct agent_status *status, struct buf *buf)
{
    json_t *json = field_to_json(&agent_status_table, status, NULL);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const json_t *value = json_object_get(json, fields[i].name);
        if (!value)
            continue;
        char kebab[64];
        str_kebab(fields[i].name, kebab, sizeof kebab);
        buf_printf(buf, "%s: ", kebab);
        put_value(value, buf);
        buf_putc(buf, '\n');
    }
    json_decref(json);
}

void agent_status_json(const struct agent_status *status, struct buf *buf)
{
    json_t *json = field_to_json(&agent_status_table, status, NULL);
    json_dump_to_buf(json, 0, buf);
    json_decref(json);
    buf_putc(buf, '\n');
}

/* JSON of one object that gets one more member, in front. */
static void print_json(const char *running, const struct buf *file)
{
    const char *text = (const char *)file->data, *brace = memchr(text, '{', file->size);
    (void)printf("{\"running\":%s%s%s", running, brace && brace[1] != '}' ? "," : "", brace ? brace + 1 : "}\n");
}

int agent_status_print(const char *state_dir, bool is_json, struct error *err)
{
    char path[512];
    struct buf text, json;
    buf_init(&text, STATUS_BYTES);
    buf_init(&json, STATUS_BYTES);
    (void)snprintf(path, sizeof path, "%s/status.json", state_dir);
    int rc = file_read(path, &json, err);
    (void)snprintf(path, sizeof path, "%s/status", state_dir);
    if (!rc)
        rc = file_read(path, &text, err);
    if (rc) {
        buf_done(&text);
        buf_done(&json);
        return rc == -E_NOT_FOUND
                   ? error_set(err, E_NOT_FOUND, path, "there is no such file: no agent has run with this --state-dir")
                   : rc;
    }
    int lock;
    int locked = sealed_lock(state_dir, 0, &lock, NULL);
    bool is_running = locked == -E_CONFLICT;
    (void)buf_str(&json);
    if (is_json)
        print_json(is_running ? "true" : locked ? "null" : "false", &json);
    else
        (void)printf("running: %s\n%s", is_running ? "true" : locked ? "unknown" : "false", buf_str(&text));
    bool is_well = is_running && strstr(buf_str(&text), "state: connected\n");
    buf_done(&text);
    buf_done(&json);
    return is_well ? 0 : 1;
}
