#include "stormglass.h"

#include <stdlib.h>
#include <string.h>

bool sg_decode(sg_chunk *chunk, sg_samples *out, sg_error *error) {
    (void)error;
    for (sg_string line; sg_line(chunk, &line);) {
        char *name = (char *)sg_cstr(line);
        char *value = strchr(name, ' ');
        if (!value) {
            sg_reject(chunk, "no value: %s", name);
            continue;
        }
        *value++ = 0;
        sg_sample(out, name, strtod(value, NULL), SG_NOW, NULL);
    }
    return true;
}
