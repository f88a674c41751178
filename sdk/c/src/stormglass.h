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

/* --- prober: yields samples of a target that it is told ------------------------------------------------------------- */

/* Probes a target once; a parameter with several values comes several times. One that does not answer is told by a sample, such
 * as probe_success 0; false says that the plugin could not do its work. The plugin defines it. */
bool sg_probe(sg_string target, sg_labels params, sg_metrics *out, sg_error *error);

/* --- discoverer: finds scrape targets ------------------------------------------------------------------------------ */

typedef struct sg_targets sg_targets;

/* Opens a group of targets with common labels: name, value, NULL. It replaces the earlier one of its source. */
void sg_group(sg_targets *out, const char *source, ...) __attribute__((sentinel));
/* Adds a target to the open group: host:port and labels of its own, NULL. */
void sg_target(sg_targets *out, const char *address, ...) __attribute__((sentinel));
/* When to ask again, where that is not the configured interval. */
void sg_poll_after(sg_targets *out, uint64_t ms);
/* Adds all there is now: a source that is missing is gone. On false the server keeps the groups it has. The plugin defines it. */
bool sg_poll(sg_targets *out, sg_error *error);

/* --- trainer: learns ahead of time what its detector uses ---------------------------------------------------------- */

/* Learns from a longer job and sets the model, which the server keeps; `prior` is the one there is, empty before the first. The
 * plugin defines it, and sg_detect. */
bool sg_train(const sg_job *history, sg_string prior, sg_string *model, sg_error *error);
/* Takes the model that sg_detect is to use. The plugin defines it. */
bool sg_load(sg_string model, sg_error *error);

/* --- samples of any number of series and times: for decoders, processors and queries ------------------------------- */

/* The time of a sample that has none of its own. */
#define SG_NOW INT64_MIN

typedef struct sg_samples sg_samples;

/* Adds a sample of the series with these labels: name, value, NULL. Its time is in milliseconds since the Unix epoch, or
 * SG_NOW. */
void sg_sample(sg_samples *out, const char *name, double value, int64_t at_ms, ...) __attribute__((sentinel));
/* The same with labels in an array, `__name__` among them. */
void sg_sample_labels(sg_samples *out, sg_labels labels, double value, int64_t at_ms);
/* Says what a metric is. */
void sg_describe(sg_samples *out, const char *name, const char *kind, const char *help);

/* Samples as columns, as they cross. The functions below read them. */
typedef struct sg_batch sg_batch;

uint32_t sg_series_len(const sg_batch *batch);
/* The labels of a series, the metric's name as `__name__`, in an array of the call's own. */
sg_labels sg_series_labels(const sg_batch *batch, uint32_t series);
/* How many samples a series has, and one of them. */
uint32_t sg_samples_len(const sg_batch *batch, uint32_t series);
double sg_sample_value(const sg_batch *batch, uint32_t series, uint32_t sample);
int64_t sg_sample_at(const sg_batch *batch, uint32_t series, uint32_t sample);

/* --- decoder: reads what comes in at a listener -------------------------------------------------------------------- */

typedef struct {
    sg_string data;
    /* Exclusive ends of the datagrams in `data`; none for a stream. */
    const uint32_t *datagram_ends;
    uint32_t datagram_ends_len;
    sg_string content_type;
    /* Whether nothing follows. */
    bool last;
    /* Bytes that are done with; the rest comes again before what follows. All of them, unless it is set. */
    uint32_t consumed;
    /* Messages that made no sense, and what was wrong with the first. */
    uint64_t rejected;
    sg_string reason;
    /* Where sg_line goes on. */
    uint32_t at;
} sg_chunk;

/* The next line, without its end; empty ones are left out. False where there is none: in a stream that goes on, what follows the
 * last end of a line is left for the next chunk, and `consumed` is set so. A datagram's end is the end of a line. */
