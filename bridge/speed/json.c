/* JSON, read where it stands, for frames that hold nothing unusual (express.c). What is accepted means exactly what
   orjson makes of it; whatever is not accepted, be it right or wrong, is read by Python. */

#include <float.h>

#include "json.h"

#define DEEPEST 8
#define MOST_DIGITS 18       /* any such number is below 2**63 */
#define EXACT (1LL << 53)   /* a double holds every integer up to here ... */
#define MOST_TENS 22         /* ... and every power of ten up to this one, so one division of them is rounded rightly */

#define EACH(byte) (0x0101010101010101ULL * (byte))

/* ---- texts ---- */

/* RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
static int is_utf8(const unsigned char *at, const unsigned char *end) {
    while (at < end) {
        unsigned char first = *at++;
        if (first < 0x80) continue;
        int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (first < 0xC2 || first > 0xF4 || end - at < more) return 0;
        unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        if (*at < low || *at > high) return 0;
        for (at++; --more > 0; at++)
            if ((*at & 0xC0) != 0x80) return 0;
    }
    return 1;
}

/* From behind the opening quote to the closing one. */
static const char *text_end(const char *from, const char *end) {
    const char *at = from;
    int foreign = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - at >= 8) { /* eight bytes at once: a quote, a backslash, a control character, or not ASCII? */
        uint64_t bytes;
        memcpy(&bytes, at, sizeof bytes);
        uint64_t quotes = bytes ^ EACH('"'), slashes = bytes ^ EACH('\\');
        uint64_t found = ((quotes - EACH(1)) & ~quotes) | ((slashes - EACH(1)) & ~slashes) | (bytes - EACH(0x20)) | bytes;
        found &= EACH(0x80);
        if (found != 0) {
            at += __builtin_ctzll(found) / 8;
            break;
        }
        at += 8;
    }
#endif
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20 || *at == '\\') return NULL;
        foreign |= (unsigned char)*at >= 0x80;
    }
    return !foreign || is_utf8((const unsigned char *)from, (const unsigned char *)at) ? at : NULL;
}

static const char *read_quoted(const char *at, const char *end, Json *value) {
    const char *stop = text_end(at + 1, end);
    if (stop == NULL) return NULL;
    value->kind = TEXT;
    value->text = at + 1;
    value->of.size = stop - value->text;
    return stop + 1;
}

/* ---- numbers ---- */

static int is_digit(char byte) { return byte >= '0' && byte <= '9'; }

/* Past the digits; `digits` is the number they end, -1 once it has more than fit. */
static const char *read_digits(const char *at, int64_t *digits, int *count) {
    for (; is_digit(*at); at++, ++*count) *digits = *count < MOST_DIGITS && *digits >= 0 ? *digits * 10 + (*at - '0') : -1;
    return at;
}

static const char *read_exponent(const char *at, int *exponent) {
    int minus = *at == '-';
    at += minus || *at == '+';
    if (!is_digit(*at)) return NULL;
    for (; is_digit(*at); at++)
        if (*exponent < 1000) *exponent = *exponent * 10 + (*at - '0');
    if (minus) *exponent = -*exponent;
    return at;
}

/* What stands between, whose digits are so many tenths; digits that do not fit are left to CPython, which rounds as
   orjson does. Infinity is no number. */
