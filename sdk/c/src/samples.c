/* Batches of samples: written by decoders and sample processors, read by these and by who asks queries. Every text crosses
 * once. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct sg_samples {
    column strings;
    /* Open addressing: index into `strings`, plus one. */
    uint32_t *known;
    uint32_t known_room;
    column label_refs;
    column label_ends;
    column sample_ends;
    column times;
    column values;
    column families;
    column histograms;
    column exemplars;
    bool timed;
};

static uint32_t hash(sg_string text) {
    /* FNV-1a. */
    uint32_t state = 2166136261u;
    for (uint32_t i = 0; i < text.len; i++) {
        state = (state ^ (uint8_t)text.ptr[i]) * 16777619u;
    }
    return state;
}

static uint32_t *slot(const sg_samples *out, sg_string text) {
    const sg_string *strings = out->strings.ptr;
    uint32_t at = hash(text) & (out->known_room - 1);
    while (out->known[at]) {
        const sg_string *there = &strings[out->known[at] - 1];
        if (there->len == text.len && (text.len == 0 || memcmp(there->ptr, text.ptr, text.len) == 0)) {
            break;
        }
        at = (at + 1) & (out->known_room - 1);
    }
    return &out->known[at];
}

static uint32_t intern(sg_samples *out, sg_string text) {
    if (out->strings.len * 2 >= out->known_room) {
        out->known_room = out->known_room ? out->known_room * 2 : 64;
        out->known = sg_alloc(out->known_room * sizeof *out->known);
        const sg_string *strings = out->strings.ptr;
        for (uint32_t i = 0; i < out->strings.len; i++) {
            *slot(out, strings[i]) = i + 1;
        }
    }
    uint32_t *found = slot(out, text);
    if (!*found) {
        *(sg_string *)sg_push(&out->strings, sizeof(sg_string)) = text;
        *found = out->strings.len;
    }
    return *found - 1;
}

static void add_labels(sg_samples *out, sg_labels labels) {
    for (uint32_t i = 0; i < labels.len; i++) {
        *(uint32_t *)sg_push(&out->label_refs, sizeof(uint32_t)) = intern(out, labels.ptr[i].name);
        *(uint32_t *)sg_push(&out->label_refs, sizeof(uint32_t)) = intern(out, labels.ptr[i].value);
    }
    *(uint32_t *)sg_push(&out->label_ends, sizeof(uint32_t)) = out->label_refs.len;
}

static void add_value(sg_samples *out, double value, int64_t at_ms) {
    *(double *)sg_push(&out->values, sizeof(double)) = value;
    *(int64_t *)sg_push(&out->times, sizeof(int64_t)) = at_ms;
    out->timed = out->timed || at_ms != SG_NOW;
}

static void end_samples(sg_samples *out) {
    *(uint32_t *)sg_push(&out->sample_ends, sizeof(uint32_t)) = out->values.len;
}

/* A copy: the caller's text may be gone when the call is answered. */
static sg_string kept(sg_string text) {
    return (sg_string){sg_cstr(text), text.len};
}

void sg_sample_labels(sg_samples *out, sg_labels labels, double value, int64_t at_ms) {
    add_labels(out, labels);
    add_value(out, value, at_ms);
    end_samples(out);
}

void sg_sample(sg_samples *out, const char *name, double value, int64_t at_ms, ...) {
    va_list arguments;
    va_start(arguments, at_ms);
    sg_labels labels = sg_label_list(arguments);
    va_end(arguments);
    sg_label *all = (sg_label *)labels.ptr;
    for (uint32_t i = 0; i < labels.len; i++) {
        all[i] = (sg_label){kept(all[i].name), kept(all[i].value)};
    }
    all[labels.len] = (sg_label){sg_str("__name__"), kept(sg_str(name))};
    sg_sample_labels(out, (sg_labels){all, labels.len + 1}, value, at_ms);
}

