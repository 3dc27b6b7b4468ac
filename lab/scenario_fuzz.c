/* Any text: it is refused with a place and a reason, or it is a network that can be walked. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "lab/net.h"
#include "lab/scenario.h"
#include "truth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lab_scenario *s = NULL;
    struct error err = {0};
    if (size > 1u << 16)
        return 0;
    if (lab_scenario_parse((const char *)data, size, "fuzz", &s, &err) < 0) {
        assert(err.code != 0 && err.where[0] != '\0' && err.text[0] != '\0');
        return 0;
    }
    struct lab_net *net = lab_net_new(s, &(struct lab_options){.packets = 16, .truth_probes = 16, .truth_streams = 16});
    struct buf text;
    buf_init(&text, 1u << 20);
    lab_net_step(net, 0);
    lab_truth_write_paths(net, &text);
    buf_done(&text);
    lab_net_free(net);
    lab_scenario_free(s);
    return 0;
}
