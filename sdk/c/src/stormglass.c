/*
 * The component's side of stormglass.h: what it exports, and how values lie in memory, which for C is how the canonical
 * ABI lays them out. Everything that crosses is allocated in an arena that is freed when the call has ended.
 *
 * The build defines SG_KIND_<KIND> for each kind that plugin.yaml names, and writes plugin_manifest.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "plugin_manifest.h"

/* --- memory -------------------------------------------------------------------------------------------------------- */

typedef struct piece {
    struct piece *next;
    /* Keeps what follows aligned for every type. */
    uint64_t content[];
} piece;

static piece *arena;

void *sg_alloc(size_t size) {
    piece *made = calloc(1, sizeof(piece) + (size ? size : 1));
    if (!made) {
        __builtin_trap();
    }
    made->next = arena;
    arena = made;
    return made->content;
}

void *sg_push(column *to, size_t size) {
    if (to->len == to->room) {
        uint32_t room = to->room * 2 + 16;
        void *larger = sg_alloc(room * size);
        if (to->len) {
            memcpy(larger, to->ptr, to->len * size);
        }
        to->ptr = larger;
        to->room = room;
    }
    return (char *)to->ptr + size * to->len++;
}

void sg_release(void) {
    while (arena) {
        piece *next = arena->next;
        free(arena);
        arena = next;
    }
}

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)align;
    void *made = sg_alloc(size);
    if (old_size) {
        memcpy(made, old, old_size < size ? old_size : size);
    }
    return made;
}

sg_string sg_str(const char *text) {
    return (sg_string){text, (uint32_t)strlen(text)};
}

const char *sg_cstr(sg_string text) {
    char *copy = sg_alloc(text.len + 1);
    if (text.len) {
        memcpy(copy, text.ptr, text.len);
    }
    return copy;
}

bool sg_equals(sg_string text, const char *other) {
    size_t length = strlen(other);
    return text.len == length && (length == 0 || memcmp(text.ptr, other, length) == 0);
}

const char *sg_format_list(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = sg_alloc(length < 0 ? 1 : (size_t)length + 1);
    if (length > 0) {
        vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    return text;
}

const char *sg_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = sg_format_list(format, arguments);
    va_end(arguments);
    return text;
}

bool sg_fail(sg_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->message = sg_str(sg_format_list(format, arguments));
    va_end(arguments);
    error->retryable = false;
    return false;
}

bool sg_fail_for_now(sg_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->message = sg_str(sg_format_list(format, arguments));
    va_end(arguments);
    error->retryable = true;
    return false;
}

bool sg_failed(sg_error *error, const char *told, bool retryable) {
    sg_fail(error, "%s", told);
    error->retryable = retryable;
    return false;
}

sg_labels sg_label_list(va_list labels) {
    va_list again;
    va_copy(again, labels);
    uint32_t count = 0;
    while (va_arg(again, const char *)) {
        (void)va_arg(again, const char *);
        count++;
    }
    va_end(again);
    sg_label *pairs = sg_alloc((count + 1) * sizeof *pairs);
    for (uint32_t i = 0; i < count; i++) {
        pairs[i].name = sg_str(va_arg(labels, const char *));
        pairs[i].value = sg_str(va_arg(labels, const char *));
    }
    return (sg_labels){pairs, count};
}

/* --- meta and lifecycle -------------------------------------------------------------------------------------------- */

typedef struct {
    sg_string capability;
    sg_string target;
    sg_string reason;
} wish;

typedef struct {
    sg_string name;
    sg_string version;
    sg_string description;
    sg_string config_schema;
    const wish *wishes;
    uint32_t wishes_len;
} info;

EXPORT(PLUGIN "meta" VERSION "#describe") info *describe(void) {
    static const char *const wishes[][3] = {SG_WISHES{NULL, NULL, NULL}};
    static info described;
    uint32_t count = sizeof wishes / sizeof wishes[0] - 1;
    wish *list = sg_alloc(count * sizeof(wish));
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (wish){sg_str(wishes[i][0]), sg_str(wishes[i][1]), sg_str(wishes[i][2])};
    }
    described = (info){sg_str(SG_NAME), sg_str(SG_VERSION), sg_str(SG_DESCRIPTION), sg_str(SG_CONFIG_SCHEMA), list, count};
    return &described;
}

