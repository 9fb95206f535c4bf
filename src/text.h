/* SPDX-License-Identifier: MIT */
/*
 * text.h - appends text where room has been made before: for lines that are written too often for printf.
 */
#ifndef FRACTAL_TEXT_H
#define FRACTAL_TEXT_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Each put_ function writes at @to and returns where it ended. */

static inline char *put_bytes(char *to, const char *bytes, size_t len)
{
	memcpy(to, bytes, len);
	return to + len;
}

static inline char *put_text(char *to, const char *text)
{
	return put_bytes(to, text, strlen(text));
}

/* At least @width digits of a number, in base 8, 10 or 16. */
char *put_digits(char *to, uint64_t value, unsigned base, int width);

static inline char *put_number(char *to, uint64_t value)
{
	return put_digits(to, value, 10, 1);
}

char *put_signed(char *to, int64_t value);

enum {
	TEXT_ESCAPED_MAX = 6 /* characters that one byte may become */
};

enum text_style {
	TEXT_JSON, /* \u00NN; a byte that is no part of UTF-8 is a lone surrogate, \udcNN (Python's surrogateescape) */
	TEXT_SHOWN, /* \xNN, which does no harm on a terminal */
};

/* Any bytes, as they stand between double quotes. */
char *put_escaped(char *to, enum text_style style, const char *bytes, size_t len);

static inline char *put_string(char *to, enum text_style style, const char *bytes, size_t len)
{
	*to++ = '"';
	to = put_escaped(to, style, bytes, len);
	*to++ = '"';
	return to;
}

#endif
