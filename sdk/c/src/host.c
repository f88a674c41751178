/* What a plugin may ask of the server. Only what is called becomes an import of the component. */
#include <string.h>

#include "internal.h"

IMPORT(HOST "log" VERSION, "log") void host_log(uint32_t level, const char *text, uint32_t length);
IMPORT(HOST "clock" VERSION, "now-ms") int64_t host_now_ms(void);

void sg_log(sg_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = sg_format_list(format, arguments);
    va_end(arguments);
    host_log(level, text, (uint32_t)strlen(text));
}

int64_t sg_now_ms(void) {
    return host_now_ms();
}

typedef struct {
    uint8_t is_error;
    union {
        sg_response response;
        failure error;
    } of;
} fetched;

IMPORT(HOST "http" VERSION, "fetch")
void host_fetch(const char *method, uint32_t method_len, const char *url, uint32_t url_len, const sg_header *headers,
                uint32_t headers_len, const char *body, uint32_t body_len, uint32_t has_timeout, uint64_t timeout_ms,
                fetched *result);

bool sg_http(const sg_request *request, sg_response *response, sg_error *error) {
    enum { DENIED, INVALID, CONNECT, TIMEOUT, TOO_LARGE, OTHER };
    const char *method = request->method ? request->method : "GET";
    fetched result;
    memset(&result, 0, sizeof result);
    host_fetch(method, (uint32_t)strlen(method), request->url, (uint32_t)strlen(request->url), request->headers,
               request->headers_len, request->body.ptr, request->body.len, request->timeout_ms != 0, request->timeout_ms,
               &result);
    if (!result.is_error) {
        *response = result.of.response;
        return true;
    }
    failure *f = &result.of.error;
    const char *told = f->kind == TIMEOUT     ? "timeout"
                       : f->kind == TOO_LARGE ? sg_format("too-large: the limit is %llu bytes", (unsigned long long)f->of.limit_bytes)
                                              : sg_cstr(f->of.text);
    sg_fail(error, "%s %s: %s", method, request->url, told);
    error->retryable = f->kind == CONNECT || f->kind == TIMEOUT || f->kind == OTHER;
    return false;
}

bool sg_http_get(const char *url, sg_response *response, sg_error *error) {
    sg_request request = {.url = url};
    return sg_http(&request, response, error);
}

typedef struct {
    uint8_t is_error;
    union {
        sg_string content;
        failure error;
    } of;
} file_read;

IMPORT(HOST "files" VERSION, "read") void host_read(const char *path, uint32_t path_len, file_read *result);

bool sg_read_file(const char *path, sg_string *content, sg_error *error) {
    enum { DENIED, NOT_FOUND, TOO_LARGE, OTHER };
    file_read result;
    memset(&result, 0, sizeof result);
    host_read(path, (uint32_t)strlen(path), &result);
    if (!result.is_error) {
        *content = result.of.content;
        return true;
    }
    failure *f = &result.of.error;
    sg_fail(error, "%s",
            f->kind == TOO_LARGE ? sg_format("too-large: the limit is %llu bytes", (unsigned long long)f->of.limit_bytes)
                                 : sg_cstr(f->of.text));
    error->retryable = f->kind == OTHER;
    return false;
}

/* What a failure says: its text, its limit, or nothing. */
static const char *told(const failure *f, uint8_t limit_kind, uint8_t plain_kind, const char *plain) {
    if (f->kind == limit_kind) {
        return sg_format("the limit is %llu bytes", (unsigned long long)f->of.limit_bytes);
    }
    return f->kind == plain_kind ? plain : sg_cstr(f->of.text);
}

enum { NO_KIND = 255 };

/* --- kv ------------------------------------------------------------------------------------------------------------ */

enum { KV_INVALID_KEY, KV_FULL, KV_OTHER };

typedef struct {
    uint8_t is_error;
    union {
        struct {
            uint8_t some;
            sg_string value;
        } got;
        list keys;
        failure error;
    } of;
} kv_answer;

IMPORT(HOST "kv" VERSION, "get") void host_kv_get(const char *key, uint32_t key_len, kv_answer *result);
IMPORT(HOST "kv" VERSION, "set")
void host_kv_set(const char *key, uint32_t key_len, const char *value, uint32_t value_len, uint32_t has_ttl, uint64_t ttl_ms,
                 kv_answer *result);
IMPORT(HOST "kv" VERSION, "delete") void host_kv_delete(const char *key, uint32_t key_len, kv_answer *result);
IMPORT(HOST "kv" VERSION, "keys") void host_kv_keys(const char *prefix, uint32_t prefix_len, kv_answer *result);

static bool kv_done(const kv_answer *result, sg_error *error) {
    if (!result->is_error) {
        return true;
    }
    const failure *f = &result->of.error;
    return sg_failed(error, told(f, KV_FULL, NO_KIND, ""), f->kind == KV_OTHER);
}

