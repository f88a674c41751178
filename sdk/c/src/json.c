/* JSON: a parser into a tree in the call's memory. Refuses what nests deeper than DEPTH_MAX, so that no text can use up the
 * stack. */
#include <stdlib.h>
#include <string.h>

#include "stormglass.h"

enum { DEPTH_MAX = 64 };

typedef enum { NOTHING, TRUE, FALSE, NUMBER, STRING, ARRAY, OBJECT } kind;

struct sg_json {
    kind kind;
    double number;
    sg_string string;
    /* Of a member of an object. */
    sg_string key;
    const sg_json *first;
    const sg_json *next;
    size_t length;
    /* Of the whole text. */
    sg_string source;
};

typedef struct {
    const char *at;
    const char *end;
} reader;

static void skip(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
        r->at++;
    }
}

static bool accept(reader *r, char c) {
    skip(r);
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return true;
    }
    return false;
}

static bool hex(reader *r, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end) {
            return false;
        }
        char c = *r->at;
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;
        if (digit == 16) {
            return false;
        }
        *code = *code << 4 | digit;
    }
    return true;
}

static char *utf8(char *to, uint32_t code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* What follows the opening quote. An escape is never longer in UTF-8 than as it is written. */
static bool string(reader *r, sg_string *text) {
    char *made = sg_alloc((size_t)(r->end - r->at));
    char *to = made;
    while (r->at < r->end && *r->at != '"') {
        char c = *r->at++;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        if (r->at == r->end) {
            return false;
        }
        c = *r->at++;
        const char *escape = strchr("\"\\/bfnrt", c);
        if (c == 'u') {
            uint32_t code, low;
            if (!hex(r, &code)) {
                return false;
            }
            if (code >= 0xd800 && code < 0xdc00) {
                reader ahead = {r->at + 2, r->end};
                if (r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u' && hex(&ahead, &low) && low >= 0xdc00 && low < 0xe000) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    r->at = ahead.at;
                }
            }
            /* A half of a pair alone is no character. */
            to = utf8(to, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
        } else if (escape && c) {
            *to++ = "\"\\/\b\f\n\r\t"[escape - "\"\\/bfnrt"];
        } else {
            return false;
        }
    }
    if (r->at == r->end) {
        return false;
    }
    r->at++;
    *text = (sg_string){made, (uint32_t)(to - made)};
    return true;
}

static bool word(reader *r, const char *text) {
    size_t length = strlen(text);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, text, length) != 0) {
        return false;
    }
    r->at += length;
    return true;
}

static bool value(reader *r, sg_json *into, int depth);

static bool members(reader *r, sg_json *into, int depth) {
    char close = into->kind == OBJECT ? '}' : ']';
    const sg_json **last = &into->first;
    if (accept(r, close)) {
        return true;
    }
    do {
        sg_json *made = sg_alloc(sizeof *made);
        if (into->kind == OBJECT && !(accept(r, '"') && string(r, &made->key) && accept(r, ':'))) {
            return false;
        }
        if (!value(r, made, depth + 1)) {
            return false;
        }
        *last = made;
        last = &made->next;
        into->length++;
    } while (accept(r, ','));
    return accept(r, close);
}

static bool value(reader *r, sg_json *into, int depth) {
    if (depth > DEPTH_MAX) {
        return false;
    }
    skip(r);
    if (r->at == r->end) {
        return false;
    }
    switch (*r->at) {
    case '{':
    case '[':
        into->kind = *r->at++ == '{' ? OBJECT : ARRAY;
        return members(r, into, depth);
    case '"':
        r->at++;
        into->kind = STRING;
        return string(r, &into->string);
    case 't':
        into->kind = TRUE;
        return word(r, "true");
    case 'f':
        into->kind = FALSE;
        return word(r, "false");
    case 'n':
        into->kind = NOTHING;
        return word(r, "null");
    default: {
        /* strtod needs a zero byte behind the number, and reads more than JSON has. */
        char digits[64];
        size_t length = 0;
        while (r->at < r->end && length < sizeof digits - 1 && strchr("+-.eE0123456789", *r->at) && *r->at) {
            digits[length++] = *r->at++;
        }
        digits[length] = 0;
        char *end;
        into->kind = NUMBER;
        into->number = strtod(digits, &end);
        return length > 0 && end == digits + length;
    }
    }
}

const sg_json *sg_json_parse(sg_string text) {
    reader r = {text.ptr, text.ptr + text.len};
    sg_json *made = sg_alloc(sizeof *made);
    if (!value(&r, made, 0)) {
        return NULL;
    }
    skip(&r);
    made->source = text;
    return r.at == r.end ? made : NULL;
}

sg_string sg_json_source(const sg_json *value) {
    return value ? value->source : sg_str("");
}

const sg_json *sg_json_get(const sg_json *object, const char *key) {
    if (!object || object->kind != OBJECT) {
        return NULL;
    }
    const sg_json *member = object->first;
    while (member && !sg_equals(member->key, key)) {
        member = member->next;
    }
    return member;
}

size_t sg_json_length(const sg_json *array) {
    return array && array->kind == ARRAY ? array->length : 0;
}

const sg_json *sg_json_at(const sg_json *array, size_t index) {
    if (index >= sg_json_length(array)) {
        return NULL;
    }
    const sg_json *element = array->first;
    while (index--) {
        element = element->next;
    }
    return element;
}

bool sg_json_is_string(const sg_json *value) {
    return value && value->kind == STRING;
}

bool sg_json_is_number(const sg_json *value) {
    return value && value->kind == NUMBER;
}

sg_string sg_json_string(const sg_json *value, const char *otherwise) {
    return sg_json_is_string(value) ? value->string : sg_str(otherwise);
}

double sg_json_number(const sg_json *value, double otherwise) {
    return sg_json_is_number(value) ? value->number : otherwise;
}

bool sg_json_bool(const sg_json *value, bool otherwise) {
    return value && (value->kind == TRUE || value->kind == FALSE) ? value->kind == TRUE : otherwise;
}
