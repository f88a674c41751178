#include "stormglass.h"

bool sg_probe(sg_string target, sg_labels params, sg_metrics *out, sg_error *error) {
    (void)params, (void)error;
    sg_gauge(out, "hello_target_bytes", "How long the target's name is.");
    sg_set(out, target.len, "target", sg_cstr(target), NULL);
    return true;
}
