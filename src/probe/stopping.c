#include "probe/stopping.h"

#include <assert.h>
#include <math.h>

#define MAX_N 8000u /* far beyond any n(k) that can be asked for */

void stopping_init(struct stopping *stopping, double epsilon)
{
    assert(epsilon > 0 && epsilon < 1);
    stopping->epsilon = epsilon;
    stopping->known = 0;
}

/* n(k), with those below k known. */
static uint32_t compute(const struct stopping *stopping, uint32_t k)
{
    double chance[STOPPING_MAX_K + 2] = {0}; /* of having seen j of the k + 1 and gone on */
    double failed = 0, hidden = k + 1;
    uint32_t low = 1; /* fewer have been seen by nobody who went on */
    chance[1] = 1;
    for (uint32_t n = 1; n < MAX_N; n++) {
        while (low < k && stopping->n[low] == n) {
            failed += chance[low];
            chance[low++] = 0;
        }
        if (low == k && failed + chance[k] <= stopping->epsilon)
            return n;
        for (uint32_t j = k; j >= low; j--) {
            chance[j + 1] += j < k ? chance[j] * (hidden - j) / hidden : 0;
            chance[j] *= j / hidden;
        }
    }
    return MAX_N;
}

uint32_t stopping_at(struct stopping *stopping, uint32_t k)
{
    assert(k >= 1 && k <= STOPPING_MAX_K);
    for (; stopping->known < k; stopping->known++)
        stopping->n[stopping->known + 1] = (uint16_t)compute(stopping, stopping->known + 1);
    return stopping->n[k];
}

double stopping_share(double confidence, uint32_t branching)
{
    double c = branching < 3 ? 1 : 0.8;
    return (sqrt(1 + 4 * c * (1 - confidence)) - 1) / (2 * c);
}
