/* Express: frames that hold nothing but usual events, from their bytes to records. What session.py, reading.py, live.c,
   resend.py and envelope.c do for a frame is done here in one go, and no object is made but those that stay.

   A frame is read and encoded whole before anything is touched; one that holds anything unusual (a deletion, a field
   that is unknown, a number that does not fit ...) is left, untouched, to Python. See shard/frames.py. */

#include "parts.h"

#define MOST_OWNERS 100000

/* What is known of an entity type. */
typedef struct {
    const Kind *kind;              /* of the Live */
    const ValueEncoder *encoder;
    PyObject *bytes;               /* borrowed from the Splicer's types */
    PyObject *contents, *seen_ms;  /* of the Past, borrowed from `pasts`; NULL if it is no session type */
    int owner, account, user, parent; /* numbers of fields, -1 for none */
} Lane;

typedef struct {
    const Lane *lane;
    int64_t number, time;
    int has_time;
    Json owner, account, user, parent;
    Py_ssize_t start, size; /* of its Value in the buffer */
    PyObject *key;          /* the number as an object; ours */
    PyObject *old, *value, *account_id, *user_id; /* once it is published; ours */
} Event;

typedef struct {
    PyObject_HEAD
    Live *live;
    Splicer *splicer;
    PyObject *pasts;
    PyObject *owners; /* number -> the object that entries share */
    Lane *lanes;
    Words names; /* of entity types, numbered as the lanes */
    Bytes snapshot;
    Py_ssize_t largest, contents; /* of a frame, bytes; former contents that are remembered of a key */
    Buffer values;
    Event *events;
    Py_ssize_t count, room;
} Express;

typedef struct {
    long long events, duplicates, owned, foreign;
} Met;

/* ---- reading ---- */

static const Json NONE = {NULL, {0}, ABSENT};

static Json member_of(const Json *members, int field) { return field < 0 ? NONE : members[field]; }

