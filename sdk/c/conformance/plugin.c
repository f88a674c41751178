/* The conformance plugin: see sdk/conformance. */
#include "stormglass.h"

#include <stdlib.h>
#include <string.h>

/* The configuration's text: what sg_init is given is gone when it returns. */
static char *config_text;
static int calls;

bool sg_init(const sg_json *config, sg_error *error) {
    (void)error;
    sg_string text = sg_json_source(config);
    config_text = malloc(text.len + 1);
    memcpy(config_text, text.ptr, text.len);
    config_text[text.len] = 0;
    return true;
}

bool sg_collect(sg_metrics *out, sg_error *error) {
    enum { LABELS_MAX = 8 };
    calls++;
    const sg_json *ops = sg_json_get(sg_json_parse(sg_str(config_text)), "ops");
    for (size_t i = 0; i < sg_json_length(ops); i++) {
        const sg_json *op = sg_json_at(ops, i);
        sg_string what = sg_json_string(sg_json_at(op, 0), "");
        const char *first = sg_cstr(sg_json_string(sg_json_at(op, 1), ""));
        const char *second = sg_cstr(sg_json_string(sg_json_at(op, 2), ""));
        if (sg_equals(what, "gauge")) {
            sg_gauge(out, first, second);
        } else if (sg_equals(what, "counter")) {
            sg_counter(out, first, second);
        } else if (sg_equals(what, "set")) {
            double value = sg_json_number(sg_json_at(op, 1), strtod(first, NULL));
            sg_string names[LABELS_MAX], values[LABELS_MAX];
            size_t count = 0;
            for (size_t at = 2; at + 1 < sg_json_length(op) && count < LABELS_MAX; at += 2, count++) {
                names[count] = sg_json_string(sg_json_at(op, at), "");
                values[count] = sg_json_string(sg_json_at(op, at + 1), "");
            }
            sg_set_labels(out, value, count, names, values);
        } else if (sg_equals(what, "many")) {
            for (int n = 0; n < sg_json_number(sg_json_at(op, 1), 0); n++) {
                sg_set(out, n, "i", sg_format("%d", n), NULL);
            }
        } else if (sg_equals(what, "text")) {
            sg_text(out, sg_str(first));
        } else if (sg_equals(what, "now")) {
            sg_gauge(out, "now_ms", "The clock.");
            sg_set(out, (double)sg_now_ms(), NULL);
        } else if (sg_equals(what, "calls")) {
            sg_gauge(out, "calls", "Collections so far.");
            sg_set(out, calls, NULL);
        } else if (sg_equals(what, "fetch")) {
            sg_response response;
            if (!sg_http_get(first, &response, error)) {
                return false;
            }
            sg_gauge(out, "fetch_status", "Status.");
            sg_set(out, response.status, NULL);
            sg_gauge(out, "fetch_bytes", "Body.");
            sg_set(out, response.body.len, NULL);
        } else if (sg_equals(what, "read")) {
            sg_string content;
            if (!sg_read_file(first, &content, error)) {
                return false;
            }
            sg_gauge(out, "read_bytes", "File.");
            sg_set(out, content.len, NULL);
        } else if (sg_equals(what, "log")) {
            sg_log(strcmp(first, "warn") == 0 ? SG_WARN : SG_INFO, "%s", second);
        } else if (sg_equals(what, "fail")) {
            bool retry = sg_json_bool(sg_json_at(op, 2), false);
            return retry ? sg_fail_for_now(error, "%s", first) : sg_fail(error, "%s", first);
        }
    }
    return true;
}
