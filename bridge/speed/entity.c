/* From the text of an entity to the Avro bytes of its Value, without a Python object between; what encoder.c does from
   a decoded entity, field by field, is done here from the text. */

#include "parts.h"

/* ---- single values; room for twelve bytes a field, and for all text there is, has been reserved ---- */

static Outcome put_number(Buffer *out, const Json *value) {
    if (value->kind == FRACTION) return put_double(out, value->of.fraction);
    return value->kind == WHOLE ? put_double(out, (double)value->of.whole) : UNUSUAL; /* exact, or at least 2**53 */
}

static Outcome put_symbol(Buffer *out, const Field *field, const Json *value) {
    int number = value->kind == TEXT ? words_find(&field->words, value->text, value->of.size) : -1;
    if (number < 0) return UNUSUAL;
    put_bytes(out, field->encoded[number].text, field->encoded[number].size);
    return DONE;
}

/* The members of a small object, which must be just these, each a whole number. */
static Outcome parts_of(const Json *object, const char *const *names, int count, int64_t *numbers) {
    int found = 0;
    if (object->kind != NESTED || *object->text != '{') return UNUSUAL;
    const char *at = object->text + 1, *end = object->text + object->of.size;
    for (int more = 1; more;) {
        Json name, value;
        if ((at = json_name(at, end, &name)) == NULL || (at = json_value(at, end, &value, 0)) == NULL) return UNUSUAL;
        int number = 0;
        while (number < count && !json_is(&name, names[number], (Py_ssize_t)strlen(names[number]))) number++;
        if (number == count || value.kind != WHOLE) return UNUSUAL;
        found |= 1 << number;
        numbers[number] = value.of.whole;
        if ((more = json_more(&at, '}')) < 0) return UNUSUAL;
    }
    return found == (1 << count) - 1 ? DONE : UNUSUAL;
}

static Outcome put_days(Buffer *out, const Json *value) {
    static const char *const names[] = {"year", "month", "day"};
    int64_t parts[3], days;
    if (parts_of(value, names, 3, parts) != DONE || days_of(parts[0], parts[1], parts[2], &days) != DONE) return UNUSUAL;
    put_varint(out, days);
    return DONE;
}

static Outcome put_time(Buffer *out, const Json *value) {
    static const char *const names[] = {"hour", "minute"};
    int64_t parts[2];
    return parts_of(value, names, 2, parts) == DONE ? put_time_of_day(out, parts[0], parts[1]) : UNUSUAL;
}

static Outcome put_value(Buffer *out, const Field *field, const Json *value, int64_t *time) {
    switch (field->kind) {
    case LONG:
        if (value->kind != WHOLE) return UNUSUAL;
        put_varint(out, value->of.whole);
        return DONE;
    case DOUBLE:
        return put_number(out, value);
    case BOOLEAN:
        if (value->kind != YES && value->kind != NO) return UNUSUAL;
        put_byte(out, value->kind == YES);
        return DONE;
    case STRING:
        if (value->kind != TEXT) return UNUSUAL;
        put_varint(out, value->of.size);
        put_bytes(out, value->text, value->of.size);
        return DONE;
    case ENUM:
        return put_symbol(out, field, value);
    case MILLIS:
        if (value->kind != TEXT || millis_of(value->text, value->of.size, time) != DONE) return UNUSUAL;
        put_varint(out, *time);
        return DONE;
    case DAYS:
        return put_days(out, value);
    case TIME:
        return put_time(out, value);
    default:
        return UNUSUAL;
    }
}

/* ---- the entity ---- */

/* Sorts the members by field. A null is an absent field, whatever its name. */
static const char *collect(const ValueEncoder *self, const char *at, const char *end, Json *members) {
    at = json_blank(at);
    if (*at++ != '{') return NULL;
    for (int more = 1; more;) {
        Json name, value;
        if ((at = json_name(at, end, &name)) == NULL || (at = json_value(at, end, &value, 0)) == NULL) return NULL;
        int number = words_find(&self->names, name.text, name.of.size);
        if (number < 0 && value.kind != NOTHING) return NULL;
        if (number >= 0) members[number] = value; /* of two of a name, the second counts */
        if ((more = json_more(&at, '}')) < 0) return NULL;
    }
    return at;
}

Outcome encode_text(const ValueEncoder *self, const char **at, const char *end, Json *members, Buffer *out,
                    int64_t *time, int *has_time) {
    const char *from = *at;
    *has_time = 0;
    memset(members, 0, (size_t)self->count * sizeof *members);
    if ((*at = collect(self, from, end, members)) == NULL || members[0].kind != WHOLE) return UNUSUAL;
    if (buffer_reserve(out, 12 * self->count + 1 + (*at - from)) < 0) return FAILED;
    put_varint(out, members[0].of.whole);
    for (int i = 1; i < self->count; i++) {
        const Json *value = &members[i];
        if (value->kind == ABSENT || value->kind == NOTHING) {
            put_byte(out, 0); /* branch 0: null */
            continue;
        }
        int64_t moment = 0;
        put_byte(out, 2); /* branch 1 */
        if (put_value(out, &self->fields[i], value, &moment) != DONE) return UNUSUAL;
        if (i == self->time_field) {
            *time = moment;
            *has_time = 1;
        }
    }
    put_byte(out, 0); /* unmapped: no entries */
    return DONE;
}
