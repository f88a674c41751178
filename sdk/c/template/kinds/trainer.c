#include "stormglass.h"

#include <math.h>
#include <stdlib.h>

static double largest = INFINITY;

bool sg_train(const sg_job *history, sg_string prior, sg_string *model, sg_error *error) {
    (void)prior, (void)error;
    double found = -INFINITY;
    for (uint32_t i = 0; i < history->values_len; i++) {
        found = fmax(found, history->values[i]);
    }
    *model = sg_str(sg_format("%.17g", found));
    return true;
}

bool sg_load(sg_string model, sg_error *error) {
    (void)error;
    largest = strtod(sg_cstr(model), NULL);
    return true;
}

bool sg_detect(const sg_job *job, sg_scores *out, sg_error *error) {
    (void)error;
    out->scores = sg_alloc(job->values_len * sizeof(double));
    for (uint32_t i = 0; i < job->values_len; i++) {
        out->scores[i] = job->values[i] > largest;
    }
    return true;
}
