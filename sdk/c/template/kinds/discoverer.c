#include "stormglass.h"

bool sg_poll(sg_targets *out, sg_error *error) {
    (void)error;
    sg_group(out, "hello", NULL);
    sg_target(out, "127.0.0.1:9100", "planet", "earth", NULL);
    return true;
}