bool sg_line(sg_chunk *chunk, sg_string *line);
/* Counts a message that made no sense. */
void sg_reject(sg_chunk *chunk, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Decodes a chunk into `out`; false refuses the whole chunk. The plugin defines it. */
bool sg_decode(sg_chunk *chunk, sg_samples *out, sg_error *error);

/* --- sample processor: stands between what brings samples and storage ---------------------------------------------- */

/* Keeps a series with these labels, and all of its samples, histograms and exemplars. */
void sg_keep(sg_samples *out, const sg_batch *batch, uint32_t series, sg_labels labels);
/* Adds to `out` what is to be stored in place of the batch, of which the families are there already. The plugin defines it. */
bool sg_process_samples(const sg_batch *batch, sg_samples *out, sg_error *error);

/* --- span processor: stands between what brings spans and the trace store ------------------------------------------ */

typedef enum { SG_TEXT, SG_BOOL, SG_INT, SG_DOUBLE, SG_BYTES, SG_JSON, SG_EMPTY } sg_value_kind;

/* The value of an attribute; lists and maps are JSON. */
typedef struct {
    uint8_t kind; /* sg_value_kind */
    union {
        sg_string text; /* also of SG_BYTES and SG_JSON */
        bool boolean;
        int64_t integer;
        double number;
    } of;
} sg_value;

typedef struct {
    sg_string key;
    sg_value value;
} sg_attribute;

typedef struct {
    sg_attribute *ptr;
    uint32_t len;
} sg_attributes;

/* The value of a key, to be changed where it is, or NULL. */
sg_value *sg_attribute_value(sg_attributes attributes, const char *key);
/* Sets the value of a key. */
void sg_set_attribute(sg_attributes *attributes, const char *key, sg_value value);

typedef struct {
    uint64_t time_ns;
    sg_string name;
    sg_attributes attributes;
} sg_event;

typedef struct {
    sg_string trace_id;
    sg_string span_id;
    sg_string trace_state;
    sg_attributes attributes;
} sg_link;

typedef enum { SG_UNSPECIFIED, SG_INTERNAL, SG_SERVER, SG_CLIENT, SG_PRODUCER, SG_CONSUMER } sg_span_kind;
typedef enum { SG_UNSET, SG_OK, SG_FAILED } sg_span_status;

typedef struct {
    sg_string trace_id; /* 16 bytes */
    sg_string span_id;  /* 8 bytes */
    sg_string parent_span_id; /* 8 bytes, or none for a root */
    sg_string trace_state;
    sg_string name;
    uint8_t kind; /* sg_span_kind */
    uint64_t start_ns;
    uint64_t end_ns;
    uint8_t status; /* sg_span_status */
    sg_string status_message;
    sg_attributes attributes;
    struct {
        sg_event *ptr;
        uint32_t len;
    } events;
    struct {
        sg_link *ptr;
        uint32_t len;
    } links;
    uint32_t trace_flags;
    /* Indices of what it comes from. */
    uint32_t resource_index;
    uint32_t scope_index;
} sg_span;

typedef struct {
    sg_string name;
    sg_string version;
    sg_attributes attributes;
} sg_scope;

typedef struct {
    struct {
        sg_attributes *ptr;
        uint32_t len;
    } resources;
    struct {
        sg_scope *ptr;
        uint32_t len;
    } scopes;
    struct {
        sg_span *ptr;
        uint32_t len;
    } spans;
} sg_spans;

/* Changes the spans where they are; fewer are told by `spans->spans.len`. The plugin defines it. */
bool sg_process_spans(sg_spans *spans, sg_error *error);

/* --- function: functions of PromQL, called as wasm_<name>(...) ----------------------------------------------------- */

/* A function and what it takes, a letter for each: `v` a vector or `r` a range first, then `s` scalars and `t` texts, of which the
 * last `optional` may be left out. */
typedef struct {
    const char *name;
    const char *help;
    const char *parameters;
    uint32_t optional;
} sg_function;

typedef struct {
    const double *ptr;
    uint32_t len;
} sg_numbers;

typedef struct {
    const uint32_t *ptr;
    uint32_t len;
} sg_indices;

/* One function over some series of a query at all of its steps. Of a vector, `values.ptr[s * steps + i]` is series `s` at step
 * `i`, NaN where it has none. Of a range, step `i` of series `s` sees the values and times from `window_starts.ptr[s * steps +
 * i]` to before `window_ends.ptr[s * steps + i]`. Scalar argument `a` at step `i` is `scalars.ptr[a * steps + i]`. */
typedef struct {
    sg_string name;
    int64_t start_ms;
    uint64_t step_ms;
    uint32_t steps;
    uint32_t series;
    sg_numbers values;
    struct {
        const int64_t *ptr;
        uint32_t len;
    } timestamps_ms;
    sg_indices window_starts;
    sg_indices window_ends;
    sg_numbers scalars;
    struct {
        const sg_string *ptr;
        uint32_t len;
    } texts;
} sg_call;

/* A scalar argument at a step; `otherwise` where it was left out. */
double sg_scalar(const sg_call *call, uint32_t argument, uint32_t step, double otherwise);
/* What functions there are; the last has no name. The plugin defines it. */
const sg_function *sg_functions(void);
/* Fills one value for each series and step. Functions are pure: they call nothing of the server but sg_log, and keep nothing
 * between calls. The plugin defines it. */
bool sg_eval(const sg_call *call, double *answer, sg_error *error);

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

/* Values that outlive the instance: they are there again after a trap, a reload, a new version of the plugin and a restart of the
 * server. They need no grant; limits.kv says how much there may be. */
bool sg_kv_get(const char *key, sg_string *value, bool *found, sg_error *error);
/* Gone after `ttl_ms`, unless that is 0. */
bool sg_kv_set(const char *key, sg_string value, uint64_t ttl_ms, sg_error *error);
bool sg_kv_delete(const char *key, sg_error *error);
/* The keys that begin with a prefix, sorted. */
bool sg_kv_keys(const char *prefix, const sg_string **keys, uint32_t *keys_len, sg_error *error);

/* A secret of the operator, as it is now. Needs a grant; ask each time, so that a changed one is used. */
bool sg_secret(const char *name, sg_string *secret, sg_error *error);

/* Metrics of the plugin about itself, with labels: name, value, NULL. They need no grant; what is no metric is dropped. */
void sg_counter_add(const char *name, double amount, ...) __attribute__((sentinel));
void sg_gauge_set(const char *name, double value, ...) __attribute__((sentinel));

/* The server's own metrics, through PromQL. Needs the grant `query`. At SG_NOW or at a time, with one sample for each series;
 * or at every step, both ends included. */
bool sg_query(const char *expr, int64_t at_ms, const sg_batch **answer, sg_error *error);
bool sg_query_range(const char *expr, int64_t start_ms, int64_t end_ms, uint64_t step_ms, const sg_batch **answer,
                    sg_error *error);

/* Connections over TCP. They need a grant for host and port, and end with the call that made them. TLS is the server's work: it
 * checks the certificate, and the plugin reads and writes plain bytes. */

/* How TLS is spoken; zeroes for the system's authorities and the host's name. Certificates and key are PEM. */
typedef struct {
    const char *server_name;
    sg_string authorities;
    sg_string certificate;
    sg_string key;
    bool accept_invalid;
    const sg_string *protocols;
    uint32_t protocols_len;
} sg_tls;

typedef enum { SG_ANY, SG_IPV4, SG_IPV6 } sg_family_of;

typedef struct {
    uint64_t timeout_ms; /* for connecting, and for each read and write; 0 for the server's own limit */
    uint8_t family;      /* sg_family_of */
    const sg_tls *tls;   /* TLS from the first byte on; NULL for none */
} sg_connect_options;

typedef struct {
    uint32_t handle;
    const char *place;
    uint64_t timeout_ms;
    /* What was read and not yet asked for. */
    sg_string left;
} sg_connection;

/* Connects to the first of the host's addresses that takes it; options may be NULL. */
bool sg_connect(const char *host, uint16_t port, const sg_connect_options *options, sg_connection *connection,
                sg_error *error);
/* Waits for bytes, `max` at most; none at the end of what the other side sends. */
bool sg_read(sg_connection *connection, uint32_t max, sg_string *bytes, sg_error *error);
/* A line without its end; not `found` where there is none any more. One of more than 64 KiB is an error. */
bool sg_read_line(sg_connection *connection, sg_string *line, bool *found, sg_error *error);
/* Sends all of it. */
bool sg_write(sg_connection *connection, sg_string bytes, sg_error *error);
/* Speaks TLS from here on; NULL for how the system does. Bytes that the other side sent before and nobody has read are an error. */
bool sg_start_tls(sg_connection *connection, const sg_tls *tls, sg_error *error);
void sg_close(sg_connection *connection);
/* The address of the other side: 192.0.2.1:5432. */
sg_string sg_peer(const sg_connection *connection);

/* A certificate that the other side showed; times in seconds since the Unix epoch. */
typedef struct {
    sg_string subject;
    sg_string issuer;
    struct {
        const sg_string *ptr;
        uint32_t len;
    } names;
    sg_string serial;
    int64_t not_before;
    int64_t not_after;
    sg_string fingerprint;
} sg_certificate;

typedef struct {
    sg_string version;
    sg_string cipher;
    sg_string protocol;
    struct {
        const sg_certificate *ptr;
        uint32_t len;
    } certificates;
    struct {
        uint8_t some;
        int64_t value;
    } verified_until;
    struct {
        uint8_t some;
        sg_string value;
    } problem;
} sg_session;

/* What the TLS handshake told; NULL where there was none. */
const sg_session *sg_tls_session(const sg_connection *connection);

typedef enum { SG_A, SG_AAAA, SG_CNAME, SG_MX, SG_NS, SG_PTR, SG_SRV, SG_TXT } sg_record_type;
typedef enum { SG_DATA_ADDRESS, SG_DATA_NAME, SG_DATA_MX, SG_DATA_SRV, SG_DATA_TXT } sg_record_data;

typedef struct {
    sg_string name;
    uint32_t ttl_seconds;
    uint8_t kind; /* sg_record_data */
    union {
        sg_string text; /* of all but the next two */
        struct {
            uint16_t preference;
            sg_string host;
        } mx;
        struct {
            uint16_t priority;
            uint16_t weight;
            uint16_t port;
            sg_string target;
        } srv;
    } of;
} sg_record;

/* Records in the DNS. Needs a grant for the name; of another server than the system's, host:port, one for that as well. */
bool sg_lookup(const char *name, sg_record_type type, const sg_record **records, uint32_t *records_len, sg_error *error);
bool sg_lookup_at(const char *name, sg_record_type type, const char *server, uint64_t timeout_ms, const sg_record **records,
                  uint32_t *records_len, sg_error *error);

/* The whole file. Needs a grant for a directory above the path, which is absolute. */
bool sg_read_file(const char *path, sg_string *content, sg_error *error);

#ifdef __cplusplus
}
#endif

#endif
