/* SPDX-License-Identifier: MIT */
/*
 * check.c - `--check SCRIPT`: loads a script, and tells what fractal.check finds. As JSON it is one object:
 *
 *     { "script": "notes.lua", "ok": true, "findings": [ { "check": "handlers", "status": "ok", "text": …, "fix": … } ] }
 */
#include "check.h"
#include "findings.h"
#include "loading.h"
#include "report.h"
#include <string.h>

struct telling {
	FILE *out;
	bool json;
	int count, failures;
};

static void tell(struct telling *t, const char *name, const struct finding *f)
{
	t->failures += f->verdict == FAIL;
	if (t->json) {
		fputs(t->count++ ? ",\n    " : "\n    ", t->out);
		json_finding(t->out, name, f);
	} else {
		fprintf(t->out, "%s%s%s%s\n", f->verdict == WARN ? "warning: " : "", f->text,
			*f->fix ? "; do: " : "", f->fix);
	}
}

static void tell_found(const char *name, const char *status, const char *text, const char *fix,
		       void *user)
{
	struct finding f = { 0 };

	find(&f, !strcmp(status, "fail") ? FAIL : !strcmp(status, "warn") ? WARN : OK, "%s", text);
	advise(&f, "%s", fix);
	tell(user, name, &f);
}

/* What the script's failure to load is told by. */
static void tell_message(enum fractal_log_level level, const char *text, void *user)
{
	tell_found("load", level == FRACTAL_LOG_ERROR ? "fail" : "warn", text, "", user);
}

bool check_script(const char *script, const char *state, FILE *out, bool json)
{
	struct telling t = { .out = out, .json = json };
	struct log_sink into_findings = { tell_message, &t };
	struct host *host = NULL;

	if (json) {
		fputs("{ \"script\": ", out);
		json_string(out, script);
		fputs(", \"findings\": [", out);
	}
	if (loading_run(&host, script, json ? into_findings : report_sink) ||
	    host_check(host, state, tell_found, &t))
		t.failures++;
	host_free(host);
	if (json)
		fprintf(out, "\n  ],\n  \"ok\": %s }\n", t.failures ? "false" : "true");
	return !t.failures;
}
