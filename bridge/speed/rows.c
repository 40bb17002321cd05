/* read_rows: messages of the usual form, `{"e":"props","d":{"entityType":T,"eventType":E,"entity":{...}}}`, as rows.
   See app/reading.py, which does all other forms. */

#include "native.h"

typedef struct {
    PyObject *type, *event, *entity; /* borrowed from the message */
} Props;

/* DONE: the member is there; borrowed. Keys are str literals, so nothing can fail but memory. */
static Outcome member(PyObject *object, PyObject *name, PyObject **value) {
    *value = PyDict_GetItemWithError(object, name);
    return *value != NULL ? DONE : PyErr_Occurred() ? FAILED : UNUSUAL;
}

static Outcome read_props(const State *names, PyObject *message, Props *props) {
    PyObject *event, *data;
    Outcome outcome;
    if (!PyDict_CheckExact(message)) return UNUSUAL;
    if ((outcome = member(message, names->e, &event)) != DONE) return outcome;
    if (!PyUnicode_CheckExact(event) || PyUnicode_CompareWithASCIIString(event, "props") != 0) return UNUSUAL;
    if ((outcome = member(message, names->d, &data)) != DONE) return outcome;
    if (!PyDict_CheckExact(data)) return UNUSUAL;
    if ((outcome = member(data, names->entity_type, &props->type)) != DONE) return outcome;
    if ((outcome = member(data, names->event_type, &props->event)) != DONE) return outcome;
    if ((outcome = member(data, names->entity, &props->entity)) != DONE) return outcome;
    int usual = PyUnicode_CheckExact(props->type) && PyUnicode_CheckExact(props->event);
    return usual && PyDict_CheckExact(props->entity) ? DONE : UNUSUAL;
}

static int append_row(PyObject *rows, const Props *props) {
    PyObject *type = Py_NewRef(props->type), *event = Py_NewRef(props->event), *entities = PyList_New(1);
    PyObject *row = NULL;
    if (entities != NULL) {
        PyList_SetItem(entities, 0, Py_NewRef(props->entity));
        row = PyTuple_Pack(5, type, event, entities, Py_None, Py_False);
    }
    int appended = row == NULL ? -1 : PyList_Append(rows, row);
    Py_XDECREF(row);
    Py_XDECREF(entities);
    Py_DECREF(type);
    Py_DECREF(event);
    return appended;
}

PyObject *native_read_rows(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    if (count != 3 || !PyList_Check(arguments[0]) || !PyList_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "read_rows(messages, first, rows): messages and rows must be lists");
        return NULL;
    }
    Py_ssize_t number = PyLong_AsSsize_t(arguments[1]);
    if (number < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "first must not be negative");
        return NULL;
    }
    const State *names = PyModule_GetState(module);
    Outcome outcome = DONE;
    for (; number < PyList_Size(arguments[0]); number++) {
        Props props;
        PyObject *message = Py_NewRef(PyList_GetItem(arguments[0], number));
        outcome = read_props(names, message, &props);
        if (outcome == DONE && append_row(arguments[2], &props) < 0) outcome = FAILED;
        Py_DECREF(message);
        if (outcome != DONE) break;
    }
    return outcome == FAILED ? NULL : PyLong_FromSsize_t(number);
}
