/* The parts of the accelerator as they see each other. */

#ifndef SYNCBRIDGE_PARTS_H
#define SYNCBRIDGE_PARTS_H

#include "json.h"

/* ---- encoder.c ---- */

#define MOST_FIELDS 256

typedef enum { LONG, DOUBLE, BOOLEAN, STRING, ENUM, MILLIS, DAYS, TIME, NOT_HERE } FieldKind;

typedef struct {
    PyObject *name;
    const char *text; /* of name */
    Py_ssize_t size;
    Py_hash_t hash;
    FieldKind kind;
    PyObject *symbols; /* of an enum: its symbols, each with its finished bytes */
    Words words;       /* the same, by the text of the symbol ... */
    Word *encoded;     /* ... and its number */
} Field;

typedef struct {
    PyObject_HEAD
    Field *fields; /* in the order of the schema; the first is the id */
    int count, time_field;
    unsigned char *slots; /* open hash table of field numbers + 1, 0 is free */
    size_t mask;
    Words names; /* fields by the text of their name */
    PyObject *year, *month, *day, *hour, *minute;
    Buffer buffer;
} ValueEncoder;

/* ---- live.c ---- */

typedef struct {
    PyObject *encoder, *name, *table, *live, *seen;                               /* never NULL */
    PyObject *owner_field, *account_field, *user_field, *parent_field, *parent;   /* None: has none */
    PyObject *whole; /* the Kind itself, whose `listed` is set */
} Kind;

typedef struct {
    PyObject_HEAD
    PyObject *numbers; /* entity type -> where its Kind stands */
    Kind *kinds;
    Py_ssize_t count;
    PyObject *accounts, *undo, *live_undo;
    PyObject *create, *read, *update, *initial, *alive, *reconcile, *id;
    long long divisor, remainder, max_value_bytes;
    int deduplicate;
    Buffer buffer;
} Live;

/* Whether an owner's rows and events belong to this shard. */
static inline int is_own(const Live *self, int64_t owner) {
    int64_t remainder = owner % self->divisor;
    return (remainder < 0 ? remainder + self->divisor : remainder) == self->remainder;
}

/* ---- envelope.c ---- */

typedef struct {
    PyObject_HEAD
    PyObject *types;     /* entity type -> (topic, key, value, state key, state value): str and four bytes */
    PyObject *snapshots; /* word -> bytes: the word, shard, divisor, epoch */
    PyObject *source, *state_topic;
    PyTypeObject *records_type;
    Buffer key, value;
} Splicer;

/* What is the same for all changes of a frame. */
typedef struct {
    int64_t seq, last, frame, received_us, now_ms;
    int resend;
    PyObject *batches, *state; /* borrowed; whoever splices and `batches` hold them */
} Frame;

typedef struct {
    const char *data; /* NULL: None */
    Py_ssize_t size;
} Bytes;

typedef struct {
    PyObject *kind; /* borrowed from the splicer's types */
    int64_t number, ts_ms, account, user;
    int has_time, has_account, has_user;
    char op;
    Bytes before, after, snapshot;
} Change;

int take_bytes(PyObject *value, Bytes *bytes);
PyObject *item_of(PyObject *dict, PyObject *key);
PyObject *records_of(const Splicer *self, PyObject *batches, PyObject *topic);
int splice(Splicer *self, const Change *change, const Frame *frame); /* its records; 0, or -1 with an exception */

/* ---- entity.c ---- */

/* From an entity's text to the Avro bytes of its Value, appended to `out`; `members` by number of field, of which there
   are MOST_FIELDS. Where it ends comes to stand in `at`. */
Outcome encode_text(const ValueEncoder *self, const char **at, const char *end, Json *members, Buffer *out,
                    int64_t *time, int *has_time);

#endif
