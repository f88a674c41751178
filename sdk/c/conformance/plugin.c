/* The conformance plugin: see sdk/conformance. */
#include "stormglass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The configuration's text: what sg_init is given is gone when it returns. */
static char *config_text;
static int calls;
static size_t model_len;

static const sg_json *operations(void) {
    return sg_json_get(sg_json_parse(sg_str(config_text)), "ops");
}

bool sg_init(const sg_json *config, sg_error *error) {
    (void)error;
    sg_string text = sg_json_source(config);
    config_text = malloc(text.len + 1);
    memcpy(config_text, text.ptr, text.len);
    config_text[text.len] = 0;
    return true;
}

/* [talk, host, port, mode, lines...] */
static bool talk(const sg_json *op, const char *host, sg_metrics *out, sg_error *error) {
    sg_string mode = sg_json_string(sg_json_at(op, 3), "");
    sg_tls tls = {0};
    sg_connect_options options = {.tls = sg_equals(mode, "tls") ? &tls : NULL};
    sg_connection connection;
    if (!sg_connect(host, (uint16_t)sg_json_number(sg_json_at(op, 2), 0), &options, &connection, error)) {
        return false;
    }
    for (size_t at = 4; at < sg_json_length(op); at++) {
        if (at == 5 && sg_equals(mode, "start-tls") && !sg_start_tls(&connection, NULL, error)) {
            return false;
        }
        const char *line = sg_format("%s\r\n", sg_cstr(sg_json_string(sg_json_at(op, at), "")));
        sg_string answer;
        bool found;
        if (!sg_write(&connection, sg_str(line), error) || !sg_read_line(&connection, &answer, &found, error)) {
            return false;
        }
        sg_gauge(out, "talk_line", "An answer.");
        sg_set(out, (double)(at - 4), "text", found ? sg_cstr(answer) : "", NULL);
    }
    const sg_session *session = sg_tls_session(&connection);
    if (session) {
        sg_gauge(out, "talk_tls", "TLS.");
        sg_set(out, 1, "version", sg_cstr(session->version), NULL);
    }
    sg_close(&connection);
    return true;
}

/* [lookup, name, type] */
static bool look_up(const char *name, const char *type, sg_metrics *out, sg_error *error) {
    const char *types[] = {"a", "aaaa", "cname", "mx", "ns", "ptr", "srv", "txt"};
    unsigned of = 0;
    while (of < 7 && strcmp(types[of], type) != 0) {
        of++;
    }
    const sg_record *records;
    uint32_t len;
    if (!sg_lookup(name, (sg_record_type)of, &records, &len, error)) {
        return false;
    }
    sg_gauge(out, "record_ttl", "A record.");
    for (uint32_t i = 0; i < len; i++) {
        const sg_record *r = &records[i];
        const char *data = r->kind == SG_DATA_MX ? sg_format("%u %s", (unsigned)r->of.mx.preference, sg_cstr(r->of.mx.host))
                           : r->kind == SG_DATA_SRV
                               ? sg_format("%u %u %u %s", (unsigned)r->of.srv.priority, (unsigned)r->of.srv.weight,
                                           (unsigned)r->of.srv.port, sg_cstr(r->of.srv.target))
                               : sg_cstr(r->of.text);
        sg_set(out, r->ttl_seconds, "name", sg_cstr(r->name), "data", data, NULL);
    }
    return true;
}

