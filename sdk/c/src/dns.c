/* Look-ups in the DNS. Only what is called becomes an import of the component. */
#include <string.h>

#include "internal.h"

typedef struct {
    uint8_t is_error;
    union {
        struct {
            const sg_record *ptr;
            uint32_t len;
        } records;
        struct {
            uint8_t kind;
            sg_string text;
        } error;
    } of;
} dns_answer;

IMPORT(HOST "dns" VERSION, "lookup")
void host_lookup(const char *name, uint32_t name_len, uint32_t type, uint32_t has_server, const char *server,
                 uint32_t server_len, uint32_t has_timeout, uint64_t timeout_ms, dns_answer *result);

bool sg_lookup(const char *name, sg_record_type type, const sg_record **records, uint32_t *records_len, sg_error *error) {
    return sg_lookup_at(name, type, NULL, 0, records, records_len, error);
}

bool sg_lookup_at(const char *name, sg_record_type type, const char *server, uint64_t timeout_ms, const sg_record **records,
                  uint32_t *records_len, sg_error *error) {
    enum { DENIED, INVALID, NO_SUCH_NAME, TIMEOUT, OTHER };
    sg_string at = sg_str(server ? server : "");
    dns_answer result;
    memset(&result, 0, sizeof result);
    host_lookup(name, (uint32_t)strlen(name), type, server != NULL, at.ptr, at.len, timeout_ms != 0, timeout_ms, &result);
    if (result.is_error) {
        uint8_t kind = result.of.error.kind;
        const char *text = kind == NO_SUCH_NAME ? "no-such-name" : kind == TIMEOUT ? "timeout" : sg_cstr(result.of.error.text);
        return sg_failed(error, sg_format("look up %s: %s", name, text), kind == TIMEOUT || kind == OTHER);
    }
    *records = result.of.records.ptr;
    *records_len = result.of.records.len;
    return true;
}
