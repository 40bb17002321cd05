/* The module `_native`: its types, its one function, and the sources it was built from. */

#include "native.h"

#ifndef SOURCES
#define SOURCES "unknown"
#endif

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int added = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    if (kept != NULL && added == 0) *kept = (PyTypeObject *)Py_NewRef(type);
    Py_XDECREF(type);
    return added;
}

static int execute(PyObject *module) {
    State *state = PyModule_GetState(module);
    if ((state->e = PyUnicode_InternFromString("e")) == NULL || (state->d = PyUnicode_InternFromString("d")) == NULL ||
        (state->entity = PyUnicode_InternFromString("entity")) == NULL ||
        (state->entity_type = PyUnicode_InternFromString("entityType")) == NULL ||
        (state->event_type = PyUnicode_InternFromString("eventType")) == NULL)
        return -1;
    if (add_type(module, &encoder_spec, &state->encoder_type) < 0 ||
        add_type(module, &splicer_spec, &state->splicer_type) < 0 ||
        add_type(module, &live_spec, &state->live_type) < 0 ||
        add_type(module, &records_spec, &state->records_type) < 0 || add_type(module, &express_spec, NULL) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "SOURCES", SOURCES);
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    Py_VISIT(state->encoder_type);
    Py_VISIT(state->records_type);
    Py_VISIT(state->live_type);
    Py_VISIT(state->splicer_type);
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->encoder_type);
    Py_CLEAR(state->records_type);
    Py_CLEAR(state->live_type);
    Py_CLEAR(state->splicer_type);
    Py_CLEAR(state->e);
    Py_CLEAR(state->d);
    Py_CLEAR(state->entity);
    Py_CLEAR(state->entity_type);
    Py_CLEAR(state->event_type);
    return 0;
}

static void release(void *module) { clear(module); }

static PyMethodDef functions[] = {
    {"cut", (PyCFunction)(void (*)(void))native_cut, METH_FASTCALL,
     "cut(data, at, most_bytes) -> messages, where the rest begins, how long its first frame is; see source/scanner.py"},
    {"only_events", native_only_events, METH_O, "only_events(frame) -> whether it is known to hold nothing but events"},
    {"read_rows", (PyCFunction)(void (*)(void))native_read_rows, METH_FASTCALL,
     "read_rows(messages, first, rows) -> the first message that is not of the usual form"},
    {0}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The hot path of syncbridge in C; see bridge/speed/__init__.py.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