bool sg_collect(sg_metrics *out, sg_error *error) {
    enum { LABELS_MAX = 8 };
    calls++;
    const sg_json *ops = operations();
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
        } else if (sg_equals(what, "kv-set")) {
            if (!sg_kv_set(first, sg_str(second), 0, error)) {
                return false;
            }
        } else if (sg_equals(what, "kv-get")) {
            sg_string value;
            bool found;
            if (!sg_kv_get(first, &value, &found, error)) {
                return false;
            }
            sg_gauge(out, "kv_bytes", "Value.");
            sg_set(out, found ? (double)value.len : -1, NULL);
        } else if (sg_equals(what, "kv-delete")) {
            if (!sg_kv_delete(first, error)) {
                return false;
            }
        } else if (sg_equals(what, "kv-keys")) {
            const sg_string *keys;
            uint32_t keys_len;
            if (!sg_kv_keys(first, &keys, &keys_len, error)) {
                return false;
            }
            sg_gauge(out, "kv_keys", "Keys.");
            sg_set(out, keys_len, NULL);
        } else if (sg_equals(what, "secret")) {
            sg_string secret;
            if (!sg_secret(first, &secret, error)) {
                return false;
            }
            sg_gauge(out, "secret_bytes", "Secret.");
            sg_set(out, secret.len, NULL);
        } else if (sg_equals(what, "count")) {
            const char *label = sg_cstr(sg_json_string(sg_json_at(op, 3), ""));
            const char *text = sg_cstr(sg_json_string(sg_json_at(op, 4), ""));
            sg_counter_add(first, sg_json_number(sg_json_at(op, 2), 0), label, text, NULL);
        } else if (sg_equals(what, "measure")) {
            sg_gauge_set(first, sg_json_number(sg_json_at(op, 2), 0), NULL);
        } else if (sg_equals(what, "query")) {
            const sg_batch *answer;
            if (!sg_query(first, SG_NOW, &answer, error)) {
                return false;
            }
            sg_gauge(out, "answer", "Answer.");
            for (uint32_t series = 0; series < sg_series_len(answer); series++) {
                sg_labels labels = sg_series_labels(answer, series);
                sg_string names[LABELS_MAX], values[LABELS_MAX];
                size_t count = 0;
                for (uint32_t at = 0; at < labels.len && count < LABELS_MAX; at++) {
                    if (!sg_equals(labels.ptr[at].name, "__name__")) {
                        names[count] = labels.ptr[at].name;
                        values[count++] = labels.ptr[at].value;
                    }
                }
                sg_set_labels(out, sg_sample_value(answer, series, 0), count, names, values);
            }
        } else if (sg_equals(what, "lookup")) {
            if (!look_up(first, second, out, error)) {
                return false;
            }
        } else if (sg_equals(what, "talk")) {
            if (!talk(op, first, out, error)) {
                return false;
            }
        } else if (sg_equals(what, "query-range")) {
            const sg_batch *answer;
            double start = sg_json_number(sg_json_at(op, 2), 0), end = sg_json_number(sg_json_at(op, 3), 0);
            double step = sg_json_number(sg_json_at(op, 4), 0);
            if (!sg_query_range(first, (int64_t)start, (int64_t)end, (uint64_t)step, &answer, error)) {
                return false;
            }
            double count = 0, sum = 0;
            for (uint32_t series = 0; series < sg_series_len(answer); series++) {
                for (uint32_t at = 0; at < sg_samples_len(answer, series); at++) {
                    count++;
                    sum += sg_sample_value(answer, series, at);
                }
            }
            sg_gauge(out, "answer_samples", "Samples.");
            sg_set(out, count, NULL);
            sg_gauge(out, "answer_sum", "Sum.");
            sg_set(out, sum, NULL);
        }
    }
    return true;
}

bool sg_probe(sg_string target, sg_labels params, sg_metrics *out, sg_error *error) {
    if (sg_equals(target, "unreachable")) {
        return sg_fail(error, "no way to unreachable");
    }
    sg_gauge(out, "probe_params", "Parameters.");
    sg_set(out, params.len, "target", sg_cstr(target), NULL);
    sg_gauge(out, "probe_param", "A parameter.");
    for (uint32_t i = 0; i < params.len; i++) {
        sg_set(out, 1, "name", sg_cstr(params.ptr[i].name), "value", sg_cstr(params.ptr[i].value), NULL);
    }
    return true;
}

bool sg_poll(sg_targets *out, sg_error *error) {
    (void)error;
    sg_group(out, "conformance", "from", "conformance", NULL);
    const sg_json *ops = operations();
    for (size_t i = 0; i < sg_json_length(ops); i++) {
        const sg_json *op = sg_json_at(ops, i);
        const char *words[4];
        for (size_t at = 0; at < 4; at++) {
            words[at] = sg_cstr(sg_json_string(sg_json_at(op, at), ""));
        }
        if (strcmp(words[0], "target") == 0) {
            sg_target(out, words[1], words[2], words[3], NULL);
        }
    }
    sg_poll_after(out, 60000);
    return true;
}

