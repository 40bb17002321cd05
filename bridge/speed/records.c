/* Records: one topic's records, kept as Kafka's record batches hold them (format 2: length, attributes, timestamp and
   offset relative to the batch, key, value, headers). See kafka/packing.py, which puts the head before each chunk. */

#include "native.h"

#define HEAD 61 /* bytes before the records of a batch */

typedef struct {
    Py_ssize_t end; /* where it ends in the buffer */
    long long count;
} Chunk;

typedef struct {
    PyObject_HEAD
    Buffer buffer;
    Chunk *chunks; /* the last one grows */
    Py_ssize_t ended, room;
    long long count; /* of all */
    Py_ssize_t limit;
} Records;

static Py_ssize_t varint_size(uint64_t number) { /* of what is not negative */
    Py_ssize_t size = 1;
    for (number <<= 1; number > 0x7F; number >>= 7) size++;
    return size;
}

static int begin_chunk(Records *self) {
    if (self->ended == self->room) {
        Py_ssize_t room = 2 * self->room + 4;
        Chunk *chunks = PyMem_Realloc(self->chunks, (size_t)room * sizeof *chunks);
        if (chunks == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->chunks = chunks;
        self->room = room;
    }
    self->chunks[self->ended++] = (Chunk){self->buffer.used, 0};
    return 0;
}

static Py_ssize_t start_of(const Records *self, Py_ssize_t chunk) { return chunk ? self->chunks[chunk - 1].end : 0; }

/* What follows a record's length, bytes. */
static Py_ssize_t size_of(long long offset, Py_ssize_t key_size, const void *value, Py_ssize_t value_size) {
    return 3 + varint_size((uint64_t)offset) + varint_size((uint64_t)key_size) + key_size +
           (value ? varint_size((uint64_t)value_size) + value_size : 1);
}

int records_put(PyObject *records, const void *key, Py_ssize_t key_size, const void *value, Py_ssize_t value_size) {
    Records *self = (Records *)records;
    if (self->ended == 0 && begin_chunk(self) < 0) return -1;
    Chunk *chunk = &self->chunks[self->ended - 1];
    Py_ssize_t size = size_of(chunk->count, key_size, value, value_size);
    Py_ssize_t taken = HEAD + self->buffer.used - start_of(self, self->ended - 1);
    if (chunk->count > 0 && taken + varint_size((uint64_t)size) + size >= self->limit) { /* as aiokafka has it */
        if (begin_chunk(self) < 0) return -1;
        chunk = &self->chunks[self->ended - 1];
        size = size_of(0, key_size, value, value_size);
    }
    if (buffer_reserve(&self->buffer, size + LONGEST_VARINT) < 0) return -1;
    put_varint(&self->buffer, size);
    put_byte(&self->buffer, 0); /* attributes */
    put_byte(&self->buffer, 0); /* the batch's timestamp */
    put_varint(&self->buffer, chunk->count);
    put_varint(&self->buffer, key_size);
    put_bytes(&self->buffer, key, key_size);
    put_varint(&self->buffer, value ? value_size : -1);
    put_bytes(&self->buffer, value, value ? value_size : 0);
    put_byte(&self->buffer, 0); /* no headers */
    chunk->end = self->buffer.used;
    chunk->count++;
    self->count++;
    return 0;
}

static PyObject *records_append(Records *self, PyObject *record) {
    if (!PyTuple_Check(record) || PyTuple_Size(record) != 2) {
        PyErr_SetString(PyExc_TypeError, "a record must be a tuple of key and value");
        return NULL;
    }
    PyObject *key = PyTuple_GetItem(record, 0), *value = PyTuple_GetItem(record, 1);
    if (!PyBytes_CheckExact(key) || !(value == Py_None || PyBytes_CheckExact(value))) {
        PyErr_SetString(PyExc_TypeError, "a key must be bytes, a value bytes or None");
        return NULL;
    }
    const char *content = value == Py_None ? NULL : PyBytes_AsString(value);
    if (records_put((PyObject *)self, PyBytes_AsString(key), PyBytes_Size(key), content, content ? PyBytes_Size(value) : 0) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *records_extend(Records *self, PyObject *records) {
    PyObject *iterator = PyObject_GetIter(records), *record;
    if (iterator == NULL) return NULL;
    while ((record = PyIter_Next(iterator)) != NULL) {
        PyObject *appended = records_append(self, record);
        Py_DECREF(record);
        if (appended == NULL) break;
        Py_DECREF(appended);
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *chunk_of(const Records *self, Py_ssize_t number) {
    Py_ssize_t start = start_of(self, number), size = self->chunks[number].end - start;
    PyObject *batch = PyByteArray_FromStringAndSize(NULL, HEAD + size);
    if (batch == NULL) return NULL;
    memset(PyByteArray_AsString(batch), 0, HEAD);
    memcpy(PyByteArray_AsString(batch) + HEAD, self->buffer.data + start, (size_t)size);
    return Py_BuildValue("(LN)", self->chunks[number].count, batch);
}

static PyObject *records_chunk(Records *self, PyObject *argument) {
    Py_ssize_t number = PyLong_AsSsize_t(argument);
    if (number == -1 && PyErr_Occurred()) return NULL;
    if (number >= 0 && number < self->ended) return chunk_of(self, number);
    PyErr_SetString(PyExc_IndexError, "there are not so many chunks");
    return NULL;
}

static PyObject *records_chunks(Records *self, PyObject *nothing) {
    (void)nothing;
    return PyLong_FromSsize_t(self->ended);
}

static Py_ssize_t records_length(Records *self) { return (Py_ssize_t)self->count; }

static PyObject *records_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *names[] = {"batch_bytes", NULL};
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "n", names, &limit)) return NULL;
    Records *self = (Records *)PyType_GenericAlloc(type, 0);
    if (self != NULL) self->limit = limit;
    return (PyObject *)self;
}

static void records_dealloc(Records *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->chunks);
    buffer_free(&self->buffer);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"append", (PyCFunction)records_append, METH_O, "append((key, value))"},
    {"extend", (PyCFunction)records_extend, METH_O, "extend(records)"},
    {"chunks", (PyCFunction)records_chunks, METH_NOARGS, "chunks() -> how many batches they fill"},
    {"chunk", (PyCFunction)records_chunk, METH_O, "chunk(number) -> records in it, and the batch without its head"},
    {0}};

static PyType_Slot slots[] = {{Py_tp_new, records_new},
                              {Py_tp_dealloc, records_dealloc},
                              {Py_tp_methods, methods},
                              {Py_sq_length, records_length},
                              {Py_tp_doc, "One topic's records, as record batches hold them."},
                              {0, NULL}};

PyType_Spec records_spec = {"bridge.speed._native.Records", sizeof(Records), 0, Py_TPFLAGS_DEFAULT, slots};
