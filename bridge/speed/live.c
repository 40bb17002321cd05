/* Live: the usual rows of a frame against the published state. See changes/reconciler.py, whose `_upserts`
   and `publish` this repeats for what is usual. Before the state is touched everything is known to be usual; what is not
   is left, untouched, to those methods. */

#include "parts.h"

#define PARTS 11

/* What was met since `run` was called. */
typedef struct {
    long events, rows, duplicates, owned, own_rows, foreign;
} Met;

/* One entity that can be published. */
typedef struct {
    PyObject *number; /* borrowed: the entity holds it, and soon a set */
    PyObject *old;    /* the published entry, NULL if there is none; our own reference */
    int64_t time;
    int has_time;
} Found;

/* ---- who owns it ---- */

/* A borrowed value of an entity, None if it has none; NULL: an exception is set. */
static PyObject *value_of(PyObject *entity, PyObject *name) {
    PyObject *value = PyDict_GetItemWithError(entity, name);
    return value != NULL ? value : PyErr_Occurred() ? NULL : Py_None;
}

/* An owner that an entity names itself: an int of 64 bits, else None. */
static PyObject *named_owner(PyObject *entity, PyObject *field) {
    int64_t number;
    PyObject *value = value_of(entity, field);
    return value == NULL ? NULL : read_long(value, &number) == DONE ? value : Py_None;
}

/* A member of the published entry of a key, None if the key is unknown. */
static PyObject *entry_of(PyObject *table, PyObject *number, Py_ssize_t member) {
    PyObject *entry = PyDict_GetItemWithError(table, number);
    if (entry == NULL) return PyErr_Occurred() ? NULL : Py_None;
    return PyTuple_GetItem(entry, member);
}

/* Owning account and user, borrowed. */
static int owners(const Live *self, const Kind *kind, PyObject *entity, PyObject **account, PyObject **user) {
    *account = *user = Py_None;
    if (kind->parent_field != Py_None && kind->parent != Py_None) {
        PyObject *parent = value_of(entity, kind->parent_field);
        if (parent == NULL) return -1;
        if (PyLong_CheckExact(parent)) *account = entry_of(kind->parent, parent, 1);
    } else if (kind->account_field != Py_None) {
        *account = named_owner(entity, kind->account_field);
    }
    if (*account == NULL) return -1;
    if (kind->user_field != Py_None) {
        *user = named_owner(entity, kind->user_field);
    } else if (*account != Py_None) {
        *user = entry_of(self->accounts, *account, 2);
    }
    return *user == NULL ? -1 : 0;
}

/* ---- one entity ---- */

static PyObject *change_of(const Live *self, const Kind *kind, const Found *f, PyObject *value, PyObject *account,
                           PyObject *user, PyObject *snapshot) {
    PyObject *op = f->old != NULL ? self->update : snapshot == self->initial ? self->read : self->create;
    PyObject *before = f->old != NULL ? PyTuple_GetItem(f->old, 0) : Py_None;
    PyObject *time = f->has_time ? PyLong_FromLongLong(f->time) : Py_NewRef(Py_None);
    if (before == NULL || time == NULL) {
        Py_XDECREF(time);
        return NULL;
    }
    PyObject *change = PyTuple_Pack(9, kind->name, f->number, op, before, value, time, account, user, snapshot);
    Py_DECREF(time);
    return change;
}

/* Moves the state along and records the change; the buffer holds the Value. */
static int publish(Live *self, const Kind *kind, PyObject *entity, Found *f, PyObject *snapshot, PyObject *changes) {
    PyObject *account, *user;
    if (owners(self, kind, entity, &account, &user) < 0) return -1;
    Py_INCREF(account); /* the entries they stand in may be replaced below */
    Py_INCREF(user);
    PyObject *value = PyBytes_FromStringAndSize((char *)self->buffer.data, self->buffer.used);
    PyObject *entry = value ? PyTuple_Pack(3, value, account, user) : NULL;
    int failed = entry == NULL ||
                 append(self->undo, PyTuple_Pack(3, kind->table, f->number, f->old ? f->old : Py_None)) < 0 ||
                 PyDict_SetItem(kind->table, f->number, entry) < 0 ||
                 append(changes, change_of(self, kind, f, value, account, user, snapshot)) < 0;
    Py_XDECREF(value);
    Py_XDECREF(entry);
    Py_DECREF(account);
    Py_DECREF(user);
    return failed ? -1 : 0;
}