AFTER("meta" VERSION "#describe", post_describe)

outcome *sg_outcome(bool ok, sg_error error) {
    static outcome answered;
    memset(&answered, 0, sizeof answered);
    answered.is_error = !ok;
    answered.error = error;
    return &answered;
}

__attribute__((weak)) bool sg_init(const sg_json *config, sg_error *error) {
    (void)config;
    (void)error;
    return true;
}

EXPORT(PLUGIN "lifecycle" VERSION "#init") outcome *init(const char *text, uint32_t length) {
    sg_error error = {0};
    bool ok = sg_init(sg_json_parse((sg_string){text, length}), &error);
    return sg_outcome(ok, error);
}

AFTER("lifecycle" VERSION "#init", post_init)

/* --- collector ----------------------------------------------------------------------------------------------------- */

/* A text that grows. */
typedef struct {
    char *ptr;
    size_t len;
    size_t room;
} buffer;

static char *grow(buffer *text, size_t more) {
    if (text->len + more > text->room) {
        text->room = (text->len + more) * 2;
        char *larger = realloc(text->ptr, text->room);
        if (!larger) {
            __builtin_trap();
        }
        text->ptr = larger;
    }
    char *end = text->ptr + text->len;
    text->len += more;
    return end;
}

static void add(buffer *text, const char *from, size_t length) {
    memcpy(grow(text, length), from, length);
}

static void add_str(buffer *text, const char *from) {
    add(text, from, strlen(from));
}

static void add_escaped(buffer *text, sg_string from, bool quoted) {
    for (uint32_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        if (c == '\n') {
            add(text, "\\n", 2);
        } else {
            if (c == '\\' || (quoted && c == '"')) {
                add(text, "\\", 1);
            }
            add(text, &c, 1);
        }
    }
}

static void add_number(buffer *text, double value) {
    char digits[32];
    if (isnan(value)) {
        add_str(text, "NaN");
    } else if (isinf(value)) {
        add_str(text, value > 0 ? "+Inf" : "-Inf");
    } else if (value == (double)(int64_t)value && fabs(value) < 1e15) {
        add(text, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)value));
    } else {
        add(text, digits, (size_t)snprintf(digits, sizeof digits, "%.17g", value));
    }
}

typedef struct {
    char *name;
    buffer text;
} family;

struct sg_metrics {
    uint64_t deadline_ms;
    family *families;
    size_t count;
    size_t room;
    size_t open;
    sg_string text;
};

uint64_t sg_deadline_ms(const sg_metrics *out) {
    return out->deadline_ms;
}

void sg_gauge(sg_metrics *out, const char *name, const char *help) {
    sg_family(out, name, "gauge", help);
}

void sg_counter(sg_metrics *out, const char *name, const char *help) {
    sg_family(out, name, "counter", help);
}

void sg_family(sg_metrics *out, const char *name, const char *kind, const char *help) {
    for (out->open = 0; out->open < out->count; out->open++) {
        if (strcmp(out->families[out->open].name, name) == 0) {
            return;
        }
    }
    if (out->count == out->room) {
        out->room = out->room * 2 + 8;
        family *larger = realloc(out->families, out->room * sizeof(family));
        if (!larger) {
            __builtin_trap();
        }
        out->families = larger;
    }
    family *made = &out->families[out->count++];
    memset(made, 0, sizeof *made);
    made->name = sg_alloc(strlen(name) + 1);
    strcpy(made->name, name);
    add_str(&made->text, "# HELP ");
    add_str(&made->text, name);
    add_str(&made->text, " ");
    add_escaped(&made->text, sg_str(help), false);
    add_str(&made->text, "\n# TYPE ");
    add_str(&made->text, name);
    add_str(&made->text, " ");
    add_str(&made->text, kind);
    add_str(&made->text, "\n");
}

static buffer *begin(sg_metrics *out) {
    /* A sample without a family has no name: a mistake of the plugin, which the server shows as one. */
    if (out->open >= out->count) {
        __builtin_trap();
    }
    family *open = &out->families[out->open];
    add_str(&open->text, open->name);
    return &open->text;
}

