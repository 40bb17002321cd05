/* ValueEncoder: from a decoded entity to the Avro bytes of its Value, by a table made from the schema. */

#include "parts.h"

static const char *const KINDS[] = {"long", "double", "boolean", "string", "enum",
                                    "timestamp-millis", "date", "time-millis", NULL};

/* ---- finding fields ---- */

static int field_of(const ValueEncoder *self, PyObject *name) {
    Py_hash_t hash = PyObject_Hash(name); /* of an exact str: known or computed, cannot fail */
    for (size_t at = (size_t)hash & self->mask;; at = (at + 1) & self->mask) {
        int number = self->slots[at] - 1;
        if (number < 0) return -1;
        const Field *field = &self->fields[number];
        if (field->name == name) return number;
        if (field->hash == hash) {
            Py_ssize_t size;
            const char *text = PyUnicode_AsUTF8AndSize(name, &size);
            if (text == NULL) {
                PyErr_Clear(); /* not a name of ours; should memory be short, Python will say so */
                return -1;
            }
            if (size == field->size && memcmp(text, field->text, (size_t)size) == 0) return number;
        }
    }
}

/* ---- single values ---- */

static Outcome put_text(Buffer *out, PyObject *value) {
    const char *text;
    Py_ssize_t size;
    Outcome outcome = read_text(value, &text, &size);
    if (outcome != DONE) return outcome;
    if (buffer_reserve(out, size + LONGEST_VARINT) < 0) return FAILED;
    put_varint(out, size);
    put_bytes(out, text, size);
    return DONE;
}

static Outcome put_number(Buffer *out, PyObject *value) {
    int64_t integer;
    if (PyFloat_CheckExact(value)) return put_double(out, PyFloat_AsDouble(value));
    if (read_long(value, &integer) != DONE) return UNUSUAL;
    return put_double(out, (double)integer); /* exact, or at least 2**53 */
}

static Outcome put_symbol(Buffer *out, PyObject *symbols, PyObject *value) {
    if (!PyUnicode_CheckExact(value)) return UNUSUAL;
    PyObject *encoded = PyDict_GetItemWithError(symbols, value);
    if (encoded == NULL) return PyErr_Occurred() ? FAILED : UNUSUAL;
    Py_ssize_t size = PyBytes_Size(encoded);
    if (buffer_reserve(out, size) < 0) return FAILED;
    put_bytes(out, PyBytes_AsString(encoded), size);
    return DONE;
}

static Outcome put_millis(Buffer *out, PyObject *value, int64_t *millis) {
    const char *text;
    Py_ssize_t size;
    Outcome outcome = read_text(value, &text, &size);
    if (outcome == DONE) outcome = millis_of(text, size, millis);
    if (outcome == DONE) put_varint(out, *millis);
    return outcome;
}

/* A member of a small object, which must be an integer. */
static Outcome member(PyObject *object, PyObject *name, int64_t *number) {
    PyObject *value = PyDict_GetItemWithError(object, name);
    if (value == NULL) return PyErr_Occurred() ? FAILED : UNUSUAL;
    return read_long(value, number);
}

static Outcome put_days(const ValueEncoder *self, Buffer *out, PyObject *value) {
    int64_t year, month, day, days;
    Outcome outcome;
    if (!PyDict_CheckExact(value) || PyDict_Size(value) != 3) return UNUSUAL;
    if ((outcome = member(value, self->year, &year)) != DONE) return outcome;
    if ((outcome = member(value, self->month, &month)) != DONE) return outcome;
    if ((outcome = member(value, self->day, &day)) != DONE) return outcome;
    if (days_of(year, month, day, &days) != DONE) return UNUSUAL;
    put_varint(out, days);
    return DONE;
}

static Outcome put_time(const ValueEncoder *self, Buffer *out, PyObject *value) {
    int64_t hour, minute;
    Outcome outcome;
    if (!PyDict_CheckExact(value) || PyDict_Size(value) != 2) return UNUSUAL;
    if ((outcome = member(value, self->hour, &hour)) != DONE) return outcome;
    if ((outcome = member(value, self->minute, &minute)) != DONE) return outcome;
    return put_time_of_day(out, hour, minute);
}

/* ---- the entity ---- */

/* One value, after room for a branch and a number has been reserved. */
static Outcome put_value(const ValueEncoder *self, const Field *field, PyObject *value, Buffer *out, int64_t *time) {
    int64_t number;
    switch (field->kind) {
    case LONG:
        if (read_long(value, &number) != DONE) return UNUSUAL;
        put_varint(out, number);
        return DONE;
    case DOUBLE:
        return put_number(out, value);
    case BOOLEAN:
        if (value != Py_True && value != Py_False) return UNUSUAL;
        put_byte(out, value == Py_True);
        return DONE;
    case STRING:
        return put_text(out, value);
    case ENUM:
        return put_symbol(out, field->symbols, value);
    case MILLIS:
        return put_millis(out, value, time);
    case DAYS:
        return put_days(self, out, value);
    case TIME:
        return put_time(self, out, value);
    default:
        return UNUSUAL;
    }
}

