/* SPDX-License-Identifier: MIT */
/*
 * shared.c - data that all Lua states of a mount share: dictionaries in LMDB and counters, found by name.
 *
 * Without a path the database is a file in memory (/dev/shm) whose name is taken away at once, so that nothing is left behind
 * however the process ends. Readers wait for nobody; writers of one database take turns under its lock.
 */
#include "shared.h"
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAP_SIZE  ((size_t)1 << 36) /* address space, not memory */
#define MAX_DICTS 1024
#define NAME_SIZE 512

/* One database file. */
struct store {
	struct store *next;
	char *path; /* NULL: in memory */
	MDB_env *env;
};

struct fractal_dict {
	struct fractal_dict *next;
	struct store *store;
	char *name;
	MDB_dbi dbi;
};

struct fractal_counter {
	struct fractal_counter *next;
	char *name;
	_Atomic int64_t value;
};

/* What stands in the database before a value's bytes. */
struct record {
	uint64_t expires_ns; /* CLOCK_REALTIME, 0: never */
	int64_t kind;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the lists */
static struct store *stores;
static struct fractal_dict *dicts;
static struct fractal_counter *counters;

static int to_errno(int rc)
{
	switch (rc) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
	case MDB_DBS_FULL:
		return -ENOSPC;
	case MDB_BAD_VALSIZE:
		return -ENAMETOOLONG;
	default:
		return rc > 0 ? -rc : rc ? -EIO : 0;
	}
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- opening ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static int open_env(MDB_env *env, const char *path)
{
	char name[NAME_SIZE], lock_name[NAME_SIZE + 8];
	unsigned flags = MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS;
	int fd, rc;

	mdb_env_set_maxdbs(env, MAX_DICTS);
	mdb_env_set_mapsize(env, MAP_SIZE);
	if (path)
		return to_errno(mdb_env_open(env, path, flags, 0600));
	snprintf(name, sizeof(name), "/dev/shm/fractal-lua-XXXXXX");
	fd = mkstemp(name);
	if (fd < 0)
		return -errno;
	close(fd);
	rc = mdb_env_open(env, name, flags, 0600);
	snprintf(lock_name, sizeof(lock_name), "%s-lock", name);
	unlink(name);
	unlink(lock_name);
	return to_errno(rc);
}

static int find_store(const char *path, struct store **out)
{
	struct store *s;
	int rc;

	for (s = stores; s; s = s->next)
		if (same_text(s->path, path)) {
			*out = s;
			return 0;
		}
	s = calloc(1, sizeof(*s));
	if (!s || mdb_env_create(&s->env)) {
		free(s);
		return -ENOMEM;
	}
	rc = open_env(s->env, path);
	if (!rc && path && !(s->path = strdup(path)))
		rc = -ENOMEM;
	if (rc) {
		mdb_env_close(s->env);
		free(s);
		return rc;
	}
	s->next = stores;
	stores = s;
	*out = s;
	return 0;
}

static int open_dbi(struct fractal_dict *d)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(d->store->env, NULL, 0, &txn);

	if (rc)
		return to_errno(rc);
	rc = mdb_dbi_open(txn, d->name, MDB_CREATE, &d->dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return to_errno(rc);
	}
	return to_errno(mdb_txn_commit(txn));
}

static int find_dict(const char *name, struct store *store, struct fractal_dict **out)
{
	struct fractal_dict *d;
	int rc;

	for (d = dicts; d; d = d->next)
		if (d->store == store && !strcmp(d->name, name)) {
			*out = d;
			return 0;
		}
	d = calloc(1, sizeof(*d));
	if (!d || !(d->name = strdup(name))) {
		free(d);
		return -ENOMEM;
	}
	d->store = store;
	rc = open_dbi(d);
	if (rc) {
		free(d->name);
		free(d);
		return rc;
	}
	d->next = dicts;
	dicts = d;
	*out = d;
	return 0;
}