static void label(buffer *text, bool first, sg_string name, sg_string value) {
    add(text, first ? "{" : ",", 1);
    add(text, name.ptr, name.len);
    add(text, "=\"", 2);
    add_escaped(text, value, true);
    add(text, "\"", 1);
}

static void end(buffer *text, bool labelled, double value) {
    add_str(text, labelled ? "} " : " ");
    add_number(text, value);
    add(text, "\n", 1);
}

void sg_set(sg_metrics *out, double value, ...) {
    buffer *text = begin(out);
    bool first = true;
    va_list labels;
    va_start(labels, value);
    for (const char *name; (name = va_arg(labels, const char *)) != NULL; first = false) {
        label(text, first, sg_str(name), sg_str(va_arg(labels, const char *)));
    }
    va_end(labels);
    end(text, !first, value);
}

void sg_set_labels(sg_metrics *out, double value, size_t count, const sg_string *names, const sg_string *values) {
    buffer *text = begin(out);
    for (size_t i = 0; i < count; i++) {
        label(text, i == 0, names[i], values[i]);
    }
    end(text, count > 0, value);
}

void sg_text(sg_metrics *out, sg_string text) {
    out->text = text;
}

collected *sg_collected(uint64_t deadline_ms, bool (*fill)(sg_metrics *out, void *with, sg_error *error), void *with) {
    static collected result;
    memset(&result, 0, sizeof result);
    sg_metrics out = {.deadline_ms = deadline_ms};
    sg_error error = {0};
    bool ok = fill(&out, with, &error);
    if (ok && out.text.ptr && out.count) {
        ok = sg_fail(&error, "collection holds both text and samples; yield one of them, or split the plugin");
    }
    size_t length = 0;
    for (size_t i = 0; i < out.count; i++) {
        length += out.families[i].text.len;
    }
    char *text = sg_alloc(length);
    size_t at = 0;
    for (size_t i = 0; i < out.count; i++) {
        memcpy(text + at, out.families[i].text.ptr, out.families[i].text.len);
        at += out.families[i].text.len;
        free(out.families[i].text.ptr);
    }
    free(out.families);
    if (ok) {
        result.of.payload.of.text = out.text.ptr ? out.text : (sg_string){text, (uint32_t)length};
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

#ifdef SG_KIND_COLLECTOR
static bool fill_collection(sg_metrics *out, void *with, sg_error *error) {
    (void)with;
    return sg_collect(out, error);
}

EXPORT(PLUGIN "collector" VERSION "#collect") collected *collect(uint64_t deadline_ms) {
    return sg_collected(deadline_ms, fill_collection, NULL);
}

AFTER("collector" VERSION "#collect", post_collect)
#endif

#ifdef SG_KIND_PROBER
typedef struct {
    sg_string target;
    sg_labels params;
} probed;

static bool fill_probe(sg_metrics *out, void *with, sg_error *error) {
    probed *of = with;
    return sg_probe(of->target, of->params, out, error);
}

EXPORT(PLUGIN "prober" VERSION "#probe")
collected *probe(const char *target, uint32_t target_len, const sg_label *params, uint32_t params_len, uint64_t deadline_ms) {
    probed of = {{target, target_len}, {params, params_len}};
    return sg_collected(deadline_ms, fill_probe, &of);
}

AFTER("prober" VERSION "#probe", post_probe)
#endif

/* --- receiver ------------------------------------------------------------------------------------------------------ */

sg_string sg_label_value(sg_labels labels, const char *name) {
    for (uint32_t i = 0; i < labels.len; i++) {
        if (sg_equals(labels.ptr[i].name, name)) {
            return labels.ptr[i].value;
        }
    }
    return sg_str("");
}

#ifdef SG_KIND_RECEIVER
EXPORT(PLUGIN "receiver" VERSION "#notify") outcome *notify(const sg_notification *notification) {
    sg_error error = {0};
    bool ok = sg_notify(notification, &error);
    return sg_outcome(ok, error);
}

AFTER("receiver" VERSION "#notify", post_notify)
#endif
