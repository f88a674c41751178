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
    column groups;
    /* Those of the last group, which is open. */
    uint32_t targets_room;
    uint64_t next_poll_ms;
};

void sg_group(sg_targets *out, const char *source, ...) {
    va_list labels;
    va_start(labels, source);
    *(group *)sg_push(&out->groups, sizeof(group)) = (group){sg_str(source), NULL, 0, sg_label_list(labels)};
    out->targets_room = 0;
    va_end(labels);
}

void sg_target(sg_targets *out, const char *address, ...) {
    /* A target without a group is a mistake of the plugin, which the server shows as one. */
    if (!out->groups.len) {
        __builtin_trap();
    }
    va_list labels;
    va_start(labels, address);
    group *open = (group *)out->groups.ptr + out->groups.len - 1;
    column targets = {open->targets, open->targets_len, out->targets_room};
    *(target *)sg_push(&targets, sizeof(target)) = (target){sg_str(address), sg_label_list(labels)};
    open->targets = targets.ptr;
    open->targets_len = targets.len;
    out->targets_room = targets.room;
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
        result.of.snapshot.groups = out.groups.ptr;
        result.of.snapshot.groups_len = out.groups.len;
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
