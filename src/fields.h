/* SPDX-License-Identifier: MIT */
/*
 * fields.h - the fields of the protocol's structures by name: what a trace prints, and what a replay translates and
 * compares.
 */
#ifndef FRACTAL_FIELDS_H
#define FRACTAL_FIELDS_H
#include "fractal.h"

enum field_kind {
	FIELD_NUMBER,
	FIELD_SIGNED,
	FIELD_OCTAL, /* a mode */
	FIELD_FLAGS,
	FIELD_INO, /* a nodeid */
	FIELD_FH,  /* a file handle */
	FIELD_VARIES, /* differs from run to run: times, numbers of the backing filesystem, free space */
};

struct field {
	const char *name;
	uint16_t offset;
	uint8_t size; /* bytes: 2, 4 or 8 */
	uint8_t kind; /* enum field_kind */
	bool shown;   /* in a trace */
	uint32_t
		when; /* it means something where one of these bits is in the structure's first word; 0: always */
};

struct field_list {
	const struct field *fields;
	uint32_t count;
};

/* Fields of an operation's in-structure; those it has not are left out. */
struct field_list fields_of_request(uint32_t opcode);

/* Fields of the structure that a successful reply begins with. */
struct field_list fields_of_reply(const struct fractal_request *req);

/* The value in the structure at @base. */
uint64_t field_get(const struct field *field, const void *base);
void field_set(const struct field *field, void *base, uint64_t value);

/* Does the field mean something in the structure at @base? */
bool field_applies(const struct field *field, const void *base);

/* Writes "mode 0644" at @to: a field's name and value. Returns where it ended. */
char *field_put(char *to, const struct field *field, uint64_t value);

#endif