/* Sorts the values of an entity by field; a null is an absent field. UNUSUAL: a name that the schema does not know. */
static Outcome collect(const ValueEncoder *self, PyObject *entity, PyObject **values) {
    PyObject *name, *value;
    Py_ssize_t position = 0;
    memset(values, 0, (size_t)self->count * sizeof *values);
    while (PyDict_Next(entity, &position, &name, &value)) {
        if (value == Py_None) continue;
        if (!PyUnicode_CheckExact(name)) return UNUSUAL;
        int number = field_of(self, name);
        if (number < 0) return UNUSUAL;
        values[number] = value;
    }
    return DONE;
}

Outcome encode_value(PyObject *encoder, PyObject *entity, Buffer *out, int64_t *time, int *has_time) {
    const ValueEncoder *self = (const ValueEncoder *)encoder;
    PyObject *values[MOST_FIELDS]; /* borrowed: nothing below runs Python code */
    int64_t number;
    *has_time = 0;
    if (!PyDict_CheckExact(entity) || collect(self, entity, values) != DONE) return UNUSUAL;
    if (values[0] == NULL || read_long(values[0], &number) != DONE) return UNUSUAL;
    if (buffer_reserve(out, LONGEST_VARINT) < 0) return FAILED;
    put_varint(out, number);
    for (int i = 1; i < self->count; i++) {
        if (buffer_reserve(out, 2 + LONGEST_VARINT) < 0) return FAILED;
        if (values[i] == NULL) {
            put_byte(out, 0); /* branch 0: null */
            continue;
        }
        put_byte(out, 2); /* branch 1 */
        int64_t moment = 0;
        Outcome outcome = put_value(self, &self->fields[i], values[i], out, &moment);
        if (outcome != DONE) return outcome;
        if (i == self->time_field) {
            *time = moment;
            *has_time = 1;
        }
    }
    if (buffer_reserve(out, 1) < 0) return FAILED;
    put_byte(out, 0); /* unmapped: no entries */
    return DONE;
}

static PyObject *encoder_encode(ValueEncoder *self, PyObject *entity) {
    int64_t time;
    int has_time;
    self->buffer.used = 0;
    Outcome outcome = encode_value((PyObject *)self, entity, &self->buffer, &time, &has_time);
    PyObject *encoded = NULL;
    if (outcome == DONE) encoded = PyBytes_FromStringAndSize((char *)self->buffer.data, self->buffer.used);
    buffer_shrink(&self->buffer);
    if (outcome == UNUSUAL) Py_RETURN_NONE;
    if (encoded == NULL) return NULL;
    PyObject *moment = has_time ? PyLong_FromLongLong(time) : Py_NewRef(Py_None);
    PyObject *both = moment == NULL ? NULL : PyTuple_Pack(2, encoded, moment);
    Py_DECREF(encoded);
    Py_XDECREF(moment);
    return both;
}

/* ---- making and ending one ---- */

/* {symbol: its Avro bytes} */
static PyObject *encoded_symbols(PyObject *symbols) {
    PyObject *encoded = PyDict_New(), *iterator = PyObject_GetIter(symbols), *symbol = NULL;
    Buffer buffer = {0};
    if (encoded == NULL || iterator == NULL) goto failed;
    while ((symbol = PyIter_Next(iterator)) != NULL) {
        buffer.used = 0;
        Outcome outcome = put_text(&buffer, symbol);
        if (outcome == UNUSUAL) PyErr_SetString(PyExc_TypeError, "a symbol must be a str that has a UTF-8 form");
        if (outcome != DONE) goto failed;
        PyObject *bytes = PyBytes_FromStringAndSize((char *)buffer.data, buffer.used);
        int set = bytes == NULL ? -1 : PyDict_SetItem(encoded, symbol, bytes);
        Py_XDECREF(bytes);
        if (set < 0) goto failed;
        Py_CLEAR(symbol);
    }
    if (PyErr_Occurred()) goto failed;
    Py_DECREF(iterator);
    buffer_free(&buffer);
    return encoded;
failed:
    Py_XDECREF(symbol);
    Py_XDECREF(iterator);
    Py_XDECREF(encoded);
    buffer_free(&buffer);
    return NULL;
}