typedef enum { UNTOLD, OWN, FOREIGN, ODD } Owner; /* ODD: not of 64 bits */

static Owner owner_of(const Live *self, const Kind *kind, PyObject *entity) {
    int64_t number;
    if (kind->owner_field == Py_None) return UNTOLD;
    PyObject *owner = value_of(entity, kind->owner_field);
    if (owner == NULL) return ODD;
    if (!PyLong_CheckExact(owner)) return UNTOLD;
    if (read_long(owner, &number) != DONE) return ODD;
    return is_own(self, number) ? OWN : FOREIGN;
}

/* Encodes, and finds what is published; touches nothing. */
static Outcome look(Live *self, const Kind *kind, PyObject *entity, Found *f) {
    self->buffer.used = 0;
    Outcome outcome = encode_value(kind->encoder, entity, &self->buffer, &f->time, &f->has_time);
    if (outcome != DONE) return outcome;
    if (self->buffer.used > self->max_value_bytes) return UNUSUAL;
    f->number = value_of(entity, self->id);
    f->old = Py_XNewRef(f->number ? PyDict_GetItemWithError(kind->table, f->number) : NULL);
    return f->old == NULL && PyErr_Occurred() ? FAILED : DONE;
}

static int is_published(const Live *self, const Found *f) {
    if (f->old == NULL || !PyTuple_Check(f->old) || PyTuple_Size(f->old) < 1) return 0;
    return is_content(PyTuple_GetItem(f->old, 0), self->buffer.data, self->buffer.used);
}

static Outcome upsert(Live *self, const Kind *kind, PyObject *entity, Found *f, PyObject *changes, Met *met) {
    Owner owner = owner_of(self, kind, entity);
    if (owner == ODD) return UNUSUAL;
    int known = PySet_Contains(kind->live, f->number);
    if (known < 0) return FAILED;
    if (!known && (PySet_Add(kind->live, f->number) < 0 ||
                   append(self->live_undo, PyTuple_Pack(2, kind->live, f->number)) < 0))
        return FAILED;
    met->events++;
    met->owned += owner == OWN;
    met->foreign += owner == FOREIGN;
    if (self->deduplicate && is_published(self, f)) {
        met->duplicates++;
        return DONE;
    }
    return publish(self, kind, entity, f, self->alive, changes) < 0 ? FAILED : DONE;
}

/* Rows that a live event has beaten, and foreign ones, are left to Python. */
static Outcome snapshot_row(Live *self, const Kind *kind, PyObject *entity, Found *f, PyObject *snapshot,
                            PyObject *changes, Met *met) {
    Owner owner = owner_of(self, kind, entity);
    if (owner == ODD || owner == FOREIGN) return UNUSUAL;
    int beaten = PySet_Contains(kind->live, f->number);
    if (beaten != 0) return beaten < 0 ? FAILED : UNUSUAL;
    if (PySet_Add(kind->seen, f->number) < 0) return FAILED;
    met->rows++;
    met->own_rows += owner == OWN;
    if (is_published(self, f)) {
        met->duplicates++;
        return DONE;
    }
    return publish(self, kind, entity, f, snapshot, changes) < 0 ? FAILED : DONE;
}

/* snapshot: NULL for a live event, else the word for this snapshot's rows. */
static Outcome take(Live *self, const Kind *kind, PyObject *entity, PyObject *snapshot, PyObject *changes, Met *met) {
    Found f = {0};
    Outcome outcome = look(self, kind, entity, &f);
    if (outcome == DONE)
        outcome = snapshot ? snapshot_row(self, kind, entity, &f, snapshot, changes, met)
                           : upsert(self, kind, entity, &f, changes, met);
    Py_XDECREF(f.old);
    return outcome;
}

