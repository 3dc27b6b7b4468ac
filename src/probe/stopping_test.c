#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "probe/stopping.h"

static void known_values(void **state)
{
    (void)state;
    static const uint32_t five[] = {6, 11, 16, 21, 27, 33, 39, 45, 51, 57};
    struct stopping stopping;
    stopping_init(&stopping, 0.05);
    for (uint32_t k = 1; k <= 10; k++)
        assert_int_equal(stopping_at(&stopping, k), five[k - 1]);
    stopping_init(&stopping, 0.01);
    assert_int_equal(stopping_at(&stopping, 1), 8); /* 2^-7 <= 1 % */
    assert_true(stopping_at(&stopping, STOPPING_MAX_K) < 2000);
}

/* A router with that many next hops, asked until its stopping point, many times. */
static void failures_are_as_rare_as_asked(void **state)
{
    (void)state;
    struct rng rng;
    struct stopping stopping;
    rng_seed(&rng, 3);
    stopping_init(&stopping, 0.05);
    for (uint32_t really = 2; really <= 12; really++) {
        unsigned failed = 0;
        for (unsigned run = 0; run < 20000; run++) {
            uint32_t seen = 0, count = 0;
            for (uint32_t n = 0; count == 0 || n < stopping_at(&stopping, count); n++) {
                uint32_t bit = 1u << rng_below(&rng, really);
                count += (seen & bit) == 0;
                seen |= bit;
            }
            failed += count < really;
        }
        assert_true(failed <= 1090); /* 5 % of 20000 and three standard deviations */
        assert_true(failed >= 400);  /* and not for want of economy */
    }
}

static void the_share_keeps_the_whole_below(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < 50; b++) {
        double share = stopping_share(0.95, b);
        assert_true(share > 0.047 && share < 0.05);
        double sum = 0, choose = 1;
        uint32_t really = b + 1; /* routers that branch; m of them missed leave b = really - m found */
        for (uint32_t m = 1; m <= really; m++) {
            double each = stopping_share(0.95, really - m) / (really - m + 1), all = 1;
            choose *= (double)(really - m + 1) / m;
            for (uint32_t i = 0; i < m; i++)
                all *= each;
            sum += choose * all;
        }
        assert_true(sum <= 0.05 + 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(failures_are_as_rare_as_asked),
        cmocka_unit_test(the_share_keeps_the_whole_below),
    };
    return cmocka_run_group_tests_name("stopping points", tests, NULL, NULL);
}
