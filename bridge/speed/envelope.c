/* Splicer: from changes to keys, envelopes, tombstones and state records, by joining bytes into a topic's Records.
   See kafka/envelope.py, which says what the bytes mean; what a process or an epoch never changes is joined there. */

#include "parts.h"

/* ---- reading ---- */

int take_bytes(PyObject *value, Bytes *bytes) {
    bytes->data = NULL;
    bytes->size = 0;
    if (value == NULL) return -1;
    if (value == Py_None) return 0;
    char *data;
    if (PyBytes_AsStringAndSize(value, &data, &bytes->size) < 0) return -1;
    bytes->data = data;
    return 0;
}

static int take_long(PyObject *value, int64_t *number, int *present) {
    *present = value != Py_None;
    if (!*present) return 0;
    *number = PyLong_AsLongLong(value);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

/* A borrowed item of a dict; KeyError if there is none. */
PyObject *item_of(PyObject *dict, PyObject *key) {
    PyObject *item = PyDict_GetItemWithError(dict, key);
    if (item == NULL && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return item;
}

/* The Records of a topic, which `batches` makes if they are not there; borrowed from it. */
PyObject *records_of(const Splicer *self, PyObject *batches, PyObject *topic) {
    PyObject *records = PyDict_GetItemWithError(batches, topic);
    if (records == NULL) {
        if (PyErr_Occurred() || (records = PyObject_GetItem(batches, topic)) == NULL) return NULL;
        Py_DECREF(records); /* the dict holds it now */
    }
    if (Py_TYPE(records) == self->records_type) return records;
    PyErr_SetString(PyExc_TypeError, "batches must hold Records");
    return NULL;
}

/* ---- writing ---- */

static void put_optional_long(Buffer *out, int present, int64_t number) {
    put_byte(out, present ? 2 : 0);
    if (present) put_varint(out, number);
}

static void put_optional_bytes(Buffer *out, Bytes bytes) {
    put_byte(out, bytes.data ? 2 : 0);
    if (bytes.data) put_bytes(out, bytes.data, bytes.size);
}

static int identify(Buffer *out, Bytes prefix, int64_t number) {
    out->used = 0;
    if (buffer_reserve(out, prefix.size + LONGEST_VARINT) < 0) return -1;
    put_bytes(out, prefix.data, prefix.size);
    put_varint(out, number);
    return 0;
}

static int read_change(const Splicer *self, PyObject *change, Change *c) {
    if (!PyTuple_Check(change) || PyTuple_Size(change) != 9) {
        PyErr_SetString(PyExc_TypeError, "a change must be a tuple of nine");
        return -1;
    }
    PyObject *op = PyTuple_GetItem(change, 2);
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(op, &size);
    if (text == NULL) return -1;
    if (size != 1 || strchr("rcud", text[0]) == NULL) {
        PyErr_SetObject(PyExc_KeyError, op);
        return -1;
    }
    c->op = text[0];
    int present;
    if (take_long(PyTuple_GetItem(change, 1), &c->number, &present) < 0) return -1;
    if (!present) {
        PyErr_SetString(PyExc_TypeError, "a change must have an id");
        return -1;
    }
    if (take_bytes(PyTuple_GetItem(change, 3), &c->before) < 0 || take_bytes(PyTuple_GetItem(change, 4), &c->after) < 0 ||
        take_long(PyTuple_GetItem(change, 5), &c->ts_ms, &c->has_time) < 0 ||
        take_long(PyTuple_GetItem(change, 6), &c->account, &c->has_account) < 0 ||
        take_long(PyTuple_GetItem(change, 7), &c->user, &c->has_user) < 0)
        return -1;
    c->kind = item_of(self->types, PyTuple_GetItem(change, 0));
    return c->kind ? take_bytes(item_of(self->snapshots, PyTuple_GetItem(change, 8)), &c->snapshot) : -1;
}

static int envelope(Splicer *self, const Change *c, const Frame *frame, Bytes prefix) {
    Buffer *out = &self->value;
    Bytes source;
    out->used = 0;
    if (take_bytes(self->source, &source) < 0) return -1;
    Py_ssize_t size = prefix.size + c->before.size + c->after.size + source.size + c->snapshot.size;
    if (buffer_reserve(out, size + 8 * LONGEST_VARINT + 8) < 0) return -1;
    put_bytes(out, prefix.data, prefix.size);
    put_optional_bytes(out, c->before);
    put_optional_bytes(out, c->after);
    put_bytes(out, source.data, source.size);
    put_varint(out, c->has_time ? c->ts_ms : frame->received_us / 1000);
    put_bytes(out, c->snapshot.data, c->snapshot.size);
    put_varint(out, frame->seq);
    put_varint(out, frame->frame);
    put_varint(out, frame->last);
    put_optional_long(out, c->has_account, c->account);
    put_optional_long(out, c->has_user, c->user);
    put_varint(out, frame->received_us);
    put_byte(out, (unsigned char)frame->resend);
    put_byte(out, 2); /* length of op */
    put_byte(out, (unsigned char)c->op);
    put_varint(out, frame->now_ms);
    return 0;
}

static int stored(Buffer *out, const Change *c, Bytes prefix) {
    out->used = 0;
    if (buffer_reserve(out, prefix.size + c->after.size + 3 * LONGEST_VARINT + 2) < 0) return -1;
    put_bytes(out, prefix.data, prefix.size);
    put_optional_long(out, c->has_account, c->account);
    put_optional_long(out, c->has_user, c->user);
    put_varint(out, c->after.size);
    put_bytes(out, c->after.data, c->after.size);
    return 0;
}

static int put(const Splicer *self, PyObject *records, int tombstone) {
    const Buffer *key = &self->key, *value = &self->value;
    return records_put(records, key->data, key->used, tombstone ? NULL : value->data, tombstone ? 0 : value->used);
}

int splice(Splicer *self, const Change *c, const Frame *frame) {
    Bytes prefixes[4]; /* key, value, state key, state value */
    for (int i = 0; i < 4; i++)
        if (take_bytes(PyTuple_GetItem(c->kind, i + 1), &prefixes[i]) < 0) return -1;
    PyObject *records = records_of(self, frame->batches, PyTuple_GetItem(c->kind, 0));
    int gone = c->after.data == NULL;
    if (records == NULL || identify(&self->key, prefixes[0], c->number) < 0) return -1;
    if (envelope(self, c, frame, prefixes[1]) < 0 || put(self, records, 0) < 0) return -1;
    if (gone && put(self, records, 1) < 0) return -1;
    if (identify(&self->key, prefixes[2], c->number) < 0) return -1;
    if (!gone && stored(&self->value, c, prefixes[3]) < 0) return -1;
    return put(self, frame->state, gone);
}

static PyObject *splicer_add(Splicer *self, PyObject *arguments) {
    PyObject *changes, *batches;
    Frame frame;
    long long seq, last, number, received_us, now_ms;
    int resend;
    if (!PyArg_ParseTuple(arguments, "OLLLLLOp", &changes, &seq, &last, &number, &received_us, &now_ms, &batches,
                          &resend))
        return NULL;
    if (!PyList_Check(changes) || !PyDict_Check(batches)) {
        PyErr_SetString(PyExc_TypeError, "changes must be a list, batches a dict");
        return NULL;
    }
    PyObject *state = records_of(self, batches, self->state_topic);
    if (state == NULL) return NULL;
    Py_INCREF(state);
    frame = (Frame){seq, last, number, received_us, now_ms, resend, batches, state};
    int failed = 0;
    for (Py_ssize_t i = 0; !failed && i < PyList_Size(changes); i++) {
        PyObject *change = Py_NewRef(PyList_GetItem(changes, i));
        Change c;
        frame.seq++;
        failed = read_change(self, change, &c) < 0 || splice(self, &c, &frame) < 0;
        Py_DECREF(change);
    }
    Py_DECREF(state);
    buffer_shrink(&self->key);
    buffer_shrink(&self->value);
    return failed ? NULL : PyLong_FromLongLong(frame.seq);
}

/* ---- making and ending one ---- */

static int check_types(PyObject *types) {
    PyObject *name, *kind;
    Py_ssize_t position = 0;
    while (PyDict_Next(types, &position, &name, &kind)) {
        int right = PyTuple_CheckExact(kind) && PyTuple_Size(kind) == 5 && PyUnicode_CheckExact(PyTuple_GetItem(kind, 0));
        for (int i = 1; right && i < 5; i++) right = PyBytes_CheckExact(PyTuple_GetItem(kind, i));
        if (!right) {
            PyErr_SetString(PyExc_TypeError, "a type must be a tuple of a topic and four bytes");
            return -1;
        }
    }
    return 0;
}

static PyObject *splicer_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *names[] = {"types", "snapshots", "source", "state_topic", NULL};
    PyObject *types, *snapshots, *source, *state_topic;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O!O!SU", names, &PyDict_Type, &types, &PyDict_Type, &snapshots,
                                     &source, &state_topic))
        return NULL;
    State *state = PyType_GetModuleState(type);
    Splicer *self = state ? (Splicer *)PyType_GenericAlloc(type, 0) : NULL;
    if (self == NULL) return NULL;
    self->records_type = (PyTypeObject *)Py_NewRef((PyObject *)state->records_type);
    self->types = PyDict_Copy(types);
    self->snapshots = PyDict_Copy(snapshots);
    self->source = Py_NewRef(source);
    self->state_topic = Py_NewRef(state_topic);
    if (self->types == NULL || self->snapshots == NULL || check_types(self->types) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void splicer_dealloc(Splicer *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->types);
    Py_XDECREF(self->snapshots);
    Py_XDECREF(self->source);
    Py_XDECREF(self->state_topic);
    Py_XDECREF((PyObject *)self->records_type);
    buffer_free(&self->key);
    buffer_free(&self->value);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)splicer_add, METH_VARARGS,
     "add(changes, seq, last, frame, received_us, now_ms, batches, resend) -> the last seq used"},
    {0}};

static PyType_Slot slots[] = {{Py_tp_new, splicer_new},
                              {Py_tp_dealloc, splicer_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Builds the records of one shard under one epoch."},
                              {0, NULL}};

PyType_Spec splicer_spec = {"bridge.speed._native.Splicer", sizeof(Splicer), 0, Py_TPFLAGS_DEFAULT, slots};