/* ---- a frame's rows ---- */

typedef struct {
    const Kind *kind;
    PyObject *entities; /* borrowed from the row */
    int snapshot;
} Row;

static Outcome read_row(const Live *self, PyObject *row, Row *r) {
    if (!PyTuple_Check(row) || PyTuple_Size(row) != 5) return UNUSUAL;
    PyObject *type = PyTuple_GetItem(row, 0), *event = PyTuple_GetItem(row, 1), *snapshot = PyTuple_GetItem(row, 4);
    r->entities = PyTuple_GetItem(row, 2);
    r->snapshot = snapshot == Py_True;
    if (!PyUnicode_CheckExact(type) || !PyList_CheckExact(r->entities)) return UNUSUAL;
    if (!r->snapshot && PyUnicode_Check(event) && PyUnicode_CompareWithASCIIString(event, "Deleted") == 0) return UNUSUAL;
    PyObject *number = PyDict_GetItemWithError(self->numbers, type);
    if (number == NULL) return PyErr_Occurred() ? FAILED : UNUSUAL;
    r->kind = &self->kinds[PyLong_AsSsize_t(number)];
    if (r->snapshot && PyTuple_GetItem(row, 3) != Py_None)
        return PyObject_SetAttrString(r->kind->whole, "listed", Py_True) < 0 ? FAILED : DONE;
    return DONE;
}

/* From the entity at `*at` on; UNUSUAL: the one now at `*at` is Python's. */
static Outcome run_row(Live *self, PyObject *row, Py_ssize_t *at, int initial, PyObject *changes, Met *met) {
    Row r;
    PyObject *word = initial ? self->initial : self->reconcile;
    Outcome outcome = read_row(self, row, &r);
    for (; outcome == DONE && *at < PyList_Size(r.entities); *at += outcome == DONE) {
        PyObject *entity = Py_NewRef(PyList_GetItem(r.entities, *at));
        outcome = take(self, r.kind, entity, r.snapshot ? word : NULL, changes, met);
        Py_DECREF(entity);
    }
    return outcome;
}

static PyObject *live_run(Live *self, PyObject *arguments) {
    PyObject *rows, *changes;
    Py_ssize_t number, at;
    int initial;
    Met met = {0};
    if (!PyArg_ParseTuple(arguments, "OnnpO", &rows, &number, &at, &initial, &changes)) return NULL;
    if (!PyList_Check(rows) || !PyList_Check(changes) || number < 0 || at < 0) {
        PyErr_SetString(PyExc_TypeError, "run(rows, row, entity, initial, changes): rows and changes must be lists");
        return NULL;
    }
    Outcome outcome = DONE;
    while (outcome == DONE && number < PyList_Size(rows)) {
        PyObject *row = Py_NewRef(PyList_GetItem(rows, number));
        outcome = run_row(self, row, &at, initial, changes, &met);
        Py_DECREF(row);
        if (outcome == DONE) {
            number++;
            at = 0;
        }
    }
    buffer_shrink(&self->buffer);
    if (outcome == FAILED) return NULL;
    return Py_BuildValue("(nnllllll)", number, at, met.events, met.rows, met.duplicates, met.owned, met.own_rows,
                         met.foreign);
}

/* ---- making and ending one ---- */

static int take_kind(Live *self, PyTypeObject *encoder_type, PyObject *name, PyObject *parts, Py_ssize_t number) {
    PyObject **members = (PyObject **)&self->kinds[number];
    if (!PyTuple_Check(parts) || PyTuple_Size(parts) != PARTS) {
        PyErr_SetString(PyExc_TypeError, "a kind must be a tuple of eleven");
        return -1;
    }
    for (int i = 0; i < PARTS; i++) members[i] = Py_NewRef(PyTuple_GetItem(parts, i));
    const Kind *kind = &self->kinds[number];
    if (Py_TYPE(kind->encoder) != encoder_type || !PyDict_Check(kind->table) || !PySet_Check(kind->live) ||
        !PySet_Check(kind->seen) || !(kind->parent == Py_None || PyDict_Check(kind->parent))) {
        PyErr_SetString(PyExc_TypeError, "a kind must have a ValueEncoder, a dict, two sets, and a dict or None");
        return -1;
    }
    PyObject *index = PyLong_FromSsize_t(number);
    int set = index == NULL ? -1 : PyDict_SetItem(self->numbers, name, index);
    Py_XDECREF(index);
    return set;
}

