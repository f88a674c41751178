/* Connections over TCP. Only what is called becomes an import of the component. */
#include <string.h>

#include "internal.h"

/* tls-options */
typedef struct {
    struct {
        uint8_t some;
        sg_string value;
    } server_name;
    sg_string authorities;
    sg_string certificate;
    sg_string key;
    uint8_t accept_invalid;
    list protocols;
} tls_record;

/* The parameters of connect: more than are passed one by one, so that they cross in memory. */
typedef struct {
    sg_string host;
    uint16_t port;
    struct {
        struct {
            uint8_t some;
            uint64_t value;
        } timeout_ms;
        uint8_t family;
        struct {
            uint8_t some;
            tls_record value;
        } tls;
    } options;
} connect_arguments;

typedef struct {
    uint8_t is_error;
    union {
        uint32_t handle;
        sg_string bytes;
        struct {
            uint8_t kind;
            sg_string text;
        } error;
    } of;
} net_answer;

typedef struct {
    uint8_t some;
    sg_session session;
} session_answer;

IMPORT(HOST "net" VERSION, "connect") void host_connect(const connect_arguments *arguments, net_answer *result);
IMPORT(HOST "net" VERSION, "[method]connection.read")
void host_net_read(uint32_t handle, uint32_t max, uint32_t has_timeout, uint64_t timeout_ms, net_answer *result);
IMPORT(HOST "net" VERSION, "[method]connection.write")
void host_net_write(uint32_t handle, const char *bytes, uint32_t len, uint32_t has_timeout, uint64_t timeout_ms,
                    net_answer *result);
IMPORT(HOST "net" VERSION, "[method]connection.start-tls")
void host_start_tls(uint32_t handle, uint32_t has_name, const char *name, uint32_t name_len, const char *authorities,
                    uint32_t authorities_len, const char *certificate, uint32_t certificate_len, const char *key,
                    uint32_t key_len, uint32_t accept_invalid, const void *protocols, uint32_t protocols_len,
                    uint32_t has_timeout, uint64_t timeout_ms, net_answer *result);
IMPORT(HOST "net" VERSION, "[method]connection.session") void host_session(uint32_t handle, session_answer *result);
IMPORT(HOST "net" VERSION, "[method]connection.peer") void host_peer(uint32_t handle, sg_string *result);
IMPORT(HOST "net" VERSION, "[resource-drop]connection") void host_close(uint32_t handle);

static bool net_done(const char *place, const net_answer *result, sg_error *error) {
    enum { DENIED, INVALID, CONNECT, TLS, TIMEOUT, CLOSED, LIMIT, OTHER };
    if (!result->is_error) {
        return true;
    }
    uint8_t kind = result->of.error.kind;
    const char *text = kind == TIMEOUT ? "timeout" : kind == CLOSED ? "closed" : sg_cstr(result->of.error.text);
    return sg_failed(error, sg_format("%s: %s", place, text), kind != DENIED && kind != INVALID && kind != LIMIT);
}

static tls_record tls_out(const sg_tls *tls) {
    tls_record record;
    memset(&record, 0, sizeof record);
    record.server_name.some = tls->server_name != NULL;
    record.server_name.value = sg_str(tls->server_name ? tls->server_name : "");
    record.authorities = tls->authorities;
    record.certificate = tls->certificate;
    record.key = tls->key;
    record.accept_invalid = tls->accept_invalid;
    record.protocols = (list){tls->protocols, tls->protocols_len};
    return record;
}

bool sg_connect(const char *host, uint16_t port, const sg_connect_options *options, sg_connection *connection,
                sg_error *error) {
    connect_arguments arguments;
    memset(&arguments, 0, sizeof arguments);
    memset(connection, 0, sizeof *connection);
    arguments.host = sg_str(host);
    arguments.port = port;
    if (options) {
        arguments.options.timeout_ms.some = options->timeout_ms != 0;
        arguments.options.timeout_ms.value = options->timeout_ms;
        arguments.options.family = options->family;
        if (options->tls) {
            arguments.options.tls.some = 1;
            arguments.options.tls.value = tls_out(options->tls);
        }
        connection->timeout_ms = options->timeout_ms;
    }
    connection->place = sg_format("%s:%u", host, (unsigned)port);
    net_answer result;
    memset(&result, 0, sizeof result);
    host_connect(&arguments, &result);
    if (!net_done(connection->place, &result, error)) {
        return false;
    }
    connection->handle = result.of.handle;
    return true;
}

