/* Discoverers: groups of targets, in the order in which they are added. */
#include <string.h>

#include "internal.h"

typedef struct {
    sg_string address;
    sg_labels labels;
} target;

typedef struct {
    sg_string source;
    target *targets;
    uint32_t targets_len;
    sg_labels labels;
} group;

struct sg_targets {
    group *groups;
    uint32_t groups_len;
    uint32_t groups_room;
    uint32_t targets_room;
    uint64_t next_poll_ms;
};

/* A copy with more room; what it was is freed with the call. */
static void *larger(const void *list, uint32_t length, uint32_t *room, size_t size) {
    *room = length * 2 + 8;
    void *made = sg_alloc(*room * size);
    if (length) {
        memcpy(made, list, length * size);
    }
    return made;
}

void sg_group(sg_targets *out, const char *source, ...) {
    va_list labels;
    va_start(labels, source);
    if (out->groups_len == out->groups_room) {
        out->groups = larger(out->groups, out->groups_len, &out->groups_room, sizeof(group));
    }
    out->groups[out->groups_len++] = (group){sg_str(source), NULL, 0, sg_label_list(labels)};
    out->targets_room = 0;
    va_end(labels);
}

void sg_target(sg_targets *out, const char *address, ...) {
    /* A target without a group is a mistake of the plugin, which the server shows as one. */
    if (!out->groups_len) {
        __builtin_trap();
    }
    va_list labels;
    va_start(labels, address);
    group *open = &out->groups[out->groups_len - 1];
    if (open->targets_len == out->targets_room) {
        open->targets = larger(open->targets, open->targets_len, &out->targets_room, sizeof(target));
    }
    open->targets[open->targets_len++] = (target){sg_str(address), sg_label_list(labels)};
    va_end(labels);
}

void sg_poll_after(sg_targets *out, uint64_t ms) {
    out->next_poll_ms = ms;
}

#ifdef SG_KIND_DISCOVERER
typedef struct {
    uint8_t is_error;
    union {
        struct {
            const group *groups;
            uint32_t groups_len;
            struct {
                uint8_t some;
                uint64_t value;
            } next_poll_ms;
        } snapshot;
        sg_error error;
    } of;
} polled;

EXPORT(PLUGIN "discoverer" VERSION "#poll") polled *poll(void) {
    static polled result;
    memset(&result, 0, sizeof result);
    sg_targets out = {0};
    sg_error error = {0};
    if (sg_poll(&out, &error)) {
        result.of.snapshot.groups = out.groups;
        result.of.snapshot.groups_len = out.groups_len;
        result.of.snapshot.next_poll_ms.some = out.next_poll_ms != 0;
        result.of.snapshot.next_poll_ms.value = out.next_poll_ms;
    } else {
        result.is_error = 1;
        result.of.error = error;
    }
    return &result;
}

AFTER("discoverer" VERSION "#poll", post_poll)
#endif