static int take_kinds(Live *self, PyTypeObject *encoder_type, PyObject *kinds) {
    PyObject *name, *parts;
    Py_ssize_t position = 0;
    if ((self->numbers = PyDict_New()) == NULL) return -1;
    self->kinds = PyMem_Calloc((size_t)PyDict_Size(kinds) + 1, sizeof *self->kinds);
    if (self->kinds == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->count = PyDict_Size(kinds);
    for (Py_ssize_t number = 0; PyDict_Next(kinds, &position, &name, &parts); number++)
        if (take_kind(self, encoder_type, name, parts, number) < 0) return -1;
    return 0;
}

static PyObject *live_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *names[] = {"kinds",     "accounts",  "undo",        "live_undo",       "words",
                            "divisor",   "remainder", "deduplicate", "max_value_bytes", NULL};
    PyObject *kinds, *accounts, *undo, *live_undo, *read, *create, *update, *initial, *alive, *reconcile;
    long long divisor, remainder, max_value_bytes;
    int deduplicate;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O!O!O!O!(UUUUUU)LLpL", names, &PyDict_Type, &kinds, &PyDict_Type,
                                     &accounts, &PyList_Type, &undo, &PyList_Type, &live_undo, &read, &create, &update,
                                     &initial, &alive, &reconcile, &divisor, &remainder, &deduplicate, &max_value_bytes))
        return NULL;
    if (divisor < 1) {
        PyErr_SetString(PyExc_ValueError, "the divisor must be positive");
        return NULL;
    }
    State *state = PyType_GetModuleState(type);
    Live *self = state ? (Live *)PyType_GenericAlloc(type, 0) : NULL;
    if (self == NULL) return NULL;
    self->accounts = Py_NewRef(accounts);
    self->undo = Py_NewRef(undo);
    self->live_undo = Py_NewRef(live_undo);
    self->read = Py_NewRef(read);
    self->create = Py_NewRef(create);
    self->update = Py_NewRef(update);
    self->initial = Py_NewRef(initial);
    self->alive = Py_NewRef(alive);
    self->reconcile = Py_NewRef(reconcile);
    self->divisor = divisor;
    self->remainder = remainder;
    self->max_value_bytes = max_value_bytes;
    self->deduplicate = deduplicate;
    self->id = PyUnicode_InternFromString("id");
    if (self->id == NULL || take_kinds(self, state->encoder_type, kinds) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Kinds hold tables and sets, which never hold a Live: it can be part of no circle, so the collector need not see it. */
static void live_dealloc(Live *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (Py_ssize_t i = 0; i < self->count; i++)
        for (int part = 0; part < PARTS; part++) Py_XDECREF(((PyObject **)&self->kinds[i])[part]);
    PyMem_Free(self->kinds);
    PyObject *members[] = {self->numbers, self->accounts, self->undo,    self->live_undo, self->create, self->read,
                           self->update,  self->initial,  self->alive,   self->reconcile, self->id};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) Py_XDECREF(members[i]);
    buffer_free(&self->buffer);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)live_run, METH_VARARGS,
     "run(rows, row, entity, initial, changes) -> where it stopped and what it met, see _native.pyi"},
    {0}};

static PyType_Slot slots[] = {{Py_tp_new, live_new},
                              {Py_tp_dealloc, live_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Compares the usual rows of one shard with its state."},
                              {0, NULL}};

PyType_Spec live_spec = {"bridge.speed._native.Live", sizeof(Live), 0, Py_TPFLAGS_DEFAULT, slots};