void sg_describe(sg_samples *out, const char *name, const char *kind, const char *help) {
    static const char *const kinds[] = {"unknown", "counter", "gauge", "histogram", "gauge-histogram", "summary", "info", "state-set"};
    uint8_t found = 0;
    for (uint8_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i], kind) == 0) {
            found = i;
        }
    }
    *(family_record *)sg_push(&out->families, sizeof(family_record)) =
        (family_record){kept(sg_str(name)), found, kept(sg_str(help)), sg_str("")};
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

uint32_t sg_series_len(const sg_batch *batch) {
    return batch->label_ends.len;
}

sg_labels sg_series_labels(const sg_batch *batch, uint32_t series) {
    uint32_t start = series ? batch->label_ends.ptr[series - 1] : 0;
    uint32_t count = (batch->label_ends.ptr[series] - start) / 2;
    sg_label *labels = sg_alloc(count * sizeof *labels);
    for (uint32_t i = 0; i < count; i++) {
        labels[i].name = batch->strings.ptr[batch->label_refs.ptr[start + 2 * i]];
        labels[i].value = batch->strings.ptr[batch->label_refs.ptr[start + 2 * i + 1]];
    }
    return (sg_labels){labels, count};
}

static uint32_t first_sample(const sg_batch *batch, uint32_t series) {
    if (!batch->sample_ends.len) {
        return series;
    }
    return series ? batch->sample_ends.ptr[series - 1] : 0;
}

uint32_t sg_samples_len(const sg_batch *batch, uint32_t series) {
    if (!batch->sample_ends.len) {
        return batch->values.len ? 1 : 0;
    }
    return batch->sample_ends.ptr[series] - first_sample(batch, series);
}

double sg_sample_value(const sg_batch *batch, uint32_t series, uint32_t sample) {
    return batch->values.ptr[first_sample(batch, series) + sample];
}

int64_t sg_sample_at(const sg_batch *batch, uint32_t series, uint32_t sample) {
    return batch->timestamps_ms.len ? batch->timestamps_ms.ptr[first_sample(batch, series) + sample] : SG_NOW;
}

void sg_keep(sg_samples *out, const sg_batch *batch, uint32_t series, sg_labels labels) {
    uint32_t now = out->label_ends.len;
    add_labels(out, labels);
    for (uint32_t i = 0; i < sg_samples_len(batch, series); i++) {
        add_value(out, sg_sample_value(batch, series, i), sg_sample_at(batch, series, i));
    }
    end_samples(out);
    for (uint32_t i = 0; i < batch->histograms.len; i++) {
        if (batch->histograms.ptr[i].series == series) {
            histogram_record *copy = sg_push(&out->histograms, sizeof *copy);
            *copy = batch->histograms.ptr[i];
            copy->series = now;
        }
    }
    for (uint32_t i = 0; i < batch->exemplars.len; i++) {
        if (batch->exemplars.ptr[i].series == series) {
            exemplar_record *copy = sg_push(&out->exemplars, sizeof *copy);
            *copy = batch->exemplars.ptr[i];
            copy->series = now;
        }
    }
}

#if defined(SG_KIND_DECODER) || defined(SG_KIND_SAMPLE_PROCESSOR)
static sg_batch finish(sg_samples *out) {
    sg_batch batch;
    memset(&batch, 0, sizeof batch);
    batch.strings.ptr = out->strings.ptr;
    batch.strings.len = out->strings.len;
    batch.label_refs = (sg_indices){out->label_refs.ptr, out->label_refs.len};
    batch.label_ends = (sg_indices){out->label_ends.ptr, out->label_ends.len};
    batch.sample_ends = (sg_indices){out->sample_ends.ptr, out->sample_ends.len};
    batch.values = (sg_numbers){out->values.ptr, out->values.len};
    if (out->timed) {
        int64_t *times = out->times.ptr;
        int64_t now = sg_now_ms();
        for (uint32_t i = 0; i < out->times.len; i++) {
            times[i] = times[i] == SG_NOW ? now : times[i];
        }
        batch.timestamps_ms.ptr = times;
        batch.timestamps_ms.len = out->times.len;
    }
    batch.families.ptr = out->families.ptr;
    batch.families.len = out->families.len;
    batch.histograms.ptr = out->histograms.ptr;
    batch.histograms.len = out->histograms.len;
    batch.exemplars.ptr = out->exemplars.ptr;
    batch.exemplars.len = out->exemplars.len;
    return batch;
}
#endif