static Event *new_event(Express *self) {
    if (self->count == self->room) {
        Py_ssize_t room = 2 * self->room + 16;
        Event *events = PyMem_Realloc(self->events, (size_t)room * sizeof *events);
        if (events == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        self->events = events;
        self->room = room;
    }
    Event *event = &self->events[self->count++];
    memset(event, 0, sizeof *event);
    return event;
}

static Outcome read_entity(Express *self, const Lane *lane, const char **at, const char *end) {
    Json members[MOST_FIELDS];
    Event *event = new_event(self);
    if (event == NULL) return FAILED;
    event->lane = lane;
    event->start = self->values.used;
    Outcome outcome = encode_text(lane->encoder, at, end, members, &self->values, &event->time, &event->has_time);
    if (outcome != DONE) return outcome;
    event->size = self->values.used - event->start;
    event->number = members[0].of.whole;
    event->owner = member_of(members, lane->owner);
    event->account = member_of(members, lane->account);
    event->user = member_of(members, lane->user);
    event->parent = member_of(members, lane->parent);
    return event->size > self->live->max_value_bytes ? UNUSUAL : DONE;
}

/* {"entityType": ..., "eventType": ..., "entity": {...}}, in any order. */
static Outcome read_change(Express *self, const char **from, const char *end) {
    const char *at = json_blank(*from), *entity = NULL;
    Json type = NONE, event = NONE, name, value;
    const Lane *lane = NULL;
    int read = 0;
    Outcome outcome;
    if (*at++ != '{') return UNUSUAL;
    for (int more = 1; more;) {
        if ((at = json_name(at, end, &name)) == NULL) return UNUSUAL;
        if (JSON_IS(&name, "entity")) {
            if (entity != NULL) return UNUSUAL;
            entity = at;
            read = lane != NULL;
            if (read && (outcome = read_entity(self, lane, &at, end)) != DONE) return outcome;
            if (!read && (at = json_value(at, end, &value, 0)) == NULL) return UNUSUAL;
        } else {
            if ((at = json_value(at, end, &value, 0)) == NULL) return UNUSUAL;
            if (JSON_IS(&name, "entityType")) {
                int number = type.kind == ABSENT && value.kind == TEXT ? words_find(&self->names, value.text, value.of.size) : -1;
                if (number < 0) return UNUSUAL;
                type = value;
                lane = &self->lanes[number];
            } else if (JSON_IS(&name, "eventType")) {
                if (value.kind != TEXT || JSON_IS(&value, "Deleted")) return UNUSUAL;
                event = value;
            }
        }
        if ((more = json_more(&at, '}')) < 0) return UNUSUAL;
    }
    *from = at;
    if (lane == NULL || event.kind == ABSENT || entity == NULL) return UNUSUAL;
    return read ? DONE : read_entity(self, lane, &entity, end);
}

/* {"e": "props", "d": {...}}; what else there may be means nothing. */
static Outcome read_message(Express *self, const char **from, const char *end) {
    const char *at = json_blank(*from);
    int events = 0, changes = 0;
    Outcome outcome;
    if (*at++ != '{') return UNUSUAL;
    for (int more = 1; more;) {
        Json name, value;
        if ((at = json_name(at, end, &name)) == NULL) return UNUSUAL;
        if (JSON_IS(&name, "d")) {
            if (changes++ > 0) return UNUSUAL;
            if ((outcome = read_change(self, &at, end)) != DONE) return outcome;
        } else {
            if ((at = json_value(at, end, &value, 0)) == NULL) return UNUSUAL;
            if (JSON_IS(&name, "e") && (events++ > 0 || !JSON_IS(&value, "props"))) return UNUSUAL;
        }
        if ((more = json_more(&at, '}')) < 0) return UNUSUAL;
    }
    *from = at;
    return events == 1 && changes == 1 ? DONE : UNUSUAL;
}

/* `a[message,...]` to events and Values in the buffer; touches nothing else. */
static Outcome read_frame(Express *self, PyObject *frame) {
    if (!PyBytes_CheckExact(frame)) return UNUSUAL;
    const char *at = PyBytes_AsString(frame), *end = at + PyBytes_Size(frame);
    if (end - at >= self->largest || at[0] != 'a' || at[1] != '[') return UNUSUAL;
    at += 2;
    self->count = self->values.used = 0;
    for (int more = 1; more;) {
        Outcome outcome = read_message(self, &at, end);
        if (outcome != DONE) return outcome;
        if ((more = json_more(&at, ']')) < 0) return UNUSUAL;
    }
    return json_blank(at) == end ? DONE : UNUSUAL;
}

/* ---- reading no more than whether it is plain ---- */

/* {"e": "props", ...} */
static const char *skip_message(const char *at, const char *end) {
    int events = 0;
    at = json_blank(at);
    if (*at++ != '{') return NULL;
    for (int more = 1; more;) {
        Json name, value;
        if ((at = json_name(at, end, &name)) == NULL || (at = json_value(at, end, &value, 0)) == NULL) return NULL;
        if (JSON_IS(&name, "e") && (events++ > 0 || !JSON_IS(&value, "props"))) return NULL;
        if ((more = json_more(&at, '}')) < 0) return NULL;
    }
    return events == 1 ? at : NULL;
}

PyObject *native_only_events(PyObject *module, PyObject *frame) {
    (void)module;
    const char *at = PyBytes_AsString(frame), *end;
    if (at == NULL) return NULL;
    end = at + PyBytes_Size(frame);
    if (at[0] != 'a' || at[1] != '[') Py_RETURN_FALSE;
    at += 2;
    for (int more = 1; more;) {
        if ((at = skip_message(at, end)) == NULL) Py_RETURN_FALSE;
        if ((more = json_more(&at, ']')) < 0) Py_RETURN_FALSE;
    }
    return PyBool_FromLong(json_blank(at) == end);
}

/* ---- publishing ---- */

/* An owner that an entity names itself, ours. All entries share one object of the same owner, which is in the caches
   when theirs would not be. */
static PyObject *named_owner(const Express *self, const Json *owner) {
    if (owner->kind != WHOLE) return Py_NewRef(Py_None);
    PyObject *number = PyLong_FromLongLong(owner->of.whole);
    PyObject *shared = number ? PyDict_GetItemWithError(self->owners, number) : NULL;
    if (shared != NULL) {
        Py_INCREF(shared);
        Py_DECREF(number);
        return shared;
    }
    if (number == NULL || PyErr_Occurred()) goto failed;
    if (PyDict_Size(self->owners) == MOST_OWNERS) PyDict_Clear(self->owners);
    if (PyDict_SetItem(self->owners, number, number) == 0) return number;
failed:
    Py_XDECREF(number);
    return NULL;
}

/* A member of the published entry of a key, None if the key is unknown; ours. */
static PyObject *entry_of(PyObject *table, PyObject *number, Py_ssize_t member) {
    PyObject *entry = PyDict_GetItemWithError(table, number);
    if (entry == NULL) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    return Py_XNewRef(PyTuple_GetItem(entry, member));
}

static PyObject *parents_account(const Lane *lane, const Event *event) {
    if (event->parent.kind != WHOLE) return Py_NewRef(Py_None);
    PyObject *number = PyLong_FromLongLong(event->parent.of.whole);
    PyObject *account = number ? entry_of(lane->kind->parent, number, 1) : NULL;
    Py_XDECREF(number);
    return account;
}

/* See `Reconciler.owners`. */
static int find_owners(const Express *self, Event *event) {
    const Lane *lane = event->lane;
    event->account_id = lane->parent >= 0 ? parents_account(lane, event) : named_owner(self, &event->account);
    if (event->account_id == NULL) return -1;
    if (lane->user >= 0 || event->account_id == Py_None)
        event->user_id = named_owner(self, &event->user);
    else
        event->user_id = entry_of(self->live->accounts, event->account_id, 2);
    return event->user_id == NULL ? -1 : 0;
}

/* See `Past`: what was there before, and that the key was seen. */
static int remember(const Express *self, const Event *event, PyObject *before, PyObject *now_ms) {
    const Lane *lane = event->lane;
    PyObject *number = event->key;
    if (lane->seen_ms == NULL) return 0;
    if (PyDict_SetItem(lane->seen_ms, number, now_ms) < 0) return -1;
    if (before == NULL) return 0;
    PyObject *hash = PyLong_FromSsize_t(PyObject_Hash(before)), *known = PyDict_GetItemWithError(lane->contents, number);
    int failed = hash == NULL || (known == NULL && PyErr_Occurred());
    if (!failed && known == NULL) {
        PyObject *first = PyList_New(0);
        failed = first == NULL || PyList_Append(first, hash) < 0 || PyDict_SetItem(lane->contents, number, first) < 0;
        Py_XDECREF(first);
    } else if (!failed) {
        failed = PyList_Append(known, hash) < 0;
        if (!failed && PyList_Size(known) > self->contents) failed = PyList_SetSlice(known, 0, 1, NULL) < 0;
    }
    Py_XDECREF(hash);
    return failed ? -1 : 0;
}

static int store(Express *self, Event *event) {
    const void *value = self->values.data + event->start;
    if (find_owners(self, event) < 0) return -1;
    if ((event->value = PyBytes_FromStringAndSize(value, event->size)) == NULL) return -1;
    PyObject *entry = PyTuple_Pack(3, event->value, event->account_id, event->user_id);
    int failed = entry == NULL || PyDict_SetItem(event->lane->kind->table, event->key, entry) < 0;
    Py_XDECREF(entry);
    return failed ? -1 : 0;
}

static void count(const Express *self, const Event *event, Met *met) {
    met->events++;
    if (event->owner.kind != WHOLE) return;
    int own = is_own(self->live, event->owner.of.whole);
    met->owned += own;
    met->foreign += !own;
}

/* Names the keys of all events, and looks their entries up for nothing but to have them in the caches: where there are
   many, they come from memory, and those of several events come at the same time. */
static int approach(Express *self) {
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Event *event = &self->events[i];
        if ((event->key = PyLong_FromLongLong(event->number)) == NULL) return -1;
        if (PySet_Add(event->lane->kind->live, event->key) < 0) return -1;
        const void *entry = PyDict_GetItemWithError(event->lane->kind->table, event->key);
        if (entry != NULL) __builtin_prefetch(entry);
    }
    for (Py_ssize_t i = 0; self->count > 1 && i < self->count; i++) {
        const Event *event = &self->events[i];
        PyObject *entry = PyDict_GetItemWithError(event->lane->kind->table, event->key);
        const char *before = entry ? (const char *)PyTuple_GetItem(entry, 0) : NULL;
        for (Py_ssize_t at = 0; before != NULL && at < event->size + 32; at += 64) __builtin_prefetch(before + at);
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* See `Reconciler.publish`; `event->value` tells whether it is to be published. */
static int publish(Express *self, Event *event, PyObject *now_ms, Met *met) {
    const Kind *kind = event->lane->kind;
    count(self, event, met);
    event->old = Py_XNewRef(PyDict_GetItemWithError(kind->table, event->key));
    if (event->old == NULL && PyErr_Occurred()) return -1;
    PyObject *before = event->old ? PyTuple_GetItem(event->old, 0) : NULL;
    if (self->live->deduplicate && before && is_content(before, self->values.data + event->start, event->size)) {
        met->duplicates++;
        return 0;
    }
    return store(self, event) < 0 ? -1 : remember(self, event, before, now_ms);
}

static int put_records(Express *self, const Event *event, const Frame *frame) {
    Change change = {.kind = event->lane->bytes, .number = event->number, .ts_ms = event->time,
                     .has_time = event->has_time, .op = event->old ? 'u' : 'c', .snapshot = self->snapshot};
    change.has_account = event->account_id != Py_None && read_long(event->account_id, &change.account) == DONE;
    change.has_user = event->user_id != Py_None && read_long(event->user_id, &change.user) == DONE;
    if (event->old && take_bytes(PyTuple_GetItem(event->old, 0), &change.before) < 0) return -1;
    return take_bytes(event->value, &change.after) < 0 ? -1 : splice(self->splicer, &change, frame);
}

/* All that was read of a frame; the sequence numbers go on from `frame->seq`. */
static int publish_frame(Express *self, Frame *frame, PyObject *now_ms, Met *met) {
    int failed = approach(self) < 0;
    frame->last = frame->seq;
    for (Py_ssize_t i = 0; !failed && i < self->count; i++) {
        failed = publish(self, &self->events[i], now_ms, met) < 0;
        frame->last += !failed && self->events[i].value != NULL;
    }
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Event *event = &self->events[i];
        if (!failed && event->value != NULL) {
            frame->seq++;
            failed = put_records(self, event, frame) < 0;
        }
        Py_XDECREF(event->key);
        Py_XDECREF(event->old);
        Py_XDECREF(event->value);
        Py_XDECREF(event->account_id);
        Py_XDECREF(event->user_id);
    }
    return failed ? -1 : 0;
}

/* ---- frames ---- */

static Outcome take_frames(Express *self, PyObject *frames, Py_ssize_t *at, Frame *frame, PyObject *now_ms, Met *met) {
    for (; *at < PyList_Size(frames); ++*at, frame->frame++) {
        PyObject *raw = Py_NewRef(PyList_GetItem(frames, *at));
        Outcome outcome = read_frame(self, raw);
        Py_DECREF(raw); /* its values are in the buffer now */
        if (outcome == DONE && publish_frame(self, frame, now_ms, met) < 0) outcome = FAILED;
        if (outcome != DONE) return outcome;
    }
    return DONE;
}

static PyObject *express_take(Express *self, PyObject *arguments) {
    PyObject *frames, *now_ms, *batches;
    Py_ssize_t start;
    long long number, received_us, seq;
    Met met = {0};
    if (!PyArg_ParseTuple(arguments, "OnLLOLO", &frames, &start, &number, &received_us, &now_ms, &seq, &batches))
        return NULL;
    if (!PyList_Check(frames) || start < 0 || !PyLong_CheckExact(now_ms) || !PyDict_Check(batches)) {
        PyErr_SetString(PyExc_TypeError, "take(frames, start, number, received_us, now_ms, seq, batches)");
        return NULL;
    }
    PyObject *state = Py_XNewRef(records_of(self->splicer, batches, self->splicer->state_topic));
    if (state == NULL) return NULL;
    Frame frame = {seq, seq, number, received_us, PyLong_AsLongLong(now_ms), 0, batches, state};
    Py_ssize_t at = start;
    Outcome outcome = take_frames(self, frames, &at, &frame, now_ms, &met);
    Py_DECREF(state);
    buffer_shrink(&self->values);
    if (outcome == FAILED) return NULL;
    return Py_BuildValue("(nLLLLL)", at - start, (long long)frame.seq, met.events, met.duplicates, met.owned, met.foreign);
}

/* ---- making and ending one ---- */

/* The number of a field that must be whole; -1 for None, -2 for one that this cannot do. */
static int whole_field(const ValueEncoder *encoder, PyObject *name) {
    Py_ssize_t size;
    if (name == Py_None) return -1;
    const char *text = PyUnicode_AsUTF8AndSize(name, &size);
    int number = text == NULL ? -1 : words_find(&encoder->names, text, size);
    return number < 0 || encoder->fields[number].kind != LONG ? -2 : number;
}

static int take_past(Lane *lane, PyObject *past) {
    lane->contents = past ? PyTuple_GetItem(past, 0) : NULL;
    lane->seen_ms = past ? PyTuple_GetItem(past, 1) : NULL;
    if (past == NULL) return 0;
    if (lane->contents && lane->seen_ms && PyDict_Check(lane->contents) && PyDict_Check(lane->seen_ms)) return 0;
    PyErr_SetString(PyExc_TypeError, "a past must be a tuple of two dicts");
    return -1;
}

/* Types with an owner that this cannot find are left out: their events are unusual. */
static int add_lane(Express *self, const Kind *kind) {
    Py_ssize_t size;
    Lane *lane = &self->lanes[self->names.count];
    const char *name = PyUnicode_AsUTF8AndSize(kind->name, &size);
    lane->kind = kind;
    lane->encoder = (const ValueEncoder *)kind->encoder;
    lane->bytes = item_of(self->splicer->types, kind->name);
    if (name == NULL || lane->bytes == NULL) return -1;
    if (take_past(lane, PyDict_GetItemWithError(self->pasts, kind->name)) < 0 || PyErr_Occurred()) return -1;
    lane->owner = whole_field(lane->encoder, kind->owner_field);
    lane->parent = kind->parent == Py_None ? -1 : whole_field(lane->encoder, kind->parent_field);
    lane->account = lane->parent == -1 ? whole_field(lane->encoder, kind->account_field) : -1;
    lane->user = whole_field(lane->encoder, kind->user_field);
    if (PyErr_Occurred()) return -1;
    if (lane->owner > -2 && lane->parent > -2 && lane->account > -2 && lane->user > -2)
        words_add(&self->names, name, size);
    return 0;
}

static int add_lanes(Express *self) {
    Py_ssize_t count = self->live->count;
    self->lanes = PyMem_Calloc((size_t)count + 1, sizeof *self->lanes);
    if (self->lanes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (words_make(&self->names, (int)count) < 0) return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (add_lane(self, &self->live->kinds[i]) < 0) return -1;
    return take_bytes(item_of(self->splicer->snapshots, self->live->alive), &self->snapshot);
}

static PyObject *express_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *names[] = {"live", "splicer", "pasts", "contents", "largest", NULL};
    PyObject *live, *splicer, *pasts;
    Py_ssize_t contents, largest;
    State *state = PyType_GetModuleState(type);
    if (state == NULL || !PyArg_ParseTupleAndKeywords(arguments, named, "O!O!O!nn", names, state->live_type, &live,
                                                      state->splicer_type, &splicer, &PyDict_Type, &pasts, &contents, &largest))
        return NULL;
    Express *self = (Express *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    self->live = (Live *)Py_NewRef(live);
    self->splicer = (Splicer *)Py_NewRef(splicer);
    self->contents = contents;
    self->largest = largest;
    if ((self->pasts = PyDict_Copy(pasts)) == NULL || (self->owners = PyDict_New()) == NULL || add_lanes(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void express_dealloc(Express *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF((PyObject *)self->live);
    Py_XDECREF((PyObject *)self->splicer);
    Py_XDECREF(self->pasts);
    Py_XDECREF(self->owners);
    PyMem_Free(self->lanes);
    PyMem_Free(self->events);
    words_free(&self->names);
    buffer_free(&self->values);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"take", (PyCFunction)express_take, METH_VARARGS,
     "take(frames, start, number, received_us, now_ms, seq, batches) -> what was taken and met, see _native.pyi"},
    {0}};

static PyType_Slot slots[] = {{Py_tp_new, express_new},
                              {Py_tp_dealloc, express_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Takes frames of nothing but usual events from their bytes to records."},
                              {0, NULL}};

PyType_Spec express_spec = {"bridge.speed._native.Express", sizeof(Express), 0, Py_TPFLAGS_DEFAULT, slots};
