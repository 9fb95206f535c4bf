/* SPDX-License-Identifier: MIT */
/*
 * listing.c - what an open directory holds: a snapshot of its names, made when it is read from the start.
 *
 * An entry's cookie is its place in the snapshot, so a reader neither misses nor repeats a name while others come and
 * go. It lies outside the Lua states, for any worker may be asked for the next part.
 */
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct item {
	uint32_t at, len; /* the name's place in text */
	uint32_t kind;
};

struct listing {
	struct fractal_listing head; /* first: what the owner sees */
	struct item *items;
	char *text;
	size_t used, text_room;
	uint32_t item_room;
};

static struct listing *whole(struct fractal_listing *l)
{
	return (struct listing *)l;
}

struct fractal_listing *fractal_listing_new(void)
{
	struct listing *l = calloc(1, sizeof(*l));

	return l ? &l->head : NULL;
}

void fractal_listing_clear(struct fractal_listing *head)
{
	head->count = 0;
	head->filled = false;
	whole(head)->used = 0;
}

static int room_for(struct listing *l, uint32_t len)
{
	if (l->head.count == l->item_room) {
		uint32_t room = l->item_room ? l->item_room * 2 : 16;
		struct item *items = realloc(l->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		l->items = items;
		l->item_room = room;
	}
	if (l->used + len > l->text_room) {
		size_t room = (l->text_room + len) * 2;
		char *text = room <= UINT32_MAX ? realloc(l->text, room) : NULL;

		if (!text)
			return -ENOMEM;
		l->text = text;
		l->text_room = room;
	}
	return 0;
}

int fractal_listing_add(struct fractal_listing *head, const char *name, uint32_t len, uint32_t kind)
{
	struct listing *l = whole(head);
	int rc = room_for(l, len);

	if (rc)
		return rc;
	memcpy(l->text + l->used, name, len);
	l->items[head->count++] =
		(struct item){ .at = (uint32_t)l->used, .len = len, .kind = kind };
	l->used += len;
	return 0;
}

const char *fractal_listing_name(const struct fractal_listing *head, uint32_t index, uint32_t *len,
				 uint32_t *kind)
{
	const struct listing *l = (const struct listing *)head;

	if (index >= head->count)
		return NULL;
	*len = l->items[index].len;
	*kind = l->items[index].kind;
	return l->text + l->items[index].at;
}

void fractal_listing_free(struct fractal_listing *head)
{
	if (!head)
		return;
	free(whole(head)->items);
	free(whole(head)->text);
	free(whole(head));
}
