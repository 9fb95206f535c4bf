/* SPDX-License-Identifier: MIT */
/* compare.c - see compare.h. */
#include "compare.h"
#include "fields.h"
#include "text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

enum id_kind {
	ID_NODE,
	ID_FH,
	ID_OFFSET
};

struct id {
	struct id *chain;
	enum id_kind kind;
	uint64_t node,
		number;	  /* of the recording: the inode it belongs to, and what stands for it */
	uint64_t value;	  /* today's */
	uint64_t nlookup; /* of an inode: as the recording's kernel counts */
};

struct ids {
	struct id *buckets[BUCKETS];
};

struct ids *ids_new(void)
{
	return calloc(1, sizeof(struct ids));
}

void ids_free(struct ids *ids)
{
	for (uint32_t i = 0; ids && i < BUCKETS; i++) {
		for (struct id *d = ids->buckets[i], *next; d; d = next) {
			next = d->chain;
			free(d);
		}
	}
	free(ids);
}

static struct id **place_of(struct ids *ids, enum id_kind kind, uint64_t node, uint64_t number)
{
	uint64_t hash = (node * 31 + number) * 0x9e3779b97f4a7c15u + kind;
	struct id **at = &ids->buckets[(hash >> 32) % BUCKETS];

	while (*at && ((*at)->kind != kind || (*at)->node != node || (*at)->number != number))
		at = &(*at)->chain;
	return at;
}

/* Today's number, or the same where nothing else is known. */
static uint64_t today(struct ids *ids, enum id_kind kind, uint64_t node, uint64_t number)
{
	const struct id *d = *place_of(ids, kind, node, number);

	return d ? d->value : number;
}

/* Where there is no memory, numbers stay as they are: the replay then differs, and says so. */
static struct id *learn(struct ids *ids, enum id_kind kind, uint64_t node, uint64_t number,
			uint64_t value)
{
	struct id **at = place_of(ids, kind, node, number);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (*at)
			**at = (struct id){ .kind = kind, .node = node, .number = number };
	}
	if (*at)
		(*at)->value = value;
	return *at;
}

/* A lookup of an inode. False when it was known as another one. */
static bool learn_node(struct ids *ids, uint64_t number, uint64_t value)
{
	const struct id *known = *place_of(ids, ID_NODE, 0, number);
	bool same = !known || known->value == value;
	struct id *d = learn(ids, ID_NODE, 0, number, value);

	if (d)
		d->nlookup++;
	return same && !number == !value;
}

static void forget_node(struct ids *ids, uint64_t number, uint64_t nlookup)
{
	struct id **at = place_of(ids, ID_NODE, 0, number), *d = *at;

	if (!d || (d->nlookup -= nlookup < d->nlookup ? nlookup : d->nlookup))
		return;
	*at = d->chain;
	free(d);
}

/* ---- requests ---- */

static void translate_forgets(struct ids *ids, uint8_t *data, uint32_t len)
{
	struct fractal_forget_one one;

	for (; len >= sizeof(one); len -= (uint32_t)sizeof(one), data += sizeof(one)) {
		uint64_t number;

		memcpy(&one, data, sizeof(one));
		number = one.nodeid;
		one.nodeid = today(ids, ID_NODE, 0, number);
		memcpy(data, &one, sizeof(one));
		forget_node(ids, number, one.nlookup);
	}
}

/* Handles belong to the inode that the structure names before them, else to the request's. */
static void translate_fields(struct ids *ids, struct field_list list, void *arg, uint64_t node)
{
	for (uint32_t i = 0; i < list.count; i++) {
		const struct field *f = &list.fields[i];
		uint64_t number = field_get(f, arg);

		if (f->kind == FIELD_INO) {
			field_set(f, arg, today(ids, ID_NODE, 0, number));
			node = number;
		} else if (f->kind == FIELD_FH && field_applies(f, arg)) {
			field_set(f, arg, today(ids, ID_FH, node, number));
		}
	}
}

