/* SPDX-License-Identifier: MIT */
/*
 * inode.c - a table of inodes that all workers and Lua states of a session share.
 *
 * A node is found by its key (two numbers, such as device and inode number below) or by its id, the nodeid that the kernel
 * is told. It lives as long as the kernel holds lookups; then its slot is used again under the next generation. Finding a node
 * by id takes no lock: the kernel's own reference keeps it, and slots never move.
 */
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK	      1024u /* slots made at a time */
#define MAX_CHUNKS    65536u
#define SHARDS	      64u
#define FIRST_BUCKETS 64u

struct node {
	uint64_t a, b; /* the key */
	uint64_t nlookup;
	_Atomic int64_t value; /* -1 while the slot is free; read without the lock */
	uint32_t generation;
	uint32_t next; /* slot + 1 in the shard's chain or in the free list */
};

/* Nodes whose keys hash alike share a lock. */
struct shard {
	pthread_mutex_t lock;
	uint32_t *buckets; /* slot + 1 */
	uint32_t nbuckets, count;
};

struct fractal_inodes {
	struct fractal_inodes *next; /* in the session's list */
	char *name;
	bool values_are_fds;
	_Atomic(struct node *) chunks[MAX_CHUNKS];
	pthread_mutex_t slots_lock;
	uint32_t nslots, free;
	struct shard shards[SHARDS];
};

static uint64_t hash_key(uint64_t a, uint64_t b)
{
	uint64_t h = a * 0x9e3779b97f4a7c15ull ^ b;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static struct node *node_at(const struct fractal_inodes *t, uint64_t slot)
{
	struct node *chunk;

	if (slot / CHUNK >= MAX_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&t->chunks[slot / CHUNK], memory_order_acquire);
	return chunk ? &chunk[slot % CHUNK] : NULL;
}

/* ids start behind the root's, which stands for slot 0. */
static uint64_t id_of(uint64_t slot)
{
	return slot + FRACTAL_ROOT_ID;
}

static struct node *node_by_id(const struct fractal_inodes *t, uint64_t id)
{
	return id >= FRACTAL_ROOT_ID ? node_at(t, id - FRACTAL_ROOT_ID) : NULL;
}

static struct shard *shard_of(struct fractal_inodes *t, uint64_t hash)
{
	return &t->shards[hash % SHARDS];
}

static struct node *make_chunk(void)
{
	struct node *chunk = calloc(CHUNK, sizeof(*chunk));

	for (uint32_t i = 0; chunk && i < CHUNK; i++)
		atomic_init(&chunk[i].value, -1);
	return chunk;
}

/* A free slot, or -1 when memory is out. */
static int64_t take_slot(struct fractal_inodes *t)
{
	int64_t slot = -1;

	pthread_mutex_lock(&t->slots_lock);
	if (t->free) {
		slot = t->free - 1;
		t->free = node_at(t, (uint64_t)slot)->next;
	} else if (t->nslots < CHUNK * MAX_CHUNKS - 1) {
		uint32_t chunk = t->nslots / CHUNK;

		if (t->nslots % CHUNK == 0)
			atomic_store(&t->chunks[chunk], make_chunk());
		if (atomic_load(&t->chunks[chunk]))
			slot = t->nslots++;
	}
	pthread_mutex_unlock(&t->slots_lock);
	return slot;
}

static void give_slot(struct fractal_inodes *t, uint64_t slot)
{
	struct node *n = node_at(t, slot);

	pthread_mutex_lock(&t->slots_lock);
	n->generation++;
	n->next = t->free;
	t->free = (uint32_t)slot + 1;
	pthread_mutex_unlock(&t->slots_lock);
}

/* Doubles a shard's buckets when chains grow long. A shard that cannot grow stays correct. */
static void grow(struct fractal_inodes *t, struct shard *sh)
{
	uint32_t n = sh->nbuckets ? sh->nbuckets * 2 : FIRST_BUCKETS;
	uint32_t *buckets;

	if (sh->nbuckets && sh->count < sh->nbuckets)
		return;
	buckets = calloc(n, sizeof(*buckets));
	if (!buckets)
		return;
	for (uint32_t i = 0; i < sh->nbuckets; i++)
		for (uint32_t s = sh->buckets[i], next; s; s = next) {
			struct node *node = node_at(t, s - 1);
			uint32_t *bucket = &buckets[hash_key(node->a, node->b) / SHARDS % n];

			next = node->next;
			node->next = *bucket;
			*bucket = s;
		}
	free(sh->buckets);
	sh->buckets = buckets;
	sh->nbuckets = n;
}

static uint32_t *bucket_of(struct shard *sh, uint64_t hash)
{
	return &sh->buckets[hash / SHARDS % sh->nbuckets];
}

static struct node *find(struct fractal_inodes *t, struct shard *sh, uint64_t hash, uint64_t a,
			 uint64_t b, uint64_t *slot)
{
	if (!sh->nbuckets)
		return NULL;
	for (uint32_t s = *bucket_of(sh, hash); s; s = node_at(t, s - 1)->next) {
		struct node *n = node_at(t, s - 1);

		if (n->a == a && n->b == b) {
			*slot = s - 1;
			return n;
		}
	}
	return NULL;
}

/* A new node, without lookups and value so far. NULL: out of memory. */
static struct node *insert(struct fractal_inodes *t, struct shard *sh, uint64_t hash, uint64_t a,
			   uint64_t b, uint64_t *out)
{
	int64_t slot;
	uint32_t *bucket;
	struct node *n;

	grow(t, sh);
	slot = sh->nbuckets ? take_slot(t) : -1;
	if (slot < 0)
		return NULL;
	n = node_at(t, (uint64_t)slot);
	bucket = bucket_of(sh, hash);
	n->a = a;
	n->b = b;
	n->nlookup = 0;
	n->next = *bucket;
	*bucket = (uint32_t)slot + 1;
	sh->count++;
	*out = (uint64_t)slot;
	return n;
}

int fractal_inodes_ref(struct fractal_inodes *t, uint64_t a, uint64_t b, int64_t value,
		       struct fractal_inode_ref *ref)
{
	uint64_t hash = hash_key(a, b), slot;
	struct shard *sh = shard_of(t, hash);
	struct node *n;

	pthread_mutex_lock(&sh->lock);
	n = find(t, sh, hash, a, b, &slot);
	ref->fresh = !n;
	if (!n) {
		n = insert(t, sh, hash, a, b, &slot);
		if (n)
			atomic_store(&n->value, value);
	}
	if (n) {
		n->nlookup++;
		ref->id = id_of(slot);
		ref->generation = n->generation;
		ref->value = atomic_load(&n->value);
	}
	pthread_mutex_unlock(&sh->lock);
	return n ? 0 : -ENOMEM;
}

int64_t fractal_inodes_value(const struct fractal_inodes *t, uint64_t id)
{
	struct node *n = node_by_id(t, id);

	return n ? atomic_load_explicit(&n->value, memory_order_acquire) : -1;
}

/* Takes a node whose last lookup is gone out of its chain. */
static void unlink_node(struct fractal_inodes *t, struct shard *sh, uint64_t hash, uint64_t slot)
{
	uint32_t *at = bucket_of(sh, hash);

	while (*at != slot + 1)
		at = &node_at(t, *at - 1)->next;
	*at = node_at(t, slot)->next;
	sh->count--;
}

int fractal_inodes_forget(struct fractal_inodes *t, uint64_t id, uint64_t nlookup, int64_t *value)
{
	struct node *n = node_by_id(t, id);
	struct shard *sh;
	uint64_t hash;
	bool gone;

	if (!n)
		return -ENOENT;
	hash = hash_key(n->a, n->b);
	sh = shard_of(t, hash);
	pthread_mutex_lock(&sh->lock);
	if (!n->nlookup) {
		pthread_mutex_unlock(&sh->lock);
		return -ENOENT;
	}
	n->nlookup -= nlookup < n->nlookup ? nlookup : n->nlookup;
	gone = n->nlookup == 0;
	*value = atomic_load(&n->value);
	if (gone) {
		unlink_node(t, sh, hash, id - FRACTAL_ROOT_ID);
		atomic_store(&n->value, -1);
	}
	pthread_mutex_unlock(&sh->lock);
	if (!gone)
		return 0;
	if (t->values_are_fds)
		close((int)*value);
	give_slot(t, id - FRACTAL_ROOT_ID);
	return 1;
}

uint64_t fractal_inodes_count(struct fractal_inodes *t)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&t->shards[i].lock);
		n += t->shards[i].count;
		pthread_mutex_unlock(&t->shards[i].lock);
	}
	return n;
}

