/* What the parts of the accelerator share. See __init__.py for what it is and why.

   Rules of this code:
   - Only the stable interface of CPython (Py_LIMITED_API): one build serves 3.11 and all later versions, and no
     private structure can be relied on by mistake.
   - What is unusual is not handled here: a function says UNUSUAL, and Python does that entity, row or message.
   - Every value from outside is checked for its exact type before it is read.
   - Nothing that may run Python code happens while a borrowed reference is in use, or one of our own is taken first. */

#ifndef SYNCBRIDGE_NATIVE_H
#define SYNCBRIDGE_NATIVE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef enum { FAILED = -1, UNUSUAL = 0, DONE = 1 } Outcome; /* FAILED: a Python exception is set */

/* A growing piece of memory, kept from call to call. */
typedef struct {
    unsigned char *data;
    Py_ssize_t used, room;
} Buffer;

#define LONGEST_VARINT 10

int buffer_reserve(Buffer *buffer, Py_ssize_t more); /* 0, or -1 with MemoryError */
void buffer_free(Buffer *buffer);
void buffer_shrink(Buffer *buffer); /* gives memory back that only a very large entity needed */

/* These write without looking: reserve first. */
void put_varint(Buffer *buffer, int64_t number);
void put_bytes(Buffer *buffer, const void *data, Py_ssize_t size);
static inline void put_byte(Buffer *buffer, unsigned char byte) { buffer->data[buffer->used++] = byte; }

/* What Avro holds of such values, after room for twelve bytes has been reserved; UNUSUAL: beyond what is exact (NaN
   too), no time of day. */
Outcome put_double(Buffer *buffer, double number);
Outcome put_time_of_day(Buffer *buffer, int64_t hour, int64_t minute);

/* Appends an item to a list and gives it up; NULL is an error already set. 0 or -1. */
int append(PyObject *list, PyObject *item);
/* Whether bytes, or what should be, are these. */
int is_content(PyObject *bytes, const void *data, Py_ssize_t size);

/* UNUSUAL: not an int (booleans are none), or beyond 64 bits. Never FAILED. */
Outcome read_long(PyObject *value, int64_t *number);
/* The UTF-8 form of an exact str, valid as long as the str; UNUSUAL: another type, or lone surrogates. */
Outcome read_text(PyObject *value, const char **text, Py_ssize_t *size);

/* Calendar, proleptic Gregorian, years 1 to 9999; UNUSUAL for what does not exist. */
Outcome days_of(int64_t year, int64_t month, int64_t day, int64_t *days);
Outcome millis_of(const char *text, Py_ssize_t size, int64_t *millis); /* ISO-8601, UTC, see values.py */

/* A ValueEncoder; FAILED only for lack of memory. The bytes are appended to `out`. */
Outcome encode_value(PyObject *encoder, PyObject *entity, Buffer *out, int64_t *time, int *has_time);

/* Appends a record to a Records; value NULL is a tombstone. 0, or -1 with MemoryError. */
int records_put(PyObject *records, const void *key, Py_ssize_t key_size, const void *value, Py_ssize_t value_size);

extern PyType_Spec encoder_spec, splicer_spec, live_spec, records_spec, express_spec;

typedef struct {
    PyTypeObject *encoder_type, *records_type, *live_type, *splicer_type;
    PyObject *e, *d, *entity, *entity_type, *event_type; /* names in messages */
} State;

PyObject *native_cut(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *native_only_events(PyObject *module, PyObject *frame);
PyObject *native_read_rows(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
