/* SPDX-License-Identifier: MIT */
/* log.c - one line of text to the embedder's log hook. */
#include "internal.h"
#include <stdarg.h>
#include <stdio.h>

void session_log(const struct fractal_session *s, enum fractal_log_level level, const char *fmt,
		 ...)
{
	char text[1024];
	va_list ap;

	if (!s->sink.log)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->sink.log(level, text, s->sink.user);
}

void fractal_session_log(const struct fractal_session *s, enum fractal_log_level level,
			 const char *text)
{
	if (s->sink.log)
		s->sink.log(level, text, s->sink.user);
}
