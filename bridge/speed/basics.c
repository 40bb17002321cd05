/* Buffers, Avro's numbers, and the strict reading of single values. */

#include "native.h"

#define KEPT (64 * 1024)
#define EXACT 9007199254740992.0 /* 2**53: no float below it can be an integer that was rounded on the way in */

int buffer_reserve(Buffer *buffer, Py_ssize_t more) {
    if (more <= buffer->room - buffer->used) return 0;
    if (more > PY_SSIZE_T_MAX / 4 - buffer->used) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t room = 2 * (buffer->used + more) + 512;
    unsigned char *data = PyMem_Realloc(buffer->data, (size_t)room);
    if (data == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    buffer->data = data;
    buffer->room = room;
    return 0;
}

void buffer_free(Buffer *buffer) {
    PyMem_Free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}

void buffer_shrink(Buffer *buffer) {
    buffer->used = 0;
    if (buffer->room > KEPT) buffer_free(buffer);
}

void put_varint(Buffer *buffer, int64_t number) {
    uint64_t rest = ((uint64_t)number << 1) ^ (number < 0 ? ~(uint64_t)0 : 0); /* zigzag */
    unsigned char *at = buffer->data + buffer->used;
    while (rest > 0x7F) {
        *at++ = (unsigned char)(rest | 0x80);
        rest >>= 7;
    }
    *at++ = (unsigned char)rest;
    buffer->used = at - buffer->data;
}

void put_bytes(Buffer *buffer, const void *data, Py_ssize_t size) {
    if (size > 0) memcpy(buffer->data + buffer->used, data, (size_t)size);
    buffer->used += size;
}

Outcome put_double(Buffer *buffer, double number) {
    if (!(-EXACT < number && number < EXACT)) return UNUSUAL;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    for (int shift = 0; shift < 64; shift += 8) put_byte(buffer, (unsigned char)(bits >> shift));
    return DONE;
}

Outcome put_time_of_day(Buffer *buffer, int64_t hour, int64_t minute) {
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return UNUSUAL;
    put_varint(buffer, (hour * 60 + minute) * 60000);
    return DONE;
}

int append(PyObject *list, PyObject *item) {
    int appended = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return appended;
}

int is_content(PyObject *bytes, const void *data, Py_ssize_t size) {
    return PyBytes_CheckExact(bytes) && PyBytes_Size(bytes) == size &&
           memcmp(PyBytes_AsString(bytes), data, (size_t)size) == 0;
}

Outcome read_long(PyObject *value, int64_t *number) {
    int overflow;
    if (!PyLong_CheckExact(value)) return UNUSUAL;
    *number = PyLong_AsLongLongAndOverflow(value, &overflow); /* cannot fail for an exact int */
    return overflow ? UNUSUAL : DONE;
}

Outcome read_text(PyObject *value, const char **text, Py_ssize_t *size) {
    if (!PyUnicode_CheckExact(value)) return UNUSUAL;
    *text = PyUnicode_AsUTF8AndSize(value, size);
    if (*text != NULL) return DONE;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return FAILED;
    PyErr_Clear();
    return UNUSUAL;
}

Outcome days_of(int64_t year, int64_t month, int64_t day, int64_t *days) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) return UNUSUAL;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > before[month] - before[month - 1] + (month == 2 && leap)) return UNUSUAL;
    int64_t past = year - 1; /* whole years since 0001-01-01; 719,163 days later it is 1970-01-01 */
    *days = past * 365 + past / 4 - past / 100 + past / 400 - 719163 + 1;
    *days += before[month - 1] + (month > 2 && leap) + day - 1;
    return DONE;
}

/* `count` ASCII digits as a number, -1 if they are not all digits. */
static int digits(const char *text, int count) {
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* From `.` to the zone: up to three digits count, further ones must be zeros. Moves `text` to the zone. */
static int fraction(const char **text, const char *end) {
    int millis = 0, count = 0;
    const char *at = *text + 1;
    for (; at < end && *at >= '0' && *at <= '9'; at++, count++) {
        if (count < 3) {
            millis = millis * 10 + (*at - '0');
        } else if (*at != '0') {
            return -1;
        }
    }
    if (count == 0) return -1;
    for (; count < 3; count++) millis *= 10;
    *text = at;
    return millis;
}

Outcome millis_of(const char *text, Py_ssize_t size, int64_t *millis) {
    if (size < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':')
        return UNUSUAL;
    int hour = digits(text + 11, 2), minute = digits(text + 14, 2), second = digits(text + 17, 2), finer = 0;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return UNUSUAL;
    int64_t days;
    if (days_of(digits(text, 4), digits(text + 5, 2), digits(text + 8, 2), &days) != DONE) return UNUSUAL;
    const char *end = text + size;
    text += 19;
    if (*text == '.' && (finer = fraction(&text, end)) < 0) return UNUSUAL;
    if (!(end - text == 1 && *text == 'Z') && !(end - text == 6 && memcmp(text, "+00:00", 6) == 0)) return UNUSUAL;
    *millis = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + finer;
    return DONE;
}
