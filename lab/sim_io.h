/*
 * The simulated side of the probe engine's seam (probe/io.h): engines at the vantage points of a simulated internet,
 * under one simulated clock. Hours pass in a blink and every run is the same again.
 *
 * A host's clock may be wrong as real ones are: its wall clock is off by offset_ns and can be stepped, and both of its
 * clocks run fast by drift_ppm. Its stamps are made in its wall time and converted by the same code as on Linux. Its
 * receive buffer may be small; what does not fit is dropped and counted by the host, as Linux does.
 *
 *     struct sim *sim = sim_new(scenario, &(struct lab_options){.seed = 1}, wall_ns);
 *     struct probe_io *io = sim_io_new(sim, &(struct sim_host){.vantage = 0});
 *     probe_engine_new(io, NULL, &engine, err);
 *     probe_ping_start(engine, ...);
 *     sim_run(sim, 10 * CLOCK_S, NULL);
 *     probe_engine_free(engine);
 *     sim_free(sim);
 */
#ifndef OCULI_LAB_SIM_IO_H
#define OCULI_LAB_SIM_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "lab/net.h"
#include "probe/io.h"

struct sim;

struct sim_host {
    unsigned vantage;
    int64_t offset_ns;     /* its wall clock is ahead by this */
    double drift_ppm;      /* its clocks run fast by this */
    uint32_t receive_room; /* packets its receive buffer holds; 0 = 16384 */
};

/* The scenario must outlive it. options may be NULL; its wall_offset_ns is set from wall_ns, the true time at the start. */
struct sim *sim_new(const struct lab_scenario *scenario, const struct lab_options *options, int64_t wall_ns);
void sim_free(struct sim *sim); /* after the engines; NULL is fine */

/* One for each vantage point. Owned by the engine it is given to. */
struct probe_io *sim_io_new(struct sim *sim, const struct sim_host *host);

/* Somebody sets the host's wall clock: it jumps by this much. */
void sim_io_step_wall(struct probe_io *io, int64_t change_ns);

/* True time, from 0 at the start. */
int64_t sim_now_ns(const struct sim *sim);

/* Lets `ns` of true time pass, or less when *until becomes true (NULL = never). */
void sim_run(struct sim *sim, int64_t ns, const bool *until);

struct lab_truth *sim_truth(struct sim *sim);

#endif
