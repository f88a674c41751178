/* What the parts of the SDK share: how exports and imports are named, the call's memory, and what crosses in several places. */
#ifndef STORMGLASS_INTERNAL_H
#define STORMGLASS_INTERNAL_H

#include <stdarg.h>

#include "stormglass.h"

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define PLUGIN "stormglass:plugin/"
#define HOST "stormglass:host/"
#define VERSION "@0.1.2"

/* Exports the function that the server calls when it has read an answer. */
#define AFTER(name, function)                                                                                                 \
    EXPORT("cabi_post_" PLUGIN name) void function(void *result);                                                              \
    EXPORT("cabi_post_" PLUGIN name) void function(void *result) {                                                             \
        (void)result;                                                                                                         \
        sg_release();                                                                                                         \
    }

/* Frees what sg_alloc gave. */
void sg_release(void);
const char *sg_format_list(const char *format, va_list arguments);
/* Pairs of texts up to NULL, in an array of the call's own with room for one more. */
sg_labels sg_label_list(va_list labels);

/* A list in the call's memory that grows; what it outgrows is freed with the call. */
typedef struct {
    void *ptr;
    uint32_t len;
    uint32_t room;
} column;

/* Room for one more thing of a size at the end of a list. */
void *sg_push(column *to, size_t size);

/* result<_, plugin-error> */
typedef struct {
    uint8_t is_error;
    sg_error error;
} outcome;

/* The answer of a call that has none but whether it succeeded. */
outcome *sg_outcome(bool ok, sg_error error);

/* result<payload, plugin-error>; a payload is a text, bytes or nine lists, and is always a text here. */
typedef struct {
    uint8_t is_error;
    union {
        struct {
            uint8_t kind;
            union {
                sg_string text;
                uint32_t columns[18];
            } of;
        } payload;
        sg_error error;
    } of;
} collected;

/* What `fill` yields, as exposition text. */
collected *sg_collected(uint64_t deadline_ms, bool (*fill)(sg_metrics *out, void *with, sg_error *error), void *with);

/* The errors of the server's functions: a variant of texts, nothing, or a limit in bytes. */
typedef struct {
    uint8_t kind;
    union {
        sg_string text;
        uint64_t limit_bytes;
    } of;
} failure;

/* Sets the error that a failure is, which is worth another attempt or not. Gives false. */
bool sg_failed(sg_error *error, const char *told, bool retryable);

typedef struct {
    const void *ptr;
    uint32_t len;
} list;

/* A metric family, histograms and exemplars as they cross. */
typedef struct {
    sg_string name;
    uint8_t kind;
    sg_string help;
    sg_string unit;
} family_record;

typedef struct {
    uint8_t some;
    int64_t value;
} optional_time;

typedef struct {
    uint32_t series;
    optional_time timestamp_ms;
    int32_t schema;
    double zero_threshold;
    double zero_count;
    double count;
    double sum;
    list buckets[5];
} histogram_record;

typedef struct {
    uint32_t series;
    sg_labels labels;
    double value;
    optional_time timestamp_ms;
} exemplar_record;

struct sg_batch {
    struct {
        const sg_string *ptr;
        uint32_t len;
    } strings;
    sg_indices label_refs;
    sg_indices label_ends;
    sg_indices sample_ends;
    struct {
        const int64_t *ptr;
        uint32_t len;
    } timestamps_ms;
    sg_numbers values;
    struct {
        const family_record *ptr;
        uint32_t len;
    } families;
    struct {
        const histogram_record *ptr;
        uint32_t len;
    } histograms;
    struct {
        const exemplar_record *ptr;
        uint32_t len;
    } exemplars;
};

#endif
