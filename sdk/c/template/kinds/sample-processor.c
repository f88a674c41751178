#include "stormglass.h"

#include <string.h>

bool sg_process_samples(const sg_batch *batch, sg_samples *out, sg_error *error) {
    (void)error;
    for (uint32_t series = 0; series < sg_series_len(batch); series++) {
        sg_labels given = sg_series_labels(batch, series);
        sg_label *labels = sg_alloc((given.len + 1) * sizeof *labels);
        memcpy(labels, given.ptr, given.len * sizeof *labels);
        labels[given.len] = (sg_label){sg_str("planet"), sg_str("earth")};
        sg_keep(out, batch, series, (sg_labels){labels, given.len + 1});
    }
    return true;
}
