/* SPDX-License-Identifier: MIT */
/*
 * pathtable.c - a session's inodes by path: a tree of names that all workers and Lua states share.
 *
 * A node is what the kernel knows under a nodeid; it has one name or, after link(2), several. Names are found by parent
 * and text in one hash table. A node lives while the kernel holds lookups of it, while it is open, hidden, or has children;
 * then its slot is used again under the next generation. Nodes never move, so a node's stamp, which changes with
 * its path, is read without the lock: whoever keeps a path in a cache compares stamps.
 */
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK	      1024u /* nodes made at a time */
#define MAX_CHUNKS    65536u
#define FIRST_BUCKETS 256u

struct node;

struct link {
	struct link *chain; /* the next of its bucket */
	struct link *other; /* the node's next name */
	struct node *parent, *node;
	uint32_t hash, len;
	bool gone; /* removed; kept as the last name of a node that is still in use */
	char name[];
};

struct node {
	_Atomic uint64_t stamp;
	uint64_t nlookup;
	struct link *links; /* the first one that is not gone is the node's path */
	uint32_t id, generation, next_free;
	uint32_t opens, children;
	uint32_t kind; /* S_IFMT bits of the mode; 0: unknown */
	bool hidden;
	bool replaced; /* its last name went to another node by a rename */
};

struct fractal_paths {
	pthread_mutex_t lock;
	_Atomic(struct node *) chunks[MAX_CHUNKS];
	_Atomic uint64_t moved; /* stamp of the last change that moved whole subtrees */
	uint64_t clock;
	uint32_t nnodes, free; /* slots made; slot + 1 of the first free one */
	uint64_t count;	       /* nodes in use */
	struct link **buckets;
	uint32_t nbuckets, nlinks;
};

/* ---- nodes ---- */

static struct node *node_of(const struct fractal_paths *t, uint64_t id)
{
	uint64_t slot = id - FRACTAL_ROOT_ID;
	struct node *chunk;

	if (slot >= (uint64_t)CHUNK * MAX_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&t->chunks[slot / CHUNK], memory_order_acquire);
	return chunk ? &chunk[slot % CHUNK] : NULL;
}

static bool in_use(const struct node *n)
{
	return n->nlookup || n->opens || n->children || n->hidden || n->id == FRACTAL_ROOT_ID;
}

/* The node of an id that is in use, or NULL. */
static struct node *used_node(const struct fractal_paths *t, uint64_t id)
{
	struct node *n = node_of(t, id);

	return n && n->id && in_use(n) ? n : NULL;
}

static void touch(struct fractal_paths *t, struct node *n)
{
	atomic_store_explicit(&n->stamp, ++t->clock, memory_order_release);
	if (n->children)
		atomic_store_explicit(&t->moved, t->clock, memory_order_release);
}

static struct node *new_node(struct fractal_paths *t)
{
	struct node *n;

	if (t->free) {
		n = node_of(t, t->free - 1 + FRACTAL_ROOT_ID);
		t->free = n->next_free;
	} else {
		if (t->nnodes == CHUNK * MAX_CHUNKS)
			return NULL;
		if (t->nnodes % CHUNK == 0)
			atomic_store_explicit(&t->chunks[t->nnodes / CHUNK],
					      calloc(CHUNK, sizeof(*n)), memory_order_release);
		n = node_of(t, t->nnodes + FRACTAL_ROOT_ID);
		if (!n)
			return NULL;
		t->nnodes++;
	}
	n->id = n->id ? n->id : t->nnodes;
	t->count++;
	touch(t, n);
	return n;
}

/* ---- names ---- */

