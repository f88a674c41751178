#include "stormglass.h"

bool sg_notify(const sg_notification *n, sg_error *error) {
    (void)error;
    sg_log(SG_INFO, "%s: %u", n->status == SG_FIRING ? "firing" : "resolved", (unsigned)n->alerts.len);
    return true;
}