/* Have them found by their text. */
static int number_symbols(Field *field) {
    PyObject *symbol, *encoded;
    Py_ssize_t position = 0, size;
    if (words_make(&field->words, (int)PyDict_Size(field->symbols)) < 0) return -1;
    if ((field->encoded = PyMem_Calloc((size_t)field->words.room + 1, sizeof *field->encoded)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    while (PyDict_Next(field->symbols, &position, &symbol, &encoded)) {
        const char *text = PyUnicode_AsUTF8AndSize(symbol, &size);
        if (text == NULL) return -1;
        field->encoded[field->words.count] = (Word){PyBytes_AsString(encoded), PyBytes_Size(encoded)};
        words_add(&field->words, text, size);
    }
    return 0;
}

/* One (name, kind, symbols or None). */
static int describe(Field *field, PyObject *item) {
    PyObject *symbols;
    const char *kind;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "UsO", &field->name, &kind, &symbols)) {
        field->name = NULL; /* borrowed until here */
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "a field must be a tuple (name, kind, symbols)");
        return -1;
    }
    Py_INCREF(field->name);
    field->text = PyUnicode_AsUTF8AndSize(field->name, &field->size);
    if (field->text == NULL) return -1;
    field->hash = PyObject_Hash(field->name);
    for (field->kind = LONG; KINDS[field->kind] != NULL && strcmp(KINDS[field->kind], kind) != 0;) field->kind++;
    if (field->kind == ENUM && (field->symbols = encoded_symbols(symbols)) == NULL) return -1;
    return field->kind == ENUM ? number_symbols(field) : 0;
}

static int build(ValueEncoder *self, PyObject *fields) {
    Py_ssize_t count = PyTuple_Check(fields) ? PyTuple_Size(fields) : -1;
    if (count < 1 || count >= MOST_FIELDS - 1) {
        PyErr_SetString(PyExc_ValueError, "fields must be a tuple of 1 to 254 fields, the id first");
        return -1;
    }
    for (self->mask = 15; self->mask < 4 * (size_t)count;) self->mask = 2 * self->mask + 1;
    self->fields = PyMem_Calloc((size_t)count, sizeof *self->fields);
    self->slots = PyMem_Calloc(self->mask + 1, 1);
    if (self->fields == NULL || self->slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (words_make(&self->names, (int)count) < 0) return -1;
    self->count = (int)count; /* from here on there is something to release */
    self->time_field = -1;
    for (int i = 0; i < self->count; i++) {
        Field *field = &self->fields[i];
        if (describe(field, PyTuple_GetItem(fields, i)) < 0) return -1;
        if (field->kind == MILLIS && strcmp(field->text, "timestamp") == 0) self->time_field = i;
        size_t at = (size_t)field->hash & self->mask;
        while (self->slots[at] != 0) at = (at + 1) & self->mask;
        self->slots[at] = (unsigned char)(i + 1);
        words_add(&self->names, field->text, field->size);
    }
    if (self->fields[0].kind != LONG) {
        PyErr_SetString(PyExc_ValueError, "the first field must be the id, a long");
        return -1;
    }
    return 0;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *names[] = {"fields", NULL};
    PyObject *fields;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O", names, &fields)) return NULL;
    ValueEncoder *self = (ValueEncoder *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    if ((self->year = PyUnicode_InternFromString("year")) == NULL ||
        (self->month = PyUnicode_InternFromString("month")) == NULL ||
        (self->day = PyUnicode_InternFromString("day")) == NULL ||
        (self->hour = PyUnicode_InternFromString("hour")) == NULL ||
        (self->minute = PyUnicode_InternFromString("minute")) == NULL || build(self, fields) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void encoder_dealloc(ValueEncoder *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int i = 0; i < self->count; i++) {
        Py_XDECREF(self->fields[i].name);
        Py_XDECREF(self->fields[i].symbols);
        words_free(&self->fields[i].words);
        PyMem_Free(self->fields[i].encoded);
    }
    words_free(&self->names);
    PyMem_Free(self->fields);
    PyMem_Free(self->slots);
    Py_XDECREF(self->year);
    Py_XDECREF(self->month);
    Py_XDECREF(self->day);
    Py_XDECREF(self->hour);
    Py_XDECREF(self->minute);
    buffer_free(&self->buffer);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"encode", (PyCFunction)encoder_encode, METH_O,
     "encode(entity) -> (bytes, milliseconds or None), or None if Python has to do it"},
    {0}};

static PyType_Slot slots[] = {{Py_tp_new, encoder_new},
                              {Py_tp_dealloc, encoder_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Encodes entities of one type by one schema."},
                              {0, NULL}};

PyType_Spec encoder_spec = {"bridge.speed._native.ValueEncoder", sizeof(ValueEncoder), 0, Py_TPFLAGS_DEFAULT, slots};
