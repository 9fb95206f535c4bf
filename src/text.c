/* SPDX-License-Identifier: MIT */
/* text.c - see text.h. */
#include "text.h"
#include <stdbool.h>

static const char digits[] = "0123456789abcdef";

char *put_digits(char *to, uint64_t value, unsigned base, int width)
{
	char reversed[24];
	int n = 0;

	do {
		reversed[n++] = digits[value % base];
		value /= base;
	} while (value || n < width);
	while (n > 0)
		*to++ = reversed[--n];
	return to;
}

char *put_signed(char *to, int64_t value)
{
	if (value < 0)
		*to++ = '-';
	return put_number(to, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* How many bytes the UTF-8 character at @p has; 0: it is none (overlong, a surrogate, beyond U+10FFFF, cut off). */
static size_t utf8_length(const uint8_t *p, size_t left)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t code = p[0] & (0x7fu >> len);

	if (len <= 1)
		return len;
	if (len > left || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return len;
}

/* U+0080 to U+009F: control characters, which a terminal obeys. */
static bool is_control(const uint8_t *p, size_t len)
{
	return len == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

static char *put_escape(char *to, enum text_style style, uint8_t byte)
{
	*to++ = '\\';
	if (byte == '"' || byte == '\\') {
		*to++ = (char)byte;
		return to;
	}
	to = put_text(to, style == TEXT_SHOWN ? "x" : byte < 0x80 ? "u00" : "udc");
	return put_digits(to, byte, 16, 2);
}

char *put_escaped(char *to, enum text_style style, const char *bytes, size_t len)
{
	const uint8_t *p = (const uint8_t *)bytes, *end = p + len;

	while (p < end) {
		size_t n = utf8_length(p, (size_t)(end - p));

		if (n == 1 && (*p < ' ' || *p == '"' || *p == '\\' || *p == 0x7f))
			n = 0;
		if (style == TEXT_SHOWN && is_control(p, n))
			n = 0;
		if (n == 0)
			to = put_escape(to, style, *p);
		else
			to = put_bytes(to, (const char *)p, n);
		p += n ? n : 1;
	}
	return to;
}
