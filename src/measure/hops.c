#include "measure/hops.h"

struct measure_hop *measure_next_hop(struct measure_hops *walk)
{
    for (; walk->part < walk->type->part_count; walk->part++, walk->route = 0) {
        const struct measure_part *part = &walk->type->parts[walk->part];
        const struct measure_path_vis *paths = (const void *)((const char *)walk->result + part->offset);
        if (part->table != &measure_path_vis_table)
            continue;
        for (; walk->route < paths->path_traces.count; walk->route++, walk->hop = 0) {
            const struct measure_route *route = (const struct measure_route *)paths->path_traces.items + walk->route;
            if (walk->hop < route->hops.count)
                return (struct measure_hop *)route->hops.items + walk->hop++;
        }
    }
    return NULL;
}
