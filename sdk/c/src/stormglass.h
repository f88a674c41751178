/*
 * Write Stormglass plugins in C.
 *
 * A plugin defines the function of its kind, and sg_init where it has something to configure:
 *
 *     #include "stormglass.h"
 *
 *     bool sg_collect(sg_metrics *out, sg_error *error) {
 *         sg_gauge(out, "hello_answer", "The answer.");
 *         sg_set(out, 42, "planet", "earth", NULL);
 *         return true;
 *     }
 *
 * What a function is given, and what sg_alloc gives, is there until the call ends; what is to stay is copied to memory
 * of malloc. Texts given as `const char *` end in a zero byte; an sg_string has a length and need not.
 */
#ifndef STORMGLASS_H
#define STORMGLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text or bytes with a length, as they cross to the server and back. */
typedef struct {
    const char *ptr;
    uint32_t len;
} sg_string;

/* The same for a text that ends in a zero byte. */
sg_string sg_str(const char *text);
/* A copy that ends in a zero byte, until the call ends. */
const char *sg_cstr(sg_string text);
bool sg_equals(sg_string text, const char *other);

/* Memory until the call ends. Never NULL: where there is no more, the call fails. */
void *sg_alloc(size_t size);
/* As printf, into memory until the call ends. */
const char *sg_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Why a plugin could not do what it was asked. */
typedef struct {
    sg_string message;
    bool retryable;
    struct {
        uint8_t some;
        uint64_t value;
    } retry_after_ms;
} sg_error;

/* Each sets the error and gives false, so that a function can `return sg_fail(...)`. The server retries only what may be
 * retried. */
bool sg_fail(sg_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sg_fail_for_now(sg_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* JSON, as configurations and many APIs have it. What is not there, or of another type, is answered by the default, and
 * NULL may be given for any value, so that looking deep needs no checks between. */
typedef struct sg_json sg_json;
/* The value, or NULL where the text is no JSON. */
const sg_json *sg_json_parse(sg_string text);
/* The text that a value was parsed from, to keep for later calls. Of what sg_json_parse and sg_init give. */
sg_string sg_json_source(const sg_json *value);
/* The value of a key of an object. */
const sg_json *sg_json_get(const sg_json *object, const char *key);
/* Elements of an array; 0 of anything else. */
size_t sg_json_length(const sg_json *array);
const sg_json *sg_json_at(const sg_json *array, size_t index);
bool sg_json_is_string(const sg_json *value);
bool sg_json_is_number(const sg_json *value);
sg_string sg_json_string(const sg_json *value, const char *otherwise);
double sg_json_number(const sg_json *value, double otherwise);
bool sg_json_bool(const sg_json *value, bool otherwise);

/*
 * How a plugin starts. Called once in each new instance, before anything else; `config` is the configured object, already
 * valid by the schema in plugin.yaml, and as everything else only there until the call ends. May be left out.
 */
bool sg_init(const sg_json *config, sg_error *error);

/* --- collector: yields samples at an interval, like a scrape target ------------------------------------------------ */

typedef struct sg_metrics sg_metrics;

/* Collects once; false says that nothing of it is to be kept, and `up` is 0. The plugin defines it. */
bool sg_collect(sg_metrics *out, sg_error *error);

/* How long this collection may take before the server interrupts it. */
uint64_t sg_deadline_ms(const sg_metrics *out);
/* Each opens a family, to which sg_set then adds; a name that was there before is opened again. */
void sg_gauge(sg_metrics *out, const char *name, const char *help);
void sg_counter(sg_metrics *out, const char *name, const char *help);
void sg_family(sg_metrics *out, const char *name, const char *kind, const char *help);
/* Adds the sample of one series of the open family, named by its labels: name, value, name, value, NULL. A series may have
 * only one sample in a collection. */
void sg_set(sg_metrics *out, double value, ...) __attribute__((sentinel));
/* The same with labels in arrays. */
void sg_set_labels(sg_metrics *out, double value, size_t count, const sg_string *names, const sg_string *values);
/* Yields this text, in the Prometheus exposition format, rather than samples. */
void sg_text(sg_metrics *out, sg_string text);

/* --- receiver: delivers groups of alerts --------------------------------------------------------------------------- */

typedef struct {
    sg_string name;
    sg_string value;
} sg_label;

typedef struct {
    const sg_label *ptr;
    uint32_t len;
} sg_labels;

/* The value of a label, or an empty text. */
sg_string sg_label_value(sg_labels labels, const char *name);

typedef enum { SG_FIRING = 0, SG_RESOLVED = 1 } sg_status;

typedef struct {
    uint8_t status; /* sg_status */
    sg_labels labels;
    sg_labels annotations;
    sg_string starts_at;
    sg_string ends_at;
    sg_string generator_url;
    sg_string fingerprint;
} sg_alert;

typedef struct {
    sg_string idempotency_key;
    uint32_t attempt;
    sg_string group_key;
    uint8_t status; /* sg_status */
    sg_string receiver;
    sg_labels group_labels;
    sg_labels common_labels;
    sg_labels common_annotations;
    sg_string external_url;
    uint64_t truncated_alerts;
    struct {
        const sg_alert *ptr;
        uint32_t len;
    } alerts;
} sg_notification;

/* Delivers one notification; true says that it has arrived. The plugin defines it. */
bool sg_notify(const sg_notification *notification, sg_error *error);

/* --- detector: scores how unusual the latest values of series are -------------------------------------------------- */

/* `values[s * steps + i]` is series `s` at step `i`; NaN where it has none. */
typedef struct {
    int64_t start_ms;
    uint64_t step_ms;
    uint32_t steps;
    uint32_t series;
    const double *values;
    uint32_t values_len;
} sg_job;

/* One value for each of the job's, in the same order; a bound that is NULL is not given. From sg_alloc. */
typedef struct {
    double *scores;
    double *lower;
    double *upper;
} sg_scores;

/* Fills the scores. The plugin defines it. */
bool sg_detect(const sg_job *job, sg_scores *out, sg_error *error);

/* --- what a plugin may ask of the server --------------------------------------------------------------------------- */

typedef enum { SG_TRACE, SG_DEBUG, SG_INFO, SG_WARN, SG_ERROR } sg_level;

/* A line in the server's log. Needs no grant; lines over the limit are dropped and counted. */
void sg_log(sg_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Milliseconds since the Unix epoch. Needs no grant. */
int64_t sg_now_ms(void);

typedef struct {
    sg_string name;
    sg_string value;
} sg_header;

typedef struct {
    const char *method; /* NULL for GET */
    const char *url;
    const sg_header *headers;
    uint32_t headers_len;
    sg_string body;
    uint64_t timeout_ms; /* 0 for the server's own limit */
} sg_request;

typedef struct {
    uint16_t status;
    struct {
        const sg_header *ptr;
        uint32_t len;
    } headers;
    sg_string body;
} sg_response;

/* Sends one request and waits for the whole response; any status is a response, not an error. Needs a grant for scheme, host
 * and port of the URL and of every redirect. */
bool sg_http(const sg_request *request, sg_response *response, sg_error *error);
bool sg_http_get(const char *url, sg_response *response, sg_error *error);

/* The whole file. Needs a grant for a directory above the path, which is absolute. */
bool sg_read_file(const char *path, sg_string *content, sg_error *error);

#ifdef __cplusplus
}
#endif

#endif
