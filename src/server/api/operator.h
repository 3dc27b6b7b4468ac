/*
 * Who may see what is meant for operators: somebody on this machine itself, or, where a token was set for it
 * (--metrics-token-file), whoever shows that and nobody else. A request that a proxy on this machine passed on is not
 * this machine's.
 */
#ifndef OCULI_SERVER_API_OPERATOR_H
#define OCULI_SERVER_API_OPERATOR_H

#include "server/request.h"

bool operator_may_see(struct request *request);

struct operator_disk {
    uint64_t size, free; /* bytes; free to the server, which is no privileged user */
};
bool operator_disk(const struct server *server, struct operator_disk *ret_disk); /* of the data directory */

route_fn operator_get_metrics;

#endif
