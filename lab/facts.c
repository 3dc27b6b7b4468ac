#include "lab/facts.h"

#include <stdio.h>

#include "base/clock.h"
#include "facts/mmdb.h"

/* Simulated addresses are of the special ranges, which only databases for private addresses are asked about. */
#define FACTS_TYPE "Oculi-Lab-Private-ASN-City"

/* A field as mmdb_write_put takes it; what separates fields there cannot be in a text. */
static void put(struct buf *fields, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(fields, "%s%s=", fields->size ? ";" : "", name);
    for (; *text; text++)
        buf_putc(fields, *text == ';' ? ',' : *text);
}

int lab_facts_write(const struct lab_scenario *scenario, struct buf *out, struct error *err)
{
    struct mmdb_write *write = mmdb_write_new(FACTS_TYPE, 6, 28, (uint64_t)(clock_wall_ns(&clock_real) / CLOCK_S));
    struct buf fields;
    buf_init(&fields, 65536);
    for (uint32_t i = 0; i < scenario->name_count; i++) {
        const struct lab_node *node = &scenario->nodes[scenario->names[i].node];
        char text[LAB_ADDR_TEXT_BYTES], number[24];
        (void)snprintf(number, sizeof number, "#%u", node->as_number);
        buf_reset(&fields);
        put(&fields, "autonomous_system_number", node->as_number ? number : NULL);
        put(&fields, "autonomous_system_organization", node->as_number ? node->as_name : NULL);
        put(&fields, "city.names.en", node->place);
        put(&fields, "country.iso_code", node->country);
        put(&fields, "hostname", node->rdns);
        if (fields.size)
            mmdb_write_put(write, lab_addr_text(&scenario->names[i].addr, text, sizeof text), buf_str(&fields));
    }
    buf_done(&fields);
    int rc = mmdb_write_bytes(write, out, err);
    mmdb_write_free(write);
    return rc;
}
