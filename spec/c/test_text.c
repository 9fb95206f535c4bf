/* SPDX-License-Identifier: MIT */
/* test_text.c - numbers and escaped bytes as traces write them. */
#include "check.h"
#include "text.h"

static char buffer[256];

static const char *ended(char *to)
{
	*to = '\0';
	return buffer;
}

static const char *escaped(enum text_style style, const char *bytes, size_t len)
{
	return ended(put_escaped(buffer, style, bytes, len));
}

static void numbers(void)
{
	CHECK_TEXT(ended(put_number(buffer, 0)), "0");
	CHECK_TEXT(ended(put_number(buffer, UINT64_MAX)), "18446744073709551615");
	CHECK_TEXT(ended(put_signed(buffer, INT64_MIN)), "-9223372036854775808");
	CHECK_TEXT(ended(put_signed(buffer, 12)), "12");
	CHECK_TEXT(ended(put_digits(buffer, 0755, 8, 1)), "755");
	CHECK_TEXT(ended(put_digits(buffer, 42, 10, 6)), "000042");
	CHECK_TEXT(ended(put_digits(buffer, 0xbeef, 16, 1)), "beef");
}

static void plain_bytes(void)
{
	CHECK_TEXT(escaped(TEXT_JSON, "", 0), "");
	CHECK_TEXT(escaped(TEXT_JSON, "a/b c~", 6), "a/b c~");
	CHECK_TEXT(escaped(TEXT_JSON, "\"\\", 2), "\\\"\\\\");
	CHECK_TEXT(escaped(TEXT_SHOWN, "\"\\", 2), "\\\"\\\\");
	CHECK_TEXT(escaped(TEXT_JSON, "\n\x7f\0", 3), "\\u000a\\u007f\\u0000");
	CHECK_TEXT(escaped(TEXT_SHOWN, "\n\x7f\0", 3), "\\x0a\\x7f\\x00");
}

/* Two, three and four bytes; control characters among them only do harm on a terminal. */
static void utf8(void)
{
	static const char all[] = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7";

	CHECK_TEXT(escaped(TEXT_JSON, all, sizeof(all) - 1), all);
	CHECK_TEXT(escaped(TEXT_SHOWN, all, sizeof(all) - 1), all);
	CHECK_TEXT(escaped(TEXT_JSON, "\xc2\x9b", 2), "\xc2\x9b");
	CHECK_TEXT(escaped(TEXT_SHOWN, "\xc2\x9b", 2), "\\xc2\\x9b");
}

static void bytes_that_are_no_utf8(void)
{
	CHECK_TEXT(escaped(TEXT_JSON, "a\xff", 2), "a\\udcff");
	CHECK_TEXT(escaped(TEXT_SHOWN, "a\xff", 2), "a\\xff");
	/* A continuation alone, a character cut off, one too long, a surrogate, one beyond the last. */
	CHECK_TEXT(escaped(TEXT_JSON, "\x80", 1), "\\udc80");
	CHECK_TEXT(escaped(TEXT_JSON, "\xe2\x82", 2), "\\udce2\\udc82");
	CHECK_TEXT(escaped(TEXT_JSON, "\xc0\xaf", 2), "\\udcc0\\udcaf");
	CHECK_TEXT(escaped(TEXT_JSON, "\xed\xa0\x80", 3), "\\udced\\udca0\\udc80");
	CHECK_TEXT(escaped(TEXT_JSON, "\xf4\x90\x80\x80", 4), "\\udcf4\\udc90\\udc80\\udc80");
	/* The character's bytes are there, but not its to read. */
	CHECK_TEXT(escaped(TEXT_JSON, "\xc3\xa9", 1), "\\udcc3");
}

int main(void)
{
	RUN(numbers);
	RUN(plain_bytes);
	RUN(utf8);
	RUN(bytes_that_are_no_utf8);
	return check_result();
}
