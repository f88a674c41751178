#include "stormglass.h"

bool sg_collect(sg_metrics *out, sg_error *error) {
    (void)error;
    sg_gauge(out, "hello_answer", "The answer.");
    sg_set(out, 42, "planet", "earth", NULL);
    return true;
}
