#include "stormglass.h"

bool sg_detect(const sg_job *job, sg_scores *out, sg_error *error) {
    (void)error;
    out->scores = sg_alloc(job->values_len * sizeof(double));
    for (uint32_t i = 0; i < job->values_len; i++) {
        out->scores[i] = job->values[i] > 100;
    }
    return true;
}