void ids_translate(struct ids *ids, struct fractal_in_header *in, void *arg, uint8_t *data,
		   uint32_t len)
{
	union fractal_in *a = arg;
	uint64_t node = in->nodeid;

	in->nodeid = today(ids, ID_NODE, 0, node);
	translate_fields(ids, fields_of_request(in->opcode), arg, node);
	switch (in->opcode) {
	case FRACTAL_OP_READDIR:
	case FRACTAL_OP_READDIRPLUS:
		a->read.offset = today(ids, ID_OFFSET, node, a->read.offset);
		break;
	case FRACTAL_OP_FORGET:
		forget_node(ids, node, a->forget.nlookup);
		break;
	case FRACTAL_OP_BATCH_FORGET:
		translate_forgets(ids, data, len);
		break;
	}
}

/* ---- replies ---- */

/* One comparison: both payloads, and what is written about it. */
struct comparison {
	struct ids *ids;
	const struct given *given;
	const uint8_t *was;
	uint32_t was_len, omitted;
	char *why;
};

__attribute__((format(printf, 2, 3))) static bool differ(struct comparison *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, COMPARE_ROOM, fmt, ap);
	va_end(ap);
	return false;
}

static const char *error_name(int error)
{
	return error ? strerrorname_np(-error) : "ok";
}

static bool field_differs(struct comparison *c, const struct field *f, uint64_t now, uint64_t was)
{
	char text[96], *to = field_put(text, f, now);

	*to = '\0';
	if (f->kind == FIELD_INO)
		return differ(c,
			      was && now ? "%s, was %llu, which was another inode before"
					 : "%s, was %llu",
			      text, (unsigned long long)was);
	*field_put(to + 1, f, was) = '\0';
	return differ(c, "%s, was %s", text, to + 2 + strlen(f->name));
}

/* The structure at @now, which the given reply has whole, and at @was, of which @was_len bytes are there. */
static bool compare_fields(struct comparison *c, struct field_list list, const uint8_t *now,
			   const uint8_t *was, uint32_t was_len)
{
	uint64_t node = c->given->req.nodeid;
	bool same = true;

	for (uint32_t i = 0; i < list.count; i++) {
		const struct field *f = &list.fields[i];
		uint64_t a, b;
		bool equal = true;

		if (f->offset + f->size > was_len)
			return differ(c, "longer than the %u bytes that were recorded", was_len);
		a = field_get(f, now);
		b = field_get(f, was);
		if (f->kind == FIELD_INO) {
			equal = learn_node(c->ids, b, a);
			node = b;
		} else if (f->kind == FIELD_FH) {
			equal = learn(c->ids, ID_FH, node, b, a);
		} else if (f->kind != FIELD_VARIES) {
			equal = a == b;
		}
		/* What comes behind is still to be learned. */
		if (!equal && same)
			same = field_differs(c, f, a, b);
	}
	return same;
}

/* Contents: @from is where they begin. */
static bool compare_bytes(struct comparison *c, uint32_t from)
{
	uint32_t len = c->given->len, was = c->was_len + c->omitted, at = from;

	if (len != was)
		return differ(c, "%u bytes, were %u", len - from, was - from);
	while (at < c->was_len && c->given->payload[at] == c->was[at])
		at++;
	return at >= c->was_len || differ(c, "other bytes from byte %u on", at - from);
}

/* ---- directories ---- */

#define SHOWN_NAME 40u /* bytes of a name that a sentence has */

struct entry_of {
	const uint8_t *plus; /* struct fractal_entry_out, or NULL */
	struct fractal_dirent d;
	const uint8_t *name;
};

static int by_name(const void *a, const void *b)
{
	const struct entry_of *x = a, *y = b;
	uint32_t len = x->d.namelen < y->d.namelen ? x->d.namelen : y->d.namelen;
	int order = memcmp(x->name, y->name, len);

	return order ? order : (x->d.namelen > y->d.namelen) - (x->d.namelen < y->d.namelen);
}