int fractal_dict_open(const char *name, const char *persist, struct fractal_dict **dict)
{
	struct store *store;
	int rc;

	pthread_mutex_lock(&lock);
	rc = find_store(persist, &store);
	if (!rc)
		rc = find_dict(name, store, dict);
	pthread_mutex_unlock(&lock);
	return rc;
}

/* ---- reading ---- */

/* The live value of a key within a transaction; its bytes lie in the database. */
static int look(MDB_txn *txn, struct fractal_dict *d, MDB_val *key, struct record *record,
		struct fractal_shared_value *value)
{
	MDB_val found;
	int rc = mdb_get(txn, d->dbi, key, &found);

	if (rc)
		return to_errno(rc);
	if (found.mv_size < sizeof(*record))
		return -EIO;
	memcpy(record, found.mv_data, sizeof(*record));
	if (record->expires_ns && record->expires_ns <= wall_ns())
		return -ENOENT;
	value->kind = (int)record->kind;
	value->data = (const uint8_t *)found.mv_data + sizeof(*record);
	value->len = (uint32_t)(found.mv_size - sizeof(*record));
	return 0;
}

int fractal_dict_get(struct fractal_dict *d, const char *key, size_t len, void *buffer,
		     uint32_t capacity, struct fractal_shared_value *value)
{
	MDB_val k = { len, (void *)(uintptr_t)key };
	struct record record;
	MDB_txn *txn;
	int rc = mdb_txn_begin(d->store->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return to_errno(rc);
	rc = look(txn, d, &k, &record, value);
	if (!rc && value->len <= capacity)
		memcpy(buffer, value->data, value->len);
	mdb_txn_abort(txn);
	value->data = buffer;
	return rc;
}

/* Appends a key as its length (uint16_t) and its bytes. */
static uint32_t put_key(uint8_t *at, uint32_t used, uint32_t capacity, const MDB_val *key)
{
	uint16_t len = (uint16_t)key->mv_size;

	if (used + sizeof(len) + len <= capacity) {
		memcpy(at + used, &len, sizeof(len));
		memcpy(at + used + sizeof(len), key->mv_data, len);
	}
	return used + (uint32_t)sizeof(len) + len;
}

int fractal_dict_keys(struct fractal_dict *d, void *buffer, uint32_t capacity, uint32_t *size)
{
	uint64_t now = wall_ns();
	struct record record;
	MDB_cursor *cursor;
	MDB_val key, found;
	MDB_txn *txn;
	int rc = mdb_txn_begin(d->store->env, NULL, MDB_RDONLY, &txn);

	*size = 0;
	if (rc)
		return to_errno(rc);
	rc = mdb_cursor_open(txn, d->dbi, &cursor);
	if (!rc) {
		while (!(rc = mdb_cursor_get(cursor, &key, &found, MDB_NEXT))) {
			memcpy(&record, found.mv_data, sizeof(record));
			if (!record.expires_ns || record.expires_ns > now)
				*size = put_key(buffer, *size, capacity, &key);
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : to_errno(rc);
}

/* ---- writing ---- */

static int store_value(MDB_txn *txn, struct fractal_dict *d, MDB_val *key, uint64_t expires_ns,
		       const struct fractal_shared_value *value)
{
	struct record record = { .expires_ns = expires_ns, .kind = value->kind };
	MDB_val place = { sizeof(record) + value->len, NULL };
	int rc;

	if (!value->kind) {
		rc = mdb_del(txn, d->dbi, key, NULL);
		return rc == MDB_NOTFOUND ? 0 : to_errno(rc);
	}
	rc = mdb_put(txn, d->dbi, key, &place, MDB_RESERVE);
	if (rc)
		return to_errno(rc);
	memcpy(place.mv_data, &record, sizeof(record));
	memcpy((uint8_t *)place.mv_data + sizeof(record), value->data, value->len);
	return 0;
}

static uint64_t expiry(double ttl)
{
	return ttl > 0 ? wall_ns() + (uint64_t)(ttl * 1e9) : 0;
}

static bool equal(const struct fractal_shared_value *a, const struct fractal_shared_value *b)
{
	return a->kind == b->kind &&
	       (!a->kind || (a->len == b->len && !memcmp(a->data, b->data, a->len)));
}

/* Decides on a change, given what is there; 0 stores @next. */
static int settle(const struct fractal_shared_change *change, struct fractal_shared_value *found,
		  struct fractal_shared_value *next, double *number)
{
	*next = change->value;
	switch (change->mode) {
	case FRACTAL_SHARED_ADD:
		return found->kind ? -EEXIST : 0;
	case FRACTAL_SHARED_DELETE:
		return found->kind ? 0 : -ENOENT;
	case FRACTAL_SHARED_CAS:
		return equal(found, &change->expected) ? 0 : -EAGAIN;
	case FRACTAL_SHARED_INCR:
		if (!found->kind && !change->has_init)
			return -ENOENT;
		if (found->kind && found->kind != FRACTAL_SHARED_NUMBER)
			return -EINVAL;
		*number = change->init;
		if (found->kind)
			memcpy(number, found->data, sizeof(*number));
		*number += change->by;
		*next = (struct fractal_shared_value){ number, sizeof(*number),
						       FRACTAL_SHARED_NUMBER };
		return 0;
	default:
		return 0;
	}
}

int fractal_dict_change(struct fractal_dict *d, const char *key, size_t len,
			struct fractal_shared_change *change)
{
	MDB_val k = { len, (void *)(uintptr_t)key };
	struct fractal_shared_value found = { 0 }, next = { 0 };
	struct record record = { 0 };
	uint64_t expires_ns;
	MDB_txn *txn;
	int rc = mdb_txn_begin(d->store->env, NULL, 0, &txn);

	if (rc)
		return to_errno(rc);
	rc = look(txn, d, &k, &record, &found);
	if (rc == -ENOENT)
		rc = 0;
	if (!rc)
		rc = settle(change, &found, &next, &change->result);
	expires_ns = change->mode == FRACTAL_SHARED_INCR && found.kind ? record.expires_ns
								       : expiry(change->ttl);
	if (!rc)
		rc = store_value(txn, d, &k, expires_ns, &next);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return to_errno(mdb_txn_commit(txn));
}

/* ---- counters ---- */

struct fractal_counter *fractal_counter_open(const char *name)
{
	struct fractal_counter *c;

	pthread_mutex_lock(&lock);
	for (c = counters; c; c = c->next)
		if (!strcmp(c->name, name))
			break;
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (c && !(c->name = strdup(name))) {
			free(c);
			c = NULL;
		}
		if (c) {
			c->next = counters;
			counters = c;
		}
	}
	pthread_mutex_unlock(&lock);
	return c;
}

int64_t fractal_counter_add(struct fractal_counter *counter, int64_t n)
{
	return atomic_fetch_add(&counter->value, n) + n;
}

int64_t fractal_counter_set(struct fractal_counter *counter, int64_t value)
{
	return atomic_exchange(&counter->value, value);
}

bool fractal_counter_cas(struct fractal_counter *counter, int64_t expected, int64_t value)
{
	return atomic_compare_exchange_strong(&counter->value, &expected, value);
}

/* ---- the end ---- */

void shared_close(void)
{
	for (struct fractal_dict *d = dicts, *next; d; d = next) {
		next = d->next;
		free(d->name);
		free(d);
	}
	for (struct fractal_counter *c = counters, *next; c; c = next) {
		next = c->next;
		free(c->name);
		free(c);
	}
	for (struct store *s = stores, *next; s; s = next) {
		next = s->next;
		if (s->path)
			mdb_env_sync(s->env, 1);
		mdb_env_close(s->env);
		free(s->path);
		free(s);
	}
	dicts = NULL;
	counters = NULL;
	stores = NULL;
}
