/*
 * What checks and measurements of the Linux side itself may change about it; everybody else uses probe_io_linux_new.
 */
#ifndef OCULI_PROBE_IO_LINUX_H
#define OCULI_PROBE_IO_LINUX_H

#include "probe/io.h"

#define IO_LINUX_NO_OWN_IDS 1u   /* as on kernels before 6.13: transmit stamps are counted, not named by us */
#define IO_LINUX_NO_TX_STAMPS 2u /* as on interfaces whose driver makes none */

int io_linux_new(struct loop *loop, struct probe_sockets *sockets, unsigned without, struct probe_io **ret_io,
                 struct error *err);

#endif
