#include "probe/dispersion.h"

#include <math.h>
#include <stdlib.h>

#define WIDTH 1.08     /* of a mode: greatest by least spacing */
#define LEAST_PAIRS 5u
#define MAX_GROUPS 16u
#define GROUP_LEAST 3u

static int compare_out(const void *a, const void *b)
{
    const struct dispersion_pair *x = a, *y = b;
    return (x->out_ns > y->out_ns) - (x->out_ns < y->out_ns);
}

static double mean_in(const struct dispersion_pair *pairs, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)pairs[i].in_ns;
    return sum / (double)count;
}

/* How many, from the first on, are as far apart as it. */
static size_t mode_at(const struct dispersion_pair *pairs, size_t first, size_t usable)
{
    size_t last = first;
    while (last < usable && (double)pairs[last].out_ns <= (double)pairs[first].out_ns * WIDTH)
        last++;
    return last - first;
}

bool dispersion_find_mode(struct dispersion_pair *pairs, size_t count, double widest_ns, struct dispersion_mode *ret_mode)
{
    size_t strongest = 0, best = 0, best_first = 0, usable = count;
    qsort(pairs, count, sizeof *pairs, compare_out);
    while (widest_ns > 0 && usable > 0 && (double)pairs[usable - 1].out_ns > widest_ns)
        usable--;
    for (size_t first = 0; first < usable; first++) {
        size_t size = mode_at(pairs, first, usable);
        strongest = size > strongest ? size : strongest;
    }
    if (strongest < LEAST_PAIRS || strongest * 10 < count)
        return false;
    for (size_t first = 0; first < usable; first++) {
        size_t size = mode_at(pairs, first, usable);
        bool is_strong = size >= LEAST_PAIRS && size * 10 >= count && size * 5 >= strongest * 2;
        if (best && pairs[first].out_ns > pairs[best_first + best - 1].out_ns)
            break; /* a mode of its own */
        if (is_strong && size > best) {
            best = size;
            best_first = first;
        }
    }
    const struct dispersion_pair *mode = &pairs[best_first];
    *ret_mode = (struct dispersion_mode){.out_ns = (double)(mode[(best - 1) / 2].out_ns + mode[best / 2].out_ns) / 2,
                                         .spread_ns = (double)(mode[best - 1].out_ns - mode[0].out_ns) / 2,
                                         .in_ns = mean_in(mode, best),
                                         .count = best};
    return true;
}

enum dispersion_trend dispersion_find_trend(const int64_t *delays_ns, size_t count, size_t steps, int64_t noise_ns)
{
    int64_t least[MAX_GROUPS];
    size_t groups = count / GROUP_LEAST < MAX_GROUPS ? count / GROUP_LEAST : MAX_GROUPS;
    groups = steps * 2 / 3 < groups ? steps * 2 / 3 : groups;
    if (groups < 4)
        return DISPERSION_UNCLEAR;
    for (size_t g = 0; g < groups; g++) {
        least[g] = INT64_MAX;
        for (size_t i = g * count / groups; i < (g + 1) * count / groups; i++)
            least[g] = delays_ns[i] < least[g] ? delays_ns[i] : least[g];
    }
    double rises = 0, way = 0;
    for (size_t g = 1; g < groups; g++) {
        rises += least[g] > least[g - 1];
        way += fabs((double)(least[g] - least[g - 1]));
    }
    double compared = rises / (double)(groups - 1);
    double gain = (double)(least[groups - 1] - least[0]);
    double difference = way > 0 ? gain / way : 0;
    if (gain < (double)noise_ns)
        return DISPERSION_FLAT;
    if (compared >= 0.5 && difference > 0.4) /* both: one jump alone is somebody else's packets */
        return DISPERSION_RISING;
    return compared < 0.4 || difference < 0.3 ? DISPERSION_FLAT : DISPERSION_UNCLEAR;
}