uint32_t fractal_inodes_list(struct fractal_inodes *t, uint64_t *cursor, uint64_t *ids,
			     uint32_t max)
{
	uint64_t slot = *cursor;
	uint32_t nslots, n = 0;

	pthread_mutex_lock(&t->slots_lock);
	nslots = t->nslots;
	pthread_mutex_unlock(&t->slots_lock);
	for (uint32_t i = 0; i < nslots && n < max; i++, slot++) {
		slot = slot < nslots ? slot : 0;
		if (atomic_load(&node_at(t, slot)->value) != -1)
			ids[n++] = id_of(slot);
	}
	*cursor = slot;
	return n;
}

static struct fractal_inodes *make_table(const char *name, bool values_are_fds)
{
	struct fractal_inodes *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->name = strdup(name);
	if (!t->name) {
		free(t);
		return NULL;
	}
	t->values_are_fds = values_are_fds;
	pthread_mutex_init(&t->slots_lock, NULL);
	for (uint32_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	return t;
}

struct fractal_inodes *fractal_session_inodes(struct fractal_session *s, const char *name,
					      bool values_are_fds)
{
	struct fractal_inodes *t;

	pthread_mutex_lock(&s->lock);
	for (t = s->inode_tables; t && strcmp(t->name, name) != 0; t = t->next)
		;
	if (!t) {
		t = make_table(name, values_are_fds);
		if (t) {
			t->next = s->inode_tables;
			s->inode_tables = t;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return t;
}

static void free_table(struct fractal_inodes *t)
{
	for (uint32_t i = 0; i < t->nslots; i++) {
		struct node *n = node_at(t, i);

		if (n->nlookup && t->values_are_fds)
			close((int)atomic_load(&n->value));
	}
	for (uint32_t i = 0; i * CHUNK < t->nslots; i++)
		free(atomic_load(&t->chunks[i]));
	for (uint32_t i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&t->shards[i].lock);
		free(t->shards[i].buckets);
	}
	pthread_mutex_destroy(&t->slots_lock);
	free(t->name);
	free(t);
}

void inodes_free_all(struct fractal_session *s)
{
	struct fractal_inodes *t, *next;

	for (t = s->inode_tables; t; t = next) {
		next = t->next;
		free_table(t);
	}
	s->inode_tables = NULL;
}