bool sg_read(sg_connection *c, uint32_t max, sg_string *bytes, sg_error *error) {
    if (c->left.len == 0) {
        net_answer result;
        memset(&result, 0, sizeof result);
        host_net_read(c->handle, max, c->timeout_ms != 0, c->timeout_ms, &result);
        if (!net_done(c->place, &result, error)) {
            return false;
        }
        c->left = result.of.bytes;
    }
    *bytes = c->left;
    if (bytes->len > max) {
        bytes->len = max;
    }
    c->left.ptr += bytes->len;
    c->left.len -= bytes->len;
    return true;
}

bool sg_read_line(sg_connection *c, sg_string *line, bool *found, sg_error *error) {
    enum { LINE_BYTES_MAX = 65536 };
    char *text = NULL;
    uint32_t len = 0;
    *found = false;
    for (;;) {
        sg_string some;
        if (!sg_read(c, LINE_BYTES_MAX, &some, error)) {
            return false;
        }
        const char *end = some.len ? memchr(some.ptr, '\n', some.len) : NULL;
        uint32_t taken = end ? (uint32_t)(end - some.ptr) : some.len;
        if (len + taken > LINE_BYTES_MAX) {
            return sg_fail(error, "%s: a line of more than %d bytes", c->place, LINE_BYTES_MAX);
        }
        char *longer = sg_alloc(len + taken + 1);
        if (len) {
            memcpy(longer, text, len);
        }
        if (taken) {
            memcpy(longer + len, some.ptr, taken);
        }
        text = longer;
        len += taken;
        if (end) {
            /* What follows the line, and has been read already, comes next. */
            c->left.ptr -= some.len - taken - 1;
            c->left.len += some.len - taken - 1;
        }
        if (end || some.len == 0) {
            *found = end || len;
            if (len && text[len - 1] == '\r') {
                len--;
            }
            *line = (sg_string){text, len};
            return true;
        }
    }
}

bool sg_write(sg_connection *c, sg_string bytes, sg_error *error) {
    net_answer result;
    memset(&result, 0, sizeof result);
    host_net_write(c->handle, bytes.ptr, bytes.len, c->timeout_ms != 0, c->timeout_ms, &result);
    return net_done(c->place, &result, error);
}

bool sg_start_tls(sg_connection *c, const sg_tls *tls, sg_error *error) {
    if (c->left.len) {
        return sg_fail(error, "%s: there is more in plain text", c->place);
    }
    sg_tls system = {0};
    tls_record t = tls_out(tls ? tls : &system);
    net_answer result;
    memset(&result, 0, sizeof result);
    host_start_tls(c->handle, t.server_name.some, t.server_name.value.ptr, t.server_name.value.len, t.authorities.ptr,
                   t.authorities.len, t.certificate.ptr, t.certificate.len, t.key.ptr, t.key.len, t.accept_invalid,
                   t.protocols.ptr, t.protocols.len, c->timeout_ms != 0, c->timeout_ms, &result);
    return net_done(c->place, &result, error);
}

const sg_session *sg_tls_session(const sg_connection *c) {
    session_answer *result = sg_alloc(sizeof *result);
    memset(result, 0, sizeof *result);
    host_session(c->handle, result);
    return result->some ? &result->session : NULL;
}

sg_string sg_peer(const sg_connection *c) {
    sg_string peer = {0};
    host_peer(c->handle, &peer);
    return peer;
}

void sg_close(sg_connection *c) {
    if (c->handle) {
        host_close(c->handle);
        c->handle = 0;
    }
}
