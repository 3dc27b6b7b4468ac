/* Sealed secrets: what opens them and what does not, and what becomes of them when the key is rotated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "server/seal.h"

static char dir[] = "/tmp/oculi-seal-XXXXXX", path[64];
static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1u << 20);
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof path, "%s/keys", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)rmdir(dir);
    arena_done(&arena);
    return 0;
}

static struct seal *load(void)
{
    struct seal *seal = NULL;
    struct error err = {0};
    int rc = seal_load(path, &seal, &err);
    if (rc)
        fail_msg("%s: %s", err.where, err.text);
    return seal;
}

static const char *opened(const struct seal *seal, const char *purpose, const char *sealed)
{
    const char *plain = NULL;
    return seal_open(seal, purpose, sealed, &arena, &plain, NULL) == 0 ? plain : NULL;
}

static void what_is_sealed_opens_after_a_restart(void **state)
{
    (void)state;
    struct seal *seal = load();
    const char *sealed, *other;
    assert_int_equal(seal_text(seal, "credential", "hunter2 \xc3\xa9", &arena, &sealed, NULL), 0);
    assert_int_equal(seal_text(seal, "credential", "hunter2 \xc3\xa9", &arena, &other, NULL), 0);
    assert_true(seal_is_sealed(sealed));
    assert_null(strstr(sealed, "hunter2"));
    assert_string_not_equal(sealed, other); /* each has a nonce of its own */
    seal_free(seal);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    seal = load();
    assert_string_equal(opened(seal, "credential", sealed), "hunter2 \xc3\xa9");
    assert_int_equal(seal_text(seal, "totp", "", &arena, &sealed, NULL), 0);
    assert_string_equal(opened(seal, "totp", sealed), "");
    seal_free(seal);
}

static void nothing_else_opens(void **state)
{
    (void)state;
    struct seal *seal = load();
    const char *sealed;
    assert_int_equal(seal_text(seal, "credential", "hunter2", &arena, &sealed, NULL), 0);
    assert_null(opened(seal, "totp", sealed)); /* another purpose */
    char *forged = arena_strdup(&arena, sealed);
    char *purpose = strstr(forged, "credential");
    memcpy(purpose, "credentiaL", 10);
    assert_null(opened(seal, "credentiaL", forged)); /* the name alone does not help */
    for (size_t i = 0; i < strlen(sealed); i++) { /* any byte changed */
        char *changed = arena_strdup(&arena, sealed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        const char *plain = opened(seal, "credential", changed);
        assert_true(!plain);
        changed = arena_strdup(&arena, sealed);
        changed[i] = 0; /* and cut anywhere */
        assert_null(opened(seal, "credential", changed));
    }
    assert_false(seal_is_sealed("hunter2"));
    assert_null(opened(seal, "credential", "hunter2"));
    seal_free(seal);
}

static void a_new_key_seals_and_the_old_one_still_opens(void **state)
{
    (void)state;
    struct seal *seal = load();
    const char *old, *same, *new;
    assert_int_equal(seal_text(seal, "credential", "hunter2", &arena, &old, NULL), 0);
    assert_int_equal(seal_again(seal, old, &arena, &same, NULL), 0);
    assert_ptr_equal(same, old);
    assert_int_equal(seal_rotate(seal, NULL), 0);
    seal_free(seal);
    seal = load();
    assert_string_equal(opened(seal, "credential", old), "hunter2");
    assert_int_equal(seal_again(seal, old, &arena, &new, NULL), 0);
    assert_memory_not_equal(old, new, 16);
    assert_string_equal(opened(seal, "credential", new), "hunter2");
    seal_free(seal);
    /* With the old keys removed from the file only the new text opens. */
    struct buf text;
    buf_init(&text, 4096);
    assert_int_equal(file_read(path, &text, NULL), 0);
    assert_int_equal(file_write(path, text.data, strcspn(buf_str(&text), "\n") + 1, 0600, NULL), 0);
    buf_done(&text);
    seal = load();
    assert_null(opened(seal, "credential", old));
    assert_string_equal(opened(seal, "credential", new), "hunter2");
    seal_free(seal);
}

static void a_damaged_file_is_refused_and_kept(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "not keys\n", "0123abcd 00\n", "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(file_write(path, texts[i], strlen(texts[i]), 0600, NULL), 0);
        struct seal *seal = NULL;
        struct error err = {0};
        assert_int_equal(seal_load(path, &seal, &err), -E_CORRUPT);
        assert_null(seal);
        assert_string_equal(err.where, path);
    }
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(what_is_sealed_opens_after_a_restart),
        cmocka_unit_test(nothing_else_opens),
        cmocka_unit_test(a_new_key_seals_and_the_old_one_still_opens),
        cmocka_unit_test(a_damaged_file_is_refused_and_kept),
    };
    return cmocka_run_group_tests(checks, begin, end);
}
