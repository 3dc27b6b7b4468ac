/*
 * What a program tells the service manager that started it: sd_notify(3) and sd_watchdog_enabled(3), without their
 * library: datagrams of NAME=VALUE lines to the socket that the environment names. Without such a socket nothing
 * happens, so programs call this wherever they run.
 */
#ifndef OCULI_BASE_SERVICE_H
#define OCULI_BASE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

/* Sends lines such as "READY=1\nSTATUS=serving". False when nobody listens, or it could not be sent. */
bool service_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool service_tell_reloading(void); /* with the time it wants; service_tell("READY=1") ends it */

/* How often to tell WATCHDOG=1: half of the time after which the manager takes this process for hung; 0 = it does not. */
int64_t service_watchdog_ns(void);

#endif
