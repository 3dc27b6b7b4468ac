/*
 * The kernel stamps received packets only while some socket of the machine asks for it, and begins a little after the
 * first one does (it patches its own code, by a worker of its own). Without a wait the first answers would have no stamp.
 */
#ifndef OCULI_PROBE_WARM_LINUX_H
#define OCULI_PROBE_WARM_LINUX_H

/* Waits, at most 50 ms, until a packet that this process sends to itself over the loopback interface comes with the kernel's
 * stamp. A socket that asks for stamps must be open already, and stay so. Without a loopback interface it returns at once. */
void warm_up_stamps(void);

#endif
