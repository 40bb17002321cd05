/* JSON, read where it stands: no objects are made. See json.c. */

#ifndef SYNCBRIDGE_JSON_H
#define SYNCBRIDGE_JSON_H

#include "native.h"

typedef enum { ABSENT, TEXT, WHOLE, FRACTION, YES, NO, NOTHING, NESTED } JsonKind;

/* A value. `text` of a TEXT is what stands between the quotes, of a NESTED what stands from bracket to bracket. */
typedef struct {
    const char *text;
    union {
        Py_ssize_t size; /* of text */
        int64_t whole;
        double fraction;
    } of;
    JsonKind kind;
} Json;

/* All of these take where they are to read, in bytes that end with a NUL at `end`, and give where they stopped; or NULL
   if what is there is no JSON, or JSON that is left to Python: with escapes, with numbers that do not fit, too deep. */
const char *json_value(const char *at, const char *end, Json *value, int depth);
const char *json_name(const char *at, const char *end, Json *name); /* of a member, up to its value */

static inline const char *json_blank(const char *at) {
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') at++;
    return at;
}

/* After a member or an element: 1 if another follows, 0 if that was the last one, -1 if it is neither. */
static inline int json_more(const char **at, char closing) {
    const char *here = json_blank(*at);
    *at = here + 1;
    return *here == ',' ? 1 : *here == closing ? 0 : -1;
}

static inline int json_is(const Json *value, const char *text, Py_ssize_t size) {
    return value->kind == TEXT && value->of.size == size && memcmp(value->text, text, (size_t)size) == 0;
}
#define JSON_IS(value, literal) json_is(value, literal, sizeof(literal) - 1)

/* ---- words ---- */

typedef struct {
    const char *text; /* borrowed */
    Py_ssize_t size;
} Word;

/* Finds the number of a word. */
typedef struct {
    Word *words;
    int count, room;
    unsigned short *slots; /* open hash table of numbers + 1, 0 is free */
    uint32_t mask;
} Words;

int words_make(Words *words, int room);                             /* 0, or -1 with MemoryError */
void words_add(Words *words, const char *text, Py_ssize_t size);    /* numbered from 0; never more than there is room */
int words_find(const Words *words, const char *text, Py_ssize_t size); /* its number, or -1 */
void words_free(Words *words);

#endif
