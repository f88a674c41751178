#include "stormglass.h"
static int series;
bool sg_init(const sg_json *config, sg_error *error) { (void)error; series = (int)sg_json_number(sg_json_get(config, "series"), 0); return true; }
bool sg_collect(sg_metrics *out, sg_error *error) {
    (void)error;
    sg_gauge(out, "many", "Many.");
    for (int n = 0; n < series; n++) sg_set(out, n, "i", sg_format("%d", n), NULL);
    return true;
}
