#include "stormglass.h"

bool sg_process_spans(sg_spans *spans, sg_error *error) {
    (void)error;
    for (uint32_t i = 0; i < spans->spans.len; i++) {
        sg_value earth = {.kind = SG_TEXT, .of.text = sg_str("earth")};
        sg_set_attribute(&spans->spans.ptr[i].attributes, "planet", earth);
    }
    return true;
}