static const char *read_fraction(const char *from, const char *at, int64_t digits, int tenths, Json *value) {
    static const double tens[MOST_TENS + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    char *stop;
    double number;
    if (FLT_EVAL_METHOD == 0 && 0 <= digits && digits <= EXACT && -MOST_TENS <= tenths && tenths <= MOST_TENS) {
        number = tenths > 0 ? (double)digits / tens[tenths] : (double)digits * tens[-tenths];
        if (*from == '-') number = -number;
    } else {
        number = PyOS_string_to_double(from, &stop, NULL);
        if (PyErr_Occurred()) PyErr_Clear(); /* should memory be short, Python will say so */
        if (stop != at || !(-DBL_MAX <= number && number <= DBL_MAX)) return NULL;
    }
    value->kind = FRACTION;
    value->of.fraction = number;
    return at;
}

static const char *read_number(const char *from, Json *value) {
    const char *at = from + (*from == '-');
    int count = 0, exponent = 0;
    int64_t digits = 0;
    if (!is_digit(*at) || (*at == '0' && is_digit(at[1]))) return NULL;
    at = read_digits(at, &digits, &count);
    int whole = count;
    if (*at != '.' && *at != 'e' && *at != 'E') {
        if (digits < 0) return NULL;
        value->kind = WHOLE;
        value->of.whole = *from == '-' ? -digits : digits;
        return at;
    }
    if (*at == '.' && !is_digit(*++at)) return NULL;
    at = read_digits(at, &digits, &count);
    if ((*at == 'e' || *at == 'E') && (at = read_exponent(at + 1, &exponent)) == NULL) return NULL;
    return read_fraction(from, at, digits, count - whole - exponent, value);
}

/* ---- the rest ---- */

static const char *read_literal(const char *at, const char *literal, JsonKind kind, Json *value) {
    for (; *literal != 0; at++, literal++)
        if (*at != *literal) return NULL;
    value->kind = kind;
    return at;
}

const char *json_name(const char *at, const char *end, Json *name) {
    at = json_blank(at);
    if (*at != '"' || (at = read_quoted(at, end, name)) == NULL) return NULL;
    at = json_blank(at);
    return *at == ':' ? at + 1 : NULL;
}

/* An object or an array, of which nothing is kept but where it stands. */
static const char *read_nested(const char *from, const char *end, Json *value, int depth) {
    char closing = *from == '{' ? '}' : ']';
    const char *at = json_blank(from + 1);
    Json part;
    int more = *at != closing;
    if (depth == DEEPEST) return NULL;
    at += !more;
    while (more) {
        if (closing == '}' && (at = json_name(at, end, &part)) == NULL) return NULL;
        if ((at = json_value(at, end, &part, depth + 1)) == NULL) return NULL;
        if ((more = json_more(&at, closing)) < 0) return NULL;
    }
    value->kind = NESTED;
    value->text = from;
    value->of.size = at - from;
    return at;
}

const char *json_value(const char *at, const char *end, Json *value, int depth) {
    at = json_blank(at);
    switch (*at) {
    case '"':
        return read_quoted(at, end, value);
    case '{':
    case '[':
        return read_nested(at, end, value, depth);
    case 't':
        return read_literal(at, "true", YES, value);
    case 'f':
        return read_literal(at, "false", NO, value);
    case 'n':
        return read_literal(at, "null", NOTHING, value);
    default:
        return read_number(at, value);
    }
}

/* ---- words ---- */

static uint32_t hash_of(const char *text, Py_ssize_t size) {
    uint64_t first = 0, last = 0;
    if (size >= 8) {
        memcpy(&first, text, 8);
        memcpy(&last, text + size - 8, 8);
    } else {
        memcpy(&first, text, (size_t)size);
    }
    uint64_t mixed = (first * 0x9E3779B97F4A7C15ULL) ^ ((last + (uint64_t)size) * 0xC2B2AE3D27D4EB4FULL);
    return (uint32_t)((mixed * 0x9E3779B97F4A7C15ULL) >> 40);
}

int words_make(Words *words, int room) {
    for (words->mask = 15; words->mask < 4 * (uint32_t)room;) words->mask = 2 * words->mask + 1;
    words->words = PyMem_Calloc((size_t)room + 1, sizeof *words->words);
    words->slots = PyMem_Calloc((size_t)words->mask + 1, sizeof *words->slots);
    words->room = room;
    if (words->words != NULL && words->slots != NULL) return 0;
    PyErr_NoMemory();
    return -1;
}

void words_add(Words *words, const char *text, Py_ssize_t size) {
    uint32_t at = hash_of(text, size) & words->mask;
    if (words->count == words->room) return;
    while (words->slots[at] != 0) at = (at + 1) & words->mask;
    words->words[words->count++] = (Word){text, size};
    words->slots[at] = (unsigned short)words->count;
}

int words_find(const Words *words, const char *text, Py_ssize_t size) {
    for (uint32_t at = hash_of(text, size) & words->mask;; at = (at + 1) & words->mask) {
        int number = words->slots[at] - 1;
        if (number < 0) return -1;
        const Word *word = &words->words[number];
        if (word->size == size && memcmp(word->text, text, (size_t)size) == 0) return number;
    }
}

void words_free(Words *words) {
    PyMem_Free(words->words);
    PyMem_Free(words->slots);
    memset(words, 0, sizeof *words);
}
