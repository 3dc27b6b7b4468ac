#include "server/problem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE_INVALID "request validation failed. There are invalid or missing fields"
#define TITLE_ERRORS "There were some errors in your request, please correct them before trying again. "

int problem_status(int code)
{
    switch ((enum error_code)abs(code)) {
    case E_INVALID:
    case E_RANGE:
    case E_TYPE:
    case E_UNKNOWN:
    case E_REQUIRED:
    case E_EXISTS:
    case E_UNRESOLVED:
        return 400;
    case E_NOT_FOUND:
        return 404;
    case E_CONFLICT:
        return 409;
    case E_PERMISSION:
        return 403;
    case E_AUTH:
        return 401;
    case E_LIMIT:
        return 413;
    case E_FULL:
        return 507;
    case E_NOT_SUPPORTED:
        return 501;
    case E_AGAIN:
    case E_CLOSED:
    case E_TIMEOUT:
        return 503;
    case E_IO:
    case E_CORRUPT:
    case E_CODE_COUNT:
        break;
    }
    return 500;
}

const char *problem_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {400, "400 Bad Request"},          {401, "401 Unauthorized"},       {403, "403 Forbidden"},
        {404, "404 Not Found"},            {405, "405 Method Not Allowed"}, {406, "406 Not Acceptable"},
        {409, "409 Conflict"},             {413, "413 Content Too Large"},  {415, "415 Unsupported Media Type"},
        {429, "429 Too Many Requests"},    {501, "501 Not Implemented"},    {503, "503 Service Unavailable"},
        {507, "507 Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "500 Internal Server Error";
}

json_t *problem_new(int status, const char *title, const char *detail, const char *instance)
{
    json_t *problem = json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title",
                                title ? title : problem_reason(status), "status", status);
    if (detail && *detail)
        (void)json_object_set_new(problem, "detail", json_string(detail));
    if (instance && *instance)
        (void)json_object_set_new(problem, "instance", json_string(instance));
    return problem;
}

/* "numPathTraces" -> "Num path traces": how the product's texts name a field. */
static void say_name(const char *name, char *out, size_t size)
{
    const char *dot = strrchr(name, '.');
    size_t n = 0;
    for (const char *c = dot ? dot + 1 : name; *c && n + 3 < size; c++) {
        if (isupper((unsigned char)*c) && n > 0)
            out[n++] = ' ';
        out[n] = n == 0 ? (char)toupper((unsigned char)*c) : (char)tolower((unsigned char)*c);
        n++;
    }
    out[n] = 0;
}

static void set_validation(json_t *problem, int code, const struct error *err)
{
    char title[700], detail[400], name[80];
    const char *message = err->text;
    char text[420];
    bool is_sentence = err->text[0] && strchr(".!?", err->text[strlen(err->text) - 1]) != NULL;
    (void)snprintf(text, sizeof text, "%s%s", err->text, is_sentence ? "" : ".");
    if (text[0])
        text[0] = (char)toupper((unsigned char)text[0]);
    message = text;
    if (abs(code) == E_REQUIRED && err->where[0]) {
        /* A required field that is missing: "Interval is empty." unless the handler worded it. */
        if (!strstr(err->text, "is empty") && !strstr(err->text, "No agents")) {
            say_name(err->where, name, sizeof name);
            (void)snprintf(text, sizeof text, "%s is empty.", name);
        }
    }
    if ((abs(code) == E_UNKNOWN || abs(code) == E_TYPE) && err->where[0]) {
        (void)json_object_set_new(problem, "title", json_string(TITLE_INVALID));
        (void)snprintf(detail, sizeof detail, "Invalid value for fields: %s", err->where);
        (void)json_object_set_new(problem, "detail", json_string(detail));
    } else if (err->where[0] && abs(code) != E_EXISTS) {
        /* The product calls the agents of a test "agentSet" here. */
        const char *where = strcmp(err->where, "agents") == 0 ? "agentSet" : err->where;
        (void)snprintf(title, sizeof title, TITLE_ERRORS "Error in field %s : %s", where, message);
        (void)json_object_set_new(problem, "title", json_string(title));
    } else {
        (void)snprintf(title, sizeof title, TITLE_ERRORS "%s", message);
        (void)json_object_set_new(problem, "title", json_string(title));
    }
    (void)json_object_set_new(problem, "errors",
                              json_pack("[{s:s, s:s, s:s}]", "code", error_name(abs(code)), "field", err->where,
                                        "message", message));
}

json_t *problem_from_error(int code, const struct error *err, const char *instance)
{
    int status = problem_status(code);
    json_t *problem = problem_new(status, NULL, NULL, instance);
    if (!err || err->code == 0)
        return problem;
    if (status == 400) {
        set_validation(problem, code, err);
    } else if (status == 501 || status == 413 || status == 409 || status == 403 || status == 507 || status == 404) {
        char detail[700];
        (void)json_object_set_new(problem, "detail", json_string(status == 507 || !err->where[0] || status == 404
                                                                     ? err->text
                                                                     : error_format(err, detail, sizeof detail)));
        if (err->where[0] && (status == 501 || status == 413)) {
            (void)json_object_set_new(problem, "errors",
                                      json_pack("[{s:s, s:s, s:s}]", "code", error_name(abs(code)), "field",
                                                err->where, "message", err->text));
        }
    }
    return problem;
}
