/*
 * What the spacing of packets tells: pure arithmetic for train.c.
 */
#ifndef OCULI_PROBE_DISPERSION_H
#define OCULI_PROBE_DISPERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two packets in a row that both arrived: how far apart they left and arrived. */
struct dispersion_pair {
    int64_t in_ns, out_ns;
};

struct dispersion_mode {
    double out_ns;    /* the spacing of the mode */
    double spread_ns; /* half the width of what is in it */
    double in_ns;     /* how far apart its packets left, typically */
    size_t count;
};

/*
 * The mode of the pairs that tells of the narrowest link: of the strongest and those at least two fifths as strong the
 * one whose packets arrive closest together, since other traffic between two packets makes modes further apart.
 * widest_ns: those further apart than that are not asked (0 = all are). False when too few pairs agree: less than a
 * tenth, or less than five. Sorts the pairs.
 */
bool dispersion_find_mode(struct dispersion_pair *pairs, size_t count, double widest_ns, struct dispersion_mode *ret_mode);

enum dispersion_trend { DISPERSION_FLAT, DISPERSION_RISING, DISPERSION_UNCLEAR };

/*
 * Whether the delays of a stream, in the order of sending, rise: pairwise comparison and difference tests (Jain and
 * Dovrolis 2003, section 4.2), on the least delays of groups, since the packets of one step leave together. steps: in
 * which it was sent. A rise of less than noise_ns in all is none.
 */
enum dispersion_trend dispersion_find_trend(const int64_t *delays_ns, size_t count, size_t steps, int64_t noise_ns);

#endif
