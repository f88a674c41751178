/* Detectors, trainers and functions: what works on series of plain numbers. */
#include <string.h>

#include "internal.h"

/* --- detector ------------------------------------------------------------------------------------------------------ */

#ifdef SG_KIND_DETECTOR
typedef struct {
    uint8_t is_error;
    union {
        sg_numbers scores[3];
        sg_error error;
    } of;
} detected;

EXPORT(PLUGIN "detector" VERSION "#detect")
detected *detect(int64_t start_ms, uint64_t step_ms, uint32_t steps, uint32_t series, const double *values, uint32_t length) {
    static detected result;
    memset(&result, 0, sizeof result);
    sg_job job = {start_ms, step_ms, steps, series, values, length};
    sg_scores out = {0};
    sg_error error = {0};
    if (sg_detect(&job, &out, &error)) {
        const double *lists[] = {out.scores, out.lower, out.upper};
        for (int i = 0; i < 3; i++) {
            result.of.scores[i] = (sg_numbers){lists[i], lists[i] ? length : 0};
        }
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("detector" VERSION "#detect", post_detect)
#endif

/* --- trainer ------------------------------------------------------------------------------------------------------- */

#ifdef SG_KIND_TRAINER
typedef struct {
    uint8_t is_error;
    union {
        sg_string model;
        sg_error error;
    } of;
} learnt;

EXPORT(PLUGIN "trainer" VERSION "#train")
learnt *train(int64_t start_ms, uint64_t step_ms, uint32_t steps, uint32_t series, const double *values, uint32_t length,
              const char *prior, uint32_t prior_len) {
    static learnt result;
    memset(&result, 0, sizeof result);
    sg_job history = {start_ms, step_ms, steps, series, values, length};
    sg_string model = {0};
    sg_error error = {0};
    if (sg_train(&history, (sg_string){prior, prior_len}, &model, &error)) {
        result.of.model = model;
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("trainer" VERSION "#train", post_train)

EXPORT(PLUGIN "trainer" VERSION "#load") outcome *load(const char *model, uint32_t length) {
    sg_error error = {0};
    bool ok = sg_load((sg_string){model, length}, &error);
    return sg_outcome(ok, error);
}

AFTER("trainer" VERSION "#load", post_load)
#endif

/* --- function ------------------------------------------------------------------------------------------------------ */

double sg_scalar(const sg_call *call, uint32_t argument, uint32_t step, double otherwise) {
    uint32_t at = argument * call->steps + step;
    return at < call->scalars.len ? call->scalars.ptr[at] : otherwise;
}

#ifdef SG_KIND_FUNCTION
typedef struct {
    sg_string name;
    sg_string help;
    const uint8_t *parameters;
    uint32_t parameters_len;
    uint32_t optional;
} signature;

typedef struct {
    const signature *ptr;
    uint32_t len;
} signature_list;

EXPORT(PLUGIN "function" VERSION "#signatures") signature_list *signatures(void) {
    static signature_list answer;
    const sg_function *functions = sg_functions();
    uint32_t count = 0;
    while (functions[count].name) {
        count++;
    }
    signature *made = sg_alloc(count * sizeof *made);
    for (uint32_t i = 0; i < count; i++) {
        static const char letters[] = "vrst";
        const sg_function *of = &functions[i];
        uint32_t length = (uint32_t)strlen(of->parameters);
        uint8_t *parameters = sg_alloc(length);
        for (uint32_t at = 0; at < length; at++) {
            const char *found = strchr(letters, of->parameters[at]);
            /* Another letter is a mistake of the plugin, which the server shows as one. */
            if (!found) {
                __builtin_trap();
            }
            parameters[at] = (uint8_t)(found - letters);
        }
        made[i] = (signature){sg_str(of->name), sg_str(of->help), parameters, length, of->optional};
    }
    answer = (signature_list){made, count};
    return &answer;
}

AFTER("function" VERSION "#signatures", post_signatures)

typedef struct {
    uint8_t is_error;
    union {
        sg_numbers values;
        sg_error error;
    } of;
} evaluated;

EXPORT(PLUGIN "function" VERSION "#eval") evaluated *eval(const sg_call *call) {
    static evaluated result;
    memset(&result, 0, sizeof result);
    uint32_t count = call->steps * call->series;
    double *values = sg_alloc(count * sizeof *values);
    sg_error error = {0};
    if (sg_eval(call, values, &error)) {
        result.of.values = (sg_numbers){values, count};
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("function" VERSION "#eval", post_eval)
#endif
