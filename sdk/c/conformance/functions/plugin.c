/* The functions of the conformance cases: see sdk/conformance. */
#include "stormglass.h"

const sg_function *sg_functions(void) {
    static const sg_function all[] = {
        {"scale", "Multiplies, by 2 unless told.", "vs", 1},
        {"window_count", "Samples of each window.", "r", 0},
        {"window_span", "Seconds from first to last.", "r", 0},
        {"text_bytes", "Adds the length of a text.", "vt", 0},
        {"refuse", "Fails.", "v", 0},
        {NULL, NULL, NULL, 0},
    };
    return all;
}

bool sg_eval(const sg_call *call, double *answer, sg_error *error) {
    for (uint32_t at = 0; at < call->series * call->steps; at++) {
        if (sg_equals(call->name, "scale")) {
            answer[at] = call->values.ptr[at] * sg_scalar(call, 0, at % call->steps, 2);
        } else if (sg_equals(call->name, "text_bytes")) {
            answer[at] = call->values.ptr[at] + call->texts.ptr[0].len;
        } else if (sg_equals(call->name, "refuse")) {
            return sg_fail(error, "refused");
        } else {
            uint32_t start = call->window_starts.ptr[at], end = call->window_ends.ptr[at];
            const int64_t *times = call->timestamps_ms.ptr;
            bool is_count = sg_equals(call->name, "window_count");
            double span = end > start ? (double)(times[end - 1] - times[start]) / 1000 : 0;
            answer[at] = is_count ? end - start : span;
        }
    }
    return true;
}