static uint32_t hash_name(const struct node *parent, const char *name, uint32_t len)
{
	uint32_t h = parent->id * 0x9e3779b9u ^ 0x811c9dc5u;

	for (uint32_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x01000193u;
	return h ^ h >> 15;
}

static struct link **bucket_of(const struct fractal_paths *t, uint32_t hash)
{
	return &t->buckets[hash & (t->nbuckets - 1)];
}

static struct link *find_link(const struct fractal_paths *t, const struct node *parent,
			      const char *name, uint32_t len)
{
	uint32_t hash = hash_name(parent, name, len);
	struct link *l = *bucket_of(t, hash);

	while (l && !(l->hash == hash && l->parent == parent && l->len == len &&
		      memcmp(l->name, name, len) == 0))
		l = l->chain;
	return l;
}

/* The same where the parent is told by id; *dir is NULL for an unknown one. */
static struct link *look(const struct fractal_paths *t, uint64_t parent, const char *name,
			 uint32_t len, struct node **dir)
{
	*dir = used_node(t, parent);
	return *dir ? find_link(t, *dir, name, len) : NULL;
}

/* Doubles the buckets when chains grow long. A table that cannot grow stays correct. */
static void grow(struct fractal_paths *t)
{
	uint32_t old = t->nbuckets;
	struct link **buckets;

	if (t->nlinks < old || old > UINT32_MAX / 4)
		return;
	buckets = realloc(t->buckets, sizeof(*buckets) * old * 2);
	if (!buckets)
		return;
	t->buckets = buckets;
	t->nbuckets = old * 2;
	memset(buckets + old, 0, sizeof(*buckets) * old);
	for (uint32_t i = 0; i < old; i++)
		for (struct link **at = &buckets[i], *l; (l = *at);) {
			if (!(l->hash & old)) {
				at = &l->chain;
				continue;
			}
			*at = l->chain;
			l->chain = buckets[i + old];
			buckets[i + old] = l;
		}
}

static struct link *new_link(struct fractal_paths *t, struct node *parent, const char *name,
			     uint32_t len)
{
	struct link *l = calloc(1, sizeof(*l) + len);

	if (!l)
		return NULL;
	l->parent = parent;
	l->len = len;
	l->hash = hash_name(parent, name, len);
	memcpy(l->name, name, len);
	return l;
}

/* Makes a link the node's name that is found by parent and text. */
static void attach(struct fractal_paths *t, struct link *l, struct node *n)
{
	struct link **bucket;

	grow(t);
	bucket = bucket_of(t, l->hash);
	l->chain = *bucket;
	*bucket = l;
	t->nlinks++;
	l->node = n;
	l->other = n->links;
	n->links = l;
	l->parent->children++;
	touch(t, n);
}

/* Takes a link out of the hash table: nobody finds the node by it any more. */
static void unhash(struct fractal_paths *t, struct link *l)
{
	struct link **at = bucket_of(t, l->hash);

	while (*at != l)
		at = &(*at)->chain;
	*at = l->chain;
	t->nlinks--;
	l->gone = true;
}

static void reap(struct fractal_paths *t, struct node *n);

/* Takes a link, already out of the hash table, from its node. */
static void drop_link(struct fractal_paths *t, struct node *n, struct link *l)
{
	struct link **at = &n->links;
	struct node *parent = l->parent;

	while (*at != l)
		at = &(*at)->other;
	*at = l->other;
	free(l);
	parent->children--;
	reap(t, parent);
}

/* Frees a node that nothing needs any more, and those of its parents that only it had kept. */
static void reap(struct fractal_paths *t, struct node *n)
{
	if (in_use(n))
		return;
	n->generation++;
	n->kind = 0;
	n->replaced = false;
	n->next_free = t->free;
	t->free = n->id;
	t->count--;
	for (struct link *l = n->links, *next; l; l = next) {
		next = l->other;
		if (!l->gone)
			unhash(t, l);
		drop_link(t, n, l);
	}
}

/* A name is removed: its node keeps another one, or this one as its last. */
static void detach(struct fractal_paths *t, struct link *l)
{
	struct node *n = l->node;

	unhash(t, l);
	touch(t, n);
	if (n->links != l || l->other)
		drop_link(t, n, l);
	reap(t, n);
}

/* ---- the public calls: names ---- */

static void fill_ref(const struct node *n, struct fractal_path_ref *ref)
{
	ref->id = n->id;
	ref->generation = n->generation;
	ref->opens = n->opens;
	ref->names = 0;
	for (const struct link *l = n->links; l; l = l->other)
		ref->names += !l->gone;
}

static bool only_gone(const struct node *n)
{
	return n->links && n->links->gone;
}

/* Names @n in @parent. A node that had only its removed name left gets rid of it. */
static int add_name(struct fractal_paths *t, struct node *n, struct node *parent, const char *name,
		    uint32_t len)
{
	struct link *l = new_link(t, parent, name, len);

	if (!l)
		return -ENOMEM;
	if (only_gone(n))
		drop_link(t, n, n->links);
	attach(t, l, n);
	return 0;
}

static struct node *make_child(struct fractal_paths *t, struct node *parent, const char *name,
			       uint32_t len, uint32_t kind)
{
	struct node *n = new_node(t);

	if (!n)
		return NULL;
	n->kind = kind;
	if (add_name(t, n, parent, name, len) == 0)
		return n;
	reap(t, n);
	return NULL;
}

int fractal_paths_ref(struct fractal_paths *t, uint64_t parent, const char *name, uint32_t len,
		      uint32_t kind, struct fractal_path_ref *ref)
{
	struct node *dir, *n = NULL;
	struct link *l;

	pthread_mutex_lock(&t->lock);
	l = look(t, parent, name, len, &dir);
	if (l && l->node->kind != kind) {
		/* Something else has that name now. The parent is kept, for it has lookups or children. */
		dir->nlookup++;
		detach(t, l);
		dir->nlookup--;
		l = NULL;
	}
	if (l)
		n = l->node;
	else if (dir)
		n = make_child(t, dir, name, len, kind);
	if (n) {
		n->nlookup++;
		fill_ref(n, ref);
	}
	pthread_mutex_unlock(&t->lock);
	return n ? 0 : dir ? -ENOMEM : -ESTALE;
}

int fractal_paths_find(struct fractal_paths *t, uint64_t parent, const char *name, uint32_t len,
		       struct fractal_path_ref *ref)
{
	struct node *dir;
	const struct link *l;

	pthread_mutex_lock(&t->lock);
	l = look(t, parent, name, len, &dir);
	if (l)
		fill_ref(l->node, ref);
	pthread_mutex_unlock(&t->lock);
	return l ? 0 : -ENOENT;
}

int fractal_paths_link(struct fractal_paths *t, uint64_t id, uint64_t parent, const char *name,
		       uint32_t len, struct fractal_path_ref *ref)
{
	struct node *n, *dir;
	struct link *old;
	int rc = -ESTALE;

	pthread_mutex_lock(&t->lock);
	n = used_node(t, id);
	dir = used_node(t, parent);
	if (n && dir) {
		n->nlookup++;
		dir->nlookup++;
		old = find_link(t, dir, name, len);
		if (old)
			detach(t, old);
		rc = add_name(t, n, dir, name, len);
		dir->nlookup--;
		if (rc)
			n->nlookup--;
		fill_ref(n, ref);
		reap(t, dir);
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void fractal_paths_unlink(struct fractal_paths *t, uint64_t parent, const char *name, uint32_t len)
{
	struct node *dir;
	struct link *l;

	pthread_mutex_lock(&t->lock);
	l = look(t, parent, name, len, &dir);
	if (l)
		detach(t, l);
	pthread_mutex_unlock(&t->lock);
}

/* Moves a link to another parent and name; its node stays. */
static int move(struct fractal_paths *t, struct link *l, struct node *parent, const char *name,
		uint32_t len)
{
	struct link *next = new_link(t, parent, name, len);
	struct node *n = l->node;

	if (!next)
		return -ENOMEM;
	unhash(t, l);
	attach(t, next, n);
	drop_link(t, l->node, l);
	return 0;
}

/* Two names change nodes: each node moves to the other's name. */
static int exchange(struct fractal_paths *t, struct link *a, struct link *b)
{
	struct link *new_a = new_link(t, a->parent, a->name, a->len);
	struct link *new_b = new_link(t, b->parent, b->name, b->len);
	struct node *was_a = a->node, *was_b = b->node;

	if (!new_a || !new_b) {
		free(new_a);
		free(new_b);
		return -ENOMEM;
	}
	unhash(t, a);
	unhash(t, b);
	attach(t, new_a, was_b);
	attach(t, new_b, was_a);
	drop_link(t, a->node, a);
	drop_link(t, b->node, b);
	return 0;
}

static int rename_locked(struct fractal_paths *t, struct node *dir, const char *name, uint32_t len,
			 struct node *newdir, const char *newname, uint32_t newlen, bool swap)
{
	struct link *from = find_link(t, dir, name, len);
	struct link *to = find_link(t, newdir, newname, newlen);

	if (from && from == to)
		return 0;
	if (swap && from && to)
		return exchange(t, from, to);
	/* A side of an exchange that is not known here becomes unknown on the other, too. */
	if (to) {
		to->node->replaced = true;
		detach(t, to);
	}
	return from ? move(t, from, newdir, newname, newlen) : 0;
}

int fractal_paths_rename(struct fractal_paths *t, uint64_t parent, const char *name, uint32_t len,
			 uint64_t newparent, const char *newname, uint32_t newlen, bool swap)
{
	struct node *dir, *newdir;
	int rc = -ESTALE;

	pthread_mutex_lock(&t->lock);
	dir = used_node(t, parent);
	newdir = used_node(t, newparent);
	if (dir && newdir) {
		dir->nlookup++;
		newdir->nlookup++;
		rc = rename_locked(t, dir, name, len, newdir, newname, newlen, swap);
		dir->nlookup--;
		newdir->nlookup--;
		reap(t, dir);
		if (newdir != dir)
			reap(t, newdir);
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

/* ---- the public calls: nodes ---- */

/* A hidden node that nobody can reach any more: its file is to be removed. */
static bool over(const struct node *n)
{
	return n->hidden && !n->opens && !n->nlookup;
}

int fractal_paths_forget(struct fractal_paths *t, uint64_t id, uint64_t nlookup)
{
	struct node *n;
	bool last_of_hidden = false;

	pthread_mutex_lock(&t->lock);
	n = used_node(t, id);
	if (n && n->nlookup) {
		n->nlookup -= nlookup < n->nlookup ? nlookup : n->nlookup;
		last_of_hidden = over(n);
		reap(t, n);
	}
	pthread_mutex_unlock(&t->lock);
	return n ? last_of_hidden : -ENOENT;
}

void fractal_paths_open(struct fractal_paths *t, uint64_t id)
{
	struct node *n;

	pthread_mutex_lock(&t->lock);
	n = used_node(t, id);
	if (n)
		n->opens++;
	pthread_mutex_unlock(&t->lock);
}

bool fractal_paths_release(struct fractal_paths *t, uint64_t id)
{
	struct node *n;
	bool last_of_hidden = false;

	pthread_mutex_lock(&t->lock);
	n = used_node(t, id);
	if (n && n->opens) {
		n->opens--;
		last_of_hidden = over(n);
		reap(t, n);
	}
	pthread_mutex_unlock(&t->lock);
	return last_of_hidden;
}

void fractal_paths_hide(struct fractal_paths *t, uint64_t id, bool hidden)
{
	struct node *n;

	pthread_mutex_lock(&t->lock);
	n = used_node(t, id);
	if (n) {
		n->hidden = hidden;
		touch(t, n);
		reap(t, n);
	}
	pthread_mutex_unlock(&t->lock);
}

double fractal_paths_stamp(const struct fractal_paths *t, uint64_t id)
{
	const struct node *n = node_of(t, id);
	uint64_t moved = atomic_load_explicit(&t->moved, memory_order_acquire), stamp;

	if (!n)
		return -1;
	stamp = atomic_load_explicit(&n->stamp, memory_order_acquire);
	return (double)(stamp > moved ? stamp : moved);
}

/* The length of a node's path, without a NUL; the root's is 0. */
static size_t path_length(const struct node *n)
{
	size_t len = 0;

	for (; n->links; n = n->links->parent)
		len += n->links->len + 1;
	return len;
}

static int build_path(const struct node *n, struct fractal_path *path)
{
	size_t at = path_length(n);

	if (at >= UINT32_MAX)
		return -ENAMETOOLONG;
	if (path->capacity < at + 1) {
		char *bytes = realloc(path->bytes, at + 256);

		if (!bytes)
			return -ENOMEM;
		path->bytes = bytes;
		path->capacity = (uint32_t)at + 256;
	}
	path->length = at ? (uint32_t)at : 1;
	path->bytes[0] = '/';
	for (; n->links; n = n->links->parent) {
		at -= n->links->len;
		memcpy(path->bytes + at, n->links->name, n->links->len);
		path->bytes[--at] = '/';
	}
	return 0;
}

int fractal_paths_path(struct fractal_paths *t, uint64_t id, struct fractal_path *path)
{
	const struct node *n;
	int rc = -ESTALE;

	pthread_mutex_lock(&t->lock);
	n = used_node(t, id);
	if (n) {
		path->stamp = fractal_paths_stamp(t, id);
		path->kind = n->kind;
		path->replaced = n->replaced && only_gone(n);
		path->hidden = n->hidden;
		path->removed = n->hidden || only_gone(n);
		rc = build_path(n, path);
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void fractal_path_free(struct fractal_path *path)
{
	free(path->bytes);
	path->bytes = NULL;
	path->capacity = path->length = 0;
}

uint64_t fractal_paths_count(struct fractal_paths *t)
{
	uint64_t n;

	pthread_mutex_lock(&t->lock);
	n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* ---- the table ---- */

struct fractal_paths *fractal_paths_new(void)
{
	struct fractal_paths *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->nbuckets = FIRST_BUCKETS;
	t->buckets = calloc(FIRST_BUCKETS, sizeof(*t->buckets));
	if (t->buckets && new_node(t))
		return t;
	fractal_paths_free(t);
	return NULL;
}

void fractal_paths_free(struct fractal_paths *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->nnodes; i++) {
		struct node *n = node_of(t, i + FRACTAL_ROOT_ID);

		for (struct link *l = n->links, *other; l; l = other) {
			other = l->other;
			free(l);
		}
	}
	for (uint32_t i = 0; i < MAX_CHUNKS && atomic_load(&t->chunks[i]); i++)
		free(atomic_load(&t->chunks[i]));
	pthread_mutex_destroy(&t->lock);
	free(t->buckets);
	free(t);
}

struct fractal_paths *fractal_session_paths(struct fractal_session *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->paths)
		s->paths = fractal_paths_new();
	pthread_mutex_unlock(&s->lock);
	return s->paths;
}
