/* SPDX-License-Identifier: MIT */
/*
 * caps.c - which of INIT's capability bits are asked for: defaults (caps.def), what handlers need, what the settings and an
 * init hook chose, and which choices cannot go together.
 */
#include "internal.h"
#include "mount_options.h"
#include <errno.h>
#include <string.h>

#define CAP_BIT(name) (1ull << FRACTAL_CAP_##name)
#define EXT_MINOR     38 /* before, the kernel does not say where a security context begins */

enum cap_default {
	ON,
	OFF,
	CORE,
	OP,
	NEVER
};

static const struct cap_row {
	const char *option;
	int bit;
	enum cap_default def;
} caps[] = {
#define FRACTAL_CAP(NAME, option, bit, def, doc) { #option, bit, def },
#include "caps.def"
#undef FRACTAL_CAP
};

int fractal_cap_by_name(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (!strcmp(caps[i].option, option))
			return caps[i].bit;
	return -ENOENT;
}

/* All bits with one default. */
static uint64_t caps_with(enum cap_default def)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].def == def)
			bits |= 1ull << caps[i].bit;
	return bits;
}

/* Bits that the handlers ask for by being there. */
static uint64_t caps_of_handlers(const struct fractal_handlers *h)
{
	uint64_t bits = 0;

	if (!h)
		return 0;
	if (h->readdirplus)
		bits |= CAP_BIT(DO_READDIRPLUS) | (h->readdir ? CAP_BIT(READDIRPLUS_AUTO) : 0);
	if (h->setlk)
		bits |= CAP_BIT(POSIX_LOCKS);
	return bits;
}

/* What is asked for before the init hook. What was chosen by name and is not offered is told: the mount goes on without. */
uint64_t caps_wanted(const struct fractal_session *s, uint64_t offered)
{
	const struct fractal_config *cfg = &s->cfg;
	uint64_t on = caps_with(ON) | caps_of_handlers(cfg->handlers) | cfg->caps_on;

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (cfg->caps_on & ~offered & 1ull << caps[i].bit)
			session_log(s, FRACTAL_LOG_WARN,
				    "this kernel does not offer %s: going on without it",
				    caps[i].option);
	return ((on & ~cfg->caps_off) | caps_with(CORE)) & ~caps_with(NEVER) & offered;
}

static bool has_mount_option(const struct fractal_session *s, const char *name)
{
	const char *p = s->cfg.mount_options;

	while (*p) {
		size_t len = mount_option_length(p);

		if (len == strlen(name) && !memcmp(p, name, len))
			return true;
		p += len + (p[len] == ',');
	}
	return false;
}

/* Choices that the kernel would refuse, or would ignore without a word. */
static const char *conflict(const struct fractal_session *s, uint64_t wanted)
{
	bool checked = has_mount_option(s, "default_permissions");

	if (wanted & CAP_BIT(PASSTHROUGH) && wanted & CAP_BIT(WRITEBACK_CACHE))
		return "passthrough and writeback_cache exclude each other: the kernel cannot gather the writes of files "
		       "that it passes on; choose one";
	if (wanted & CAP_BIT(PASSTHROUGH) &&
	    (s->conn.max_stack_depth < 1 || s->conn.max_stack_depth > 2))
		return "passthrough needs a max_stack_depth of 1 or 2";
	if (wanted & CAP_BIT(ALLOW_IDMAP) && !checked)
		return "allow_idmap needs the mount option default_permissions: on an idmapped mount only the kernel knows "
		       "who the caller is";
	if (wanted & CAP_BIT(POSIX_ACL) && !checked)
		return "posix_acl needs the mount option default_permissions: the kernel enforces the lists together with "
		       "the modes";
	if (wanted & CAP_BIT(EXPORT_SUPPORT) && wanted & CAP_BIT(NO_EXPORT_SUPPORT))
		return "export_support and no_export_support contradict each other; choose one";
	if (wanted & CAP_BIT(HANDLE_KILLPRIV) && wanted & CAP_BIT(HANDLE_KILLPRIV_V2))
		return "handle_killpriv and handle_killpriv_v2 are two rules for the same bits; choose one";
	return NULL;
}

/* The last word on s->conn.wanted, after the hooks: bits that follow from others, and -EINVAL for what cannot be. */
int caps_settle(struct fractal_session *s)
{
	struct fractal_conn *c = &s->conn;
	const char *why;

	c->wanted &= ~caps_with(NEVER);
	c->wanted |= caps_with(CORE);
	if (c->request_timeout)
		c->wanted |= CAP_BIT(REQUEST_TIMEOUT);
	else
		c->wanted &= ~CAP_BIT(REQUEST_TIMEOUT);
	if (c->wanted & CAP_BIT(EXPLICIT_INVAL_DATA))
		c->wanted &= ~CAP_BIT(AUTO_INVAL_DATA);
	if (!(c->wanted & CAP_BIT(DO_READDIRPLUS)))
		c->wanted &= ~CAP_BIT(READDIRPLUS_AUTO);
	c->wanted &= c->offered;
	if (c->wanted & CAP_BIT(SECURITY_CTX) && c->proto_minor < EXT_MINOR) {
		session_log(s, FRACTAL_LOG_WARN,
			    "security_ctx needs Linux 6.2 or newer: going on without it");
		c->wanted &= ~CAP_BIT(SECURITY_CTX);
	}
	why = conflict(s, c->wanted);
	if (why)
		session_log(s, FRACTAL_LOG_ERROR, "%s", why);
	return why ? -EINVAL : 0;
}
