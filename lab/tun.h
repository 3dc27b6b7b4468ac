/*
 * The machine's side of a vantage point: a network namespace of its own with a TUN device whose other end is the
 * simulated internet. Linux only; needs root.
 *
 * The kernel stamps every packet as it enters the device; a packet ring on the device hands us those stamps, so that
 * a packet counts as sent when the kernel sent it and not when we came round to reading it.
 */
#ifndef OCULI_LAB_TUN_H
#define OCULI_LAB_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "lab/model.h"

#define LAB_TUN_DIR "/run/netns"
#define LAB_TUN_DEVICE "lab0"

struct lab_tun {
    char name[128]; /* of the namespace: PREFIX-VANTAGE */
    int fd;         /* the device; reads and writes whole IP packets, does not block */
    int ring_fd;    /* -1 = no stamps */
    int stats_fd;   /* the namespace's /proc/net/dev */
    uint8_t *ring;
    size_t ring_size;
    uint32_t ring_at;
    uint64_t stamped, unstamped;
};

/* Makes namespace, device, addresses and default routes of the node (a vantage). Stamps of what is sent make the delay exact
 * and cost the sender time in the kernel. */
int lab_tun_open(struct lab_tun *tun, const char *prefix, const struct lab_node *vantage, uint16_t mtu, bool has_stamps,
                 struct error *err);
void lab_tun_close(struct lab_tun *tun); /* removes the namespace; safe on one that was never opened but zeroed */

/* Reads one packet: its size, or 0 when there is none. *ret_sent_ns is the kernel's stamp as monotonic time, or
 * now_ns; mono_minus_real_ns is the offset between the machine's two clocks. */
size_t lab_tun_read(struct lab_tun *tun, void *packet, size_t room, int64_t now_ns, int64_t mono_minus_real_ns,
                    int64_t *ret_sent_ns);
bool lab_tun_write(struct lab_tun *tun, const void *packet, size_t size); /* false: the kernel refused it */

/* Can a packet be there? Costs no system call when there is a ring. */
bool lab_tun_may_read(const struct lab_tun *tun);

/* Packets the device dropped because we did not read in time: the lab's fault, not the scenario's. */
uint64_t lab_tun_dropped(const struct lab_tun *tun);

/* Removes what is left of a namespace of that name. */
void lab_tun_remove(const char *name);

/* Moves this thread into the namespace. */
int lab_tun_enter(const char *name, struct error *err);

#endif