bool sg_kv_get(const char *key, sg_string *value, bool *found, sg_error *error) {
    kv_answer result;
    memset(&result, 0, sizeof result);
    host_kv_get(key, (uint32_t)strlen(key), &result);
    if (!kv_done(&result, error)) {
        return false;
    }
    *found = result.of.got.some;
    *value = *found ? result.of.got.value : sg_str("");
    return true;
}

bool sg_kv_set(const char *key, sg_string value, uint64_t ttl_ms, sg_error *error) {
    kv_answer result;
    memset(&result, 0, sizeof result);
    host_kv_set(key, (uint32_t)strlen(key), value.ptr, value.len, ttl_ms != 0, ttl_ms, &result);
    return kv_done(&result, error);
}

bool sg_kv_delete(const char *key, sg_error *error) {
    kv_answer result;
    memset(&result, 0, sizeof result);
    host_kv_delete(key, (uint32_t)strlen(key), &result);
    return kv_done(&result, error);
}

bool sg_kv_keys(const char *prefix, const sg_string **keys, uint32_t *keys_len, sg_error *error) {
    kv_answer result;
    memset(&result, 0, sizeof result);
    host_kv_keys(prefix, (uint32_t)strlen(prefix), &result);
    if (!kv_done(&result, error)) {
        return false;
    }
    *keys = result.of.keys.ptr;
    *keys_len = result.of.keys.len;
    return true;
}

/* --- secrets ------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t is_error;
    union {
        sg_string secret;
        struct {
            uint8_t kind;
            sg_string text;
        } error;
    } of;
} secret_answer;

IMPORT(HOST "secrets" VERSION, "get") void host_secret(const char *name, uint32_t name_len, secret_answer *result);

bool sg_secret(const char *name, sg_string *secret, sg_error *error) {
    enum { DENIED, UNAVAILABLE };
    secret_answer result;
    memset(&result, 0, sizeof result);
    host_secret(name, (uint32_t)strlen(name), &result);
    if (result.is_error) {
        return sg_failed(error, sg_cstr(result.of.error.text), result.of.error.kind == UNAVAILABLE);
    }
    *secret = result.of.secret;
    return true;
}

/* --- telemetry ----------------------------------------------------------------------------------------------------- */

IMPORT(HOST "telemetry" VERSION, "counter-add")
void host_counter_add(const char *name, uint32_t name_len, const sg_label *labels, uint32_t labels_len, double amount);
IMPORT(HOST "telemetry" VERSION, "gauge-set")
void host_gauge_set(const char *name, uint32_t name_len, const sg_label *labels, uint32_t labels_len, double value);

void sg_counter_add(const char *name, double amount, ...) {
    va_list arguments;
    va_start(arguments, amount);
    sg_labels labels = sg_label_list(arguments);
    va_end(arguments);
    host_counter_add(name, (uint32_t)strlen(name), labels.ptr, labels.len, amount);
}

void sg_gauge_set(const char *name, double value, ...) {
    va_list arguments;
    va_start(arguments, value);
    sg_labels labels = sg_label_list(arguments);
    va_end(arguments);
    host_gauge_set(name, (uint32_t)strlen(name), labels.ptr, labels.len, value);
}

/* --- query --------------------------------------------------------------------------------------------------------- */

/* Both sides of it are aligned as a pointer is. */
typedef struct {
    uint8_t is_error;
    union {
        sg_batch batch;
        struct {
            uint8_t kind;
            sg_string text;
        } error;
    } of;
} query_answer;

IMPORT(HOST "query" VERSION, "instant")
void host_query(const char *expr, uint32_t expr_len, uint32_t has_at, int64_t at_ms, query_answer *result);
IMPORT(HOST "query" VERSION, "range")
void host_query_range(const char *expr, uint32_t expr_len, int64_t start_ms, int64_t end_ms, uint64_t step_ms,
                      query_answer *result);

static bool query_done(const char *expr, const query_answer *result, const sg_batch **answer, sg_error *error) {
    enum { DENIED, INVALID, TIMEOUT, OTHER };
    *answer = &result->of.batch;
    if (!result->is_error) {
        return true;
    }
    uint8_t kind = result->of.error.kind;
    const char *text = kind == TIMEOUT ? "timeout" : sg_cstr(result->of.error.text);
    return sg_failed(error, sg_format("query %s: %s", expr, text), kind == TIMEOUT || kind == OTHER);
}

bool sg_query(const char *expr, int64_t at_ms, const sg_batch **answer, sg_error *error) {
    query_answer *result = sg_alloc(sizeof *result);
    host_query(expr, (uint32_t)strlen(expr), at_ms != SG_NOW, at_ms, result);
    return query_done(expr, result, answer, error);
}

bool sg_query_range(const char *expr, int64_t start_ms, int64_t end_ms, uint64_t step_ms, const sg_batch **answer,
                    sg_error *error) {
    query_answer *result = sg_alloc(sizeof *result);
    host_query_range(expr, (uint32_t)strlen(expr), start_ms, end_ms, step_ms, result);
    return query_done(expr, result, answer, error);
}
