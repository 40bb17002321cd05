/* cut: a server's bytes into whole text messages, as `cut` of source/scanner.py does, which says what the result means. */

#include "native.h"

#define TEXT_FRAME 0x81
#define SHORTEST 125
#define UNMASKED 127

typedef struct {
    Py_ssize_t start, size; /* of the message: where it begins in the frame, and its length */
} Head;

/* The head of the frame at `at`, of which `left` bytes are there, at least two. DONE; UNUSUAL: it is not plain;
   FAILED, without an exception: too little is there. */
static Outcome read_head(const unsigned char *at, Py_ssize_t left, Head *head) {
    int control = at[0] == 0x88 || at[0] == 0x89 || at[0] == 0x8A, longer = at[1] > SHORTEST;
    if (at[1] > UNMASKED || (at[0] != TEXT_FRAME && (!control || longer))) return UNUSUAL;
    head->start = at[1] == 126 ? 4 : at[1] == 127 ? 10 : 2;
    if (head->start > left) return FAILED;
    uint64_t size = longer ? 0 : at[1];
    for (int i = 2; i < head->start; i++) size = size << 8 | at[i];
    head->size = size > PY_SSIZE_T_MAX / 2 ? PY_SSIZE_T_MAX / 2 : (Py_ssize_t)size;
    return DONE;
}

/* Appends messages, moves `at` behind them, and gives the length of what is there; -2: an exception is set. */
static Py_ssize_t cut(const unsigned char *data, Py_ssize_t *at, Py_ssize_t end, Py_ssize_t most, PyObject *messages) {
    while (end - *at > 1) {
        Head head;
        Outcome outcome = read_head(data + *at, end - *at, &head);
        if (outcome != DONE) return outcome == UNUSUAL ? -1 : 0;
        if (head.size > most) return -1;
        Py_ssize_t size = head.start + head.size;
        if (size > end - *at || data[*at] != TEXT_FRAME) return size;
        if (append(messages, PyBytes_FromStringAndSize((const char *)data + *at + head.start, head.size)) < 0) return -2;
        *at += size;
    }
    return 0;
}

PyObject *native_cut(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 3 || !PyBytes_CheckExact(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "cut(data, at, most_bytes): data must be bytes");
        return NULL;
    }
    Py_ssize_t at = PyLong_AsSsize_t(arguments[1]), most = PyLong_AsSsize_t(arguments[2]);
    if (PyErr_Occurred()) return NULL;
    if (at < 0) {
        PyErr_SetString(PyExc_ValueError, "at must not be negative");
        return NULL;
    }
    PyObject *messages = PyList_New(0);
    if (messages == NULL) return NULL;
    const unsigned char *data = (const unsigned char *)PyBytes_AsString(arguments[0]);
    Py_ssize_t size = cut(data, &at, PyBytes_Size(arguments[0]), most, messages);
    if (size == -2) {
        Py_DECREF(messages);
        return NULL;
    }
    return Py_BuildValue("(Nnn)", messages, at, size);
}
