/* Any token against keys that are known, and against any keys: nothing but what was signed is taken. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/jwt.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The keys that signed the tokens of the corpus; their private halves are gone. */
static const char known_keys[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":\""
    "7ZICGQBNF7L_K27DdnxwDxqohGFz3l_sJ-Ymmw7lZsnmbn2GDe81o980gFJLKkoEuTEmdSLbqirnuxAhiwoWS2VT"
    "Jf-RPe0RmrqfCL9-CZh0LH7C12bWrbwoGmWVf_kZjKqXQmWYMaSypqLwENJ0JiYMCacSiDEbbivtVQChiCfzLzEs"
    "PSNMYdqB9_9GcubPF0OlqjpYxk1vkbPWyQ1o2kRlBaOspWD62CdGU37b0MEmHve3Ez30gUZU7pba5pb0SfB26KfO"
    "EboaKosOm825KkV3Bs3VL_6AnXfyryujjjPw1yhvixuiybheeAaVwXxjxuA1ycfd-H2chmtqeFqxGQ"
    "\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"uyQezI2OsF6Gp7ZLlqviatwr0GrEKvp277Jgk8UsUiQ\","
    "\"y\":\"98gHW2gUTIDG70rbfX7psFxlMbbYRIa_aTo15PmzY28\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *known;
    if (!known)
        assert(json_parse_strict(known_keys, sizeof known_keys - 1, &known, NULL) == 0);
    struct arena arena;
    arena_init(&arena, 1u << 20);
    char *token = arena_strndup(&arena, (const char *)data, size < 65536 ? size : 65536);
    char *line = strchr(token, '\n');
    json_t *own = NULL, *claims = NULL;
    if (line) {
        *line++ = 0;
        (void)json_parse_strict(line, strlen(line), &own, NULL);
    }
    struct error err = {0};
    int rc = jwt_verify(token, own ? own : known, &arena, &claims, &err);
    assert(rc == 0 || ((rc == -E_AUTH || rc == -E_NOT_FOUND) && err.text[0] && !claims));
    if (rc == 0) {
        assert(json_is_object(claims));
        const char *subject = json_string_value(json_object_get(claims, "sub"));
        assert(own || (subject && strcmp(subject, "fuzz") == 0));
    }
    json_decref(claims);
    json_decref(own);
    arena_done(&arena);
    return 0;
}
