#include "stormglass.h"

const sg_function *sg_functions(void) {
    static const sg_function all[] = {{"double", "Twice as much.", "v", 0}, {NULL, NULL, NULL, 0}};
    return all;
}

bool sg_eval(const sg_call *call, double *answer, sg_error *error) {
    (void)error;
    for (uint32_t i = 0; i < call->values.len; i++) {
        answer[i] = 2 * call->values.ptr[i];
    }
    return true;
}
