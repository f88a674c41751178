/* Span processors: spans lie in memory as they cross, and are changed where they are. */
#include <string.h>

#include "internal.h"

sg_value *sg_attribute_value(sg_attributes attributes, const char *key) {
    for (uint32_t i = 0; i < attributes.len; i++) {
        if (sg_equals(attributes.ptr[i].key, key)) {
            return &attributes.ptr[i].value;
        }
    }
    return NULL;
}

void sg_set_attribute(sg_attributes *attributes, const char *key, sg_value value) {
    sg_value *found = sg_attribute_value(*attributes, key);
    if (found) {
        *found = value;
        return;
    }
    sg_attribute *larger = sg_alloc((attributes->len + 1) * sizeof *larger);
    if (attributes->len) {
        memcpy(larger, attributes->ptr, attributes->len * sizeof *larger);
    }
    larger[attributes->len] = (sg_attribute){sg_str(key), value};
    *attributes = (sg_attributes){larger, attributes->len + 1};
}

#ifdef SG_KIND_SPAN_PROCESSOR
typedef struct {
    uint8_t is_error;
    union {
        sg_spans spans;
        sg_error error;
    } of;
} processed_spans;

EXPORT(PLUGIN "span-processor" VERSION "#process")
processed_spans *process_spans(sg_attributes *resources, uint32_t resources_len, sg_scope *scopes, uint32_t scopes_len,
                               sg_span *spans, uint32_t spans_len) {
    static processed_spans result;
    memset(&result, 0, sizeof result);
    sg_spans given = {{resources, resources_len}, {scopes, scopes_len}, {spans, spans_len}};
    sg_error error = {0};
    if (sg_process_spans(&given, &error)) {
        result.of.spans = given;
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("span-processor" VERSION "#process", post_process_spans)
#endif