/* Reads the entries of a reply into a new array; what is no whole entry ends it. @last: the offset behind them all. */
static struct entry_of *read_entries(const uint8_t *bytes, uint32_t len, bool plus, uint32_t *count,
				     uint64_t *last)
{
	uint32_t lead = plus ? sizeof(struct fractal_entry_out) : 0, at = 0, size;
	uint32_t most = len / (uint32_t)(lead + sizeof(struct fractal_dirent) + 1);
	struct entry_of *list = calloc(most + 1, sizeof(*list)), *e;

	*count = 0;
	*last = 0;
	while (list && *count < most && len - at >= lead + sizeof(e->d)) {
		e = &list[*count];
		memcpy(&e->d, bytes + at + lead, sizeof(e->d));
		size = lead + (uint32_t)sizeof(e->d);
		if (e->d.namelen == 0 || e->d.namelen > len - at - size)
			break;
		e->plus = plus ? bytes + at : NULL;
		e->name = bytes + at + size;
		size = (size + e->d.namelen + 7) & ~7u;
		*last = e->d.off;
		++*count;
		at = size > len - at ? len : at + size;
	}
	if (list)
		qsort(list, *count, sizeof(*list), by_name);
	return list;
}

static bool entry_differs(struct comparison *c, const struct entry_of *e, const char *what)
{
	char name[SHOWN_NAME * TEXT_ESCAPED_MAX + 1];
	uint32_t len = e->d.namelen < SHOWN_NAME ? e->d.namelen : SHOWN_NAME;

	*put_escaped(name, TEXT_SHOWN, (const char *)e->name, len) = '\0';
	return differ(c, "\"%.100s\"%s", name, what);
}

static bool compare_entry(struct comparison *c, const struct entry_of *now,
			  const struct entry_of *was)
{
	static const struct fractal_request lookup = { .opcode = FRACTAL_OP_LOOKUP };
	char why[COMPARE_ROOM], what[COMPARE_ROOM], *before = c->why;
	bool same;

	if (now->d.type != was->d.type)
		return entry_differs(c, now, " is of another type");
	if (!now->plus)
		return true;
	c->why = why;
	same = compare_fields(c, fields_of_reply(&lookup), now->plus, was->plus,
			      sizeof(struct fractal_entry_out));
	c->why = before;
	if (same)
		return true;
	snprintf(what, sizeof(what), ": %.200s", why);
	return entry_differs(c, now, what);
}

/* Two sorted lists: the first name that only one of them has, or the first entry that differs. */
static bool compare_lists(struct comparison *c, const struct entry_of *now, uint32_t n,
			  const struct entry_of *was, uint32_t m)
{
	uint32_t i = 0, j = 0;
	bool same = true;

	while (i < n || j < m) {
		int order = i == n ? 1 : j == m ? -1 : by_name(&now[i], &was[j]);
		const struct entry_of *e = order > 0 ? &was[j] : &now[i];

		if (order == 0)
			same = compare_entry(c, &now[i], &was[j]) && same;
		else if (same)
			same = entry_differs(c, e, order > 0 ? " is missing" : " is new");
		i += order <= 0;
		j += order >= 0;
	}
	return same;
}

static bool compare_directories(struct comparison *c)
{
	bool plus = c->given->req.opcode == FRACTAL_OP_READDIRPLUS, same = true;
	uint64_t last_now, last_was;
	uint32_t n, m;
	struct entry_of *now = read_entries(c->given->payload, c->given->len, plus, &n, &last_now);
	struct entry_of *was = read_entries(c->was, c->was_len, plus, &m, &last_was);

	if (now && was) {
		same = compare_lists(c, now, n, was, m);
		if (n && m)
			learn(c->ids, ID_OFFSET, c->given->req.nodeid, last_was, last_now);
	}
	free(now);
	free(was);
	return same;
}

bool compare_replies(struct ids *ids, const struct given *given, const struct recorded *recorded,
		     char why[COMPARE_ROOM])
{
	struct comparison c = {
		ids, given, recorded->rest, recorded->rest_len, recorded->head.omitted, why
	};
	struct field_list list = fields_of_reply(&given->req);

	if (given->error != recorded->out.error)
		return differ(&c, "%s, was %s", error_name(given->error),
			      error_name(recorded->out.error));
	if (given->error)
		return true;
	switch (fractal_op_reply_kind(given->req.opcode)) {
	case FRACTAL_REPLY_DIRENTS:
		return compare_directories(&c);
	case FRACTAL_REPLY_IOCTL:
		return compare_fields(&c, list, given->payload, c.was, c.was_len) &&
		       compare_bytes(&c, sizeof(struct fractal_ioctl_out));
	default:
		if (list.count)
			return compare_fields(&c, list, given->payload, c.was, c.was_len);
		return compare_bytes(&c, 0);
	}
}