/* --- decoder ------------------------------------------------------------------------------------------------------- */

bool sg_line(sg_chunk *chunk, sg_string *line) {
    uint32_t whole = chunk->data.len;
    while (!chunk->last && whole && chunk->data.ptr[whole - 1] != '\n') {
        whole--;
    }
    chunk->consumed = whole;
    while (chunk->at < whole) {
        uint32_t start = chunk->at, stop = whole;
        for (uint32_t i = 0; i < chunk->datagram_ends_len; i++) {
            if (chunk->datagram_ends[i] > start && chunk->datagram_ends[i] < stop) {
                stop = chunk->datagram_ends[i];
                break;
            }
        }
        const char *end = memchr(chunk->data.ptr + start, '\n', stop - start);
        uint32_t length = end ? (uint32_t)(end - (chunk->data.ptr + start)) : stop - start;
        chunk->at = start + length + (end ? 1 : 0);
        if (length && chunk->data.ptr[start + length - 1] == '\r') {
            length--;
        }
        if (length) {
            *line = (sg_string){chunk->data.ptr + start, length};
            return true;
        }
    }
    return false;
}

void sg_reject(sg_chunk *chunk, const char *format, ...) {
    if (!chunk->rejected++) {
        va_list arguments;
        va_start(arguments, format);
        chunk->reason = sg_str(sg_format_list(format, arguments));
        va_end(arguments);
    }
}

#ifdef SG_KIND_DECODER
typedef struct {
    uint8_t is_error;
    union {
        struct {
            sg_batch batch;
            uint32_t consumed;
            uint64_t rejected;
            struct {
                uint8_t some;
                sg_string text;
            } reason;
        } decoded;
        sg_error error;
    } of;
} decode_answer;

EXPORT(PLUGIN "decoder" VERSION "#decode")
decode_answer *decode(const char *data, uint32_t data_len, const uint32_t *ends, uint32_t ends_len, const char *content_type,
                      uint32_t content_type_len, uint32_t last) {
    static decode_answer result;
    memset(&result, 0, sizeof result);
    sg_chunk chunk = {{data, data_len}, ends, ends_len, {content_type, content_type_len}, last != 0, data_len, 0, {0}, 0};
    sg_samples out;
    memset(&out, 0, sizeof out);
    sg_error error = {0};
    if (sg_decode(&chunk, &out, &error)) {
        result.of.decoded.batch = finish(&out);
        result.of.decoded.consumed = chunk.consumed;
        result.of.decoded.rejected = chunk.rejected;
        result.of.decoded.reason.some = chunk.rejected != 0;
        result.of.decoded.reason.text = chunk.reason;
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("decoder" VERSION "#decode", post_decode)
#endif

/* --- sample processor ---------------------------------------------------------------------------------------------- */

#ifdef SG_KIND_SAMPLE_PROCESSOR
typedef struct {
    uint8_t is_error;
    union {
        sg_batch batch;
        sg_error error;
    } of;
} processed_samples;

EXPORT(PLUGIN "sample-processor" VERSION "#process") processed_samples *process_samples(const sg_batch *batch) {
    static processed_samples result;
    memset(&result, 0, sizeof result);
    sg_samples out;
    memset(&out, 0, sizeof out);
    for (uint32_t i = 0; i < batch->families.len; i++) {
        *(family_record *)sg_push(&out.families, sizeof(family_record)) = batch->families.ptr[i];
    }
    sg_error error = {0};
    if (sg_process_samples(batch, &out, &error)) {
        result.of.batch = finish(&out);
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("sample-processor" VERSION "#process", post_process_samples)
#endif
