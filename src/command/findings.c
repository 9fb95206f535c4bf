/* SPDX-License-Identifier: MIT */
/* findings.c - see findings.h. */
#include "findings.h"
#include "text.h"
#include <stdarg.h>
#include <stdlib.h>

void find(struct finding *f, enum verdict verdict, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

void advise(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->fix, sizeof(f->fix), fmt, ap);
	va_end(ap);
}

void json_string(FILE *out, const char *text)
{
	size_t len = strlen(text);
	char *escaped = malloc(len * TEXT_ESCAPED_MAX + 2);

	if (escaped)
		fwrite(escaped, 1, (size_t)(put_string(escaped, TEXT_JSON, text, len) - escaped),
		       out);
	free(escaped);
}

static void json_member(FILE *out, const char *name, const char *text)
{
	fprintf(out, "\"%s\": ", name);
	json_string(out, text);
}

void json_finding(FILE *out, const char *name, const struct finding *f)
{
	static const char *const words[] = { "ok", "warn", "fail" };

	fputs("{ ", out);
	json_member(out, "check", name);
	fputs(", ", out);
	json_member(out, "status", words[f->verdict]);
	fputs(", ", out);
	json_member(out, "text", f->text);
	fputs(", ", out);
	json_member(out, "fix", f->fix);
	fputs(" }", out);
}