bool sg_notify(const sg_notification *n, sg_error *error) {
    const sg_json *ops = operations();
    for (size_t i = 0; i < sg_json_length(ops); i++) {
        const sg_json *op = sg_json_at(ops, i);
        if (sg_equals(sg_json_string(sg_json_at(op, 0), ""), "fail")) {
            sg_fail(error, "%s", sg_cstr(sg_json_string(sg_json_at(op, 1), "")));
            error->retryable = sg_json_bool(sg_json_at(op, 2), false);
            return false;
        }
    }
    sg_log(SG_INFO, "%s %s %u %s", n->receiver.len ? "somebody" : "nobody", n->status == SG_FIRING ? "firing" : "resolved",
           (unsigned)n->alerts.len, sg_cstr(sg_label_value(n->alerts.ptr[0].labels, "alertname")));
    return true;
}

bool sg_train(const sg_job *history, sg_string prior, sg_string *model, sg_error *error) {
    (void)error;
    double sum = 0;
    for (uint32_t i = 0; i < history->values_len; i++) {
        sum += isnan(history->values[i]) ? 0 : history->values[i];
    }
    *model = sg_str(sg_format("%s%ssum=%.0f", sg_cstr(prior), prior.len ? ";" : "", sum));
    return true;
}

bool sg_load(sg_string model, sg_error *error) {
    (void)error;
    model_len = model.len;
    return true;
}

bool sg_detect(const sg_job *job, sg_scores *out, sg_error *error) {
    (void)error;
    out->scores = sg_alloc(job->values_len * sizeof(double));
    out->lower = sg_alloc(job->values_len * sizeof(double));
    out->upper = sg_alloc(job->values_len * sizeof(double));
    for (uint32_t i = 0; i < job->values_len; i++) {
        out->scores[i] = job->values[i] + (double)model_len;
        out->lower[i] = job->values[i] - 1;
        out->upper[i] = job->values[i] + 1;
    }
    return true;
}

bool sg_decode(sg_chunk *chunk, sg_samples *out, sg_error *error) {
    for (sg_string line; sg_line(chunk, &line);) {
        if (sg_equals(line, "refuse")) {
            return sg_fail(error, "refused");
        }
        char *name = (char *)sg_cstr(line);
        char *value = strchr(name, ' ');
        if (!value) {
            sg_reject(chunk, "no value: %s", name);
            continue;
        }
        *value++ = 0;
        char *at = strchr(value, ' ');
        sg_sample(out, name, strtod(value, NULL), at ? strtoll(at, NULL, 10) : SG_NOW, "type", sg_cstr(chunk->content_type), NULL);
    }
    return true;
}

bool sg_process_samples(const sg_batch *batch, sg_samples *out, sg_error *error) {
    (void)error;
    for (uint32_t series = 0; series < sg_series_len(batch); series++) {
        sg_labels labels = sg_series_labels(batch, series);
        sg_string name = sg_label_value(labels, "__name__");
        if (name.len >= 5 && memcmp(name.ptr, "drop_", 5) == 0) {
            continue;
        }
        sg_label *kept = sg_alloc((labels.len + 1) * sizeof *kept);
        uint32_t count = 0;
        for (uint32_t i = 0; i < labels.len; i++) {
            if (!sg_equals(labels.ptr[i].name, "secret")) {
                kept[count++] = labels.ptr[i];
            }
        }
        kept[count++] = (sg_label){sg_str("env"), sg_str("test")};
        sg_keep(out, batch, series, (sg_labels){kept, count});
    }
    return true;
}

static void hide(sg_attributes attributes) {
    sg_value *secret = sg_attribute_value(attributes, "secret");
    if (secret) {
        *secret = (sg_value){.kind = SG_TEXT, .of.text = sg_str("x")};
    }
}

bool sg_process_spans(sg_spans *spans, sg_error *error) {
    (void)error;
    for (uint32_t i = 0; i < spans->resources.len; i++) {
        hide(spans->resources.ptr[i]);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < spans->spans.len; i++) {
        sg_span span = spans->spans.ptr[i];
        if (sg_equals(span.name, "drop")) {
            continue;
        }
        sg_set_attribute(&span.attributes, "seen", (sg_value){.kind = SG_INT, .of.integer = span.attributes.len});
        hide(span.attributes);
        for (uint32_t at = 0; at < span.events.len; at++) {
            hide(span.events.ptr[at].attributes);
        }
        spans->spans.ptr[kept++] = span;
    }
    spans->spans.len = kept;
    return true;
}
