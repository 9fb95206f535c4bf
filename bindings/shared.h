/* SPDX-License-Identifier: MIT */
/*
 * shared.h - data shared by all Lua states of the process, for the module fractal.shared, which declares the same things
 * to LuaJIT's FFI. All functions may be called from any thread.
 */
#ifndef FRACTAL_SHARED_H
#define FRACTAL_SHARED_H
#include "fractal.h"

struct fractal_dict;
struct fractal_counter;

enum {
	FRACTAL_SHARED_NUMBER = 1, /* a double */
	FRACTAL_SHARED_STRING = 2,
	FRACTAL_SHARED_BOOLEAN = 3, /* one byte */
};

enum {
	FRACTAL_SHARED_SET,
	FRACTAL_SHARED_ADD,
	FRACTAL_SHARED_DELETE,
	FRACTAL_SHARED_CAS,
	FRACTAL_SHARED_INCR,
};

struct fractal_shared_value {
	const void *data;
	uint32_t len;
	int kind; /* 0: no value */
};

/* One atomic change of a key. */
struct fractal_shared_change {
	struct fractal_shared_value value;    /* no value: the key goes */
	struct fractal_shared_value expected; /* CAS */
	double ttl;			      /* seconds, 0: for ever */
	double by, init, result;	      /* INCR */
	int mode;
	bool has_init;
};

/* The dictionary of that name, in memory or in the file @persist. 0 or -errno. */
FRACTAL_API int fractal_dict_open(const char *name, const char *persist,
				  struct fractal_dict **dict);
/* Copies a value to @buffer if it fits; value->len tells how long it is. -ENOENT: there is none. */
FRACTAL_API int fractal_dict_get(struct fractal_dict *dict, const char *key, size_t len,
				 void *buffer, uint32_t capacity,
				 struct fractal_shared_value *value);
/* All keys, each as a uint16_t length and its bytes, as far as they fit; *size tells how much they need. */
FRACTAL_API int fractal_dict_keys(struct fractal_dict *dict, void *buffer, uint32_t capacity,
				  uint32_t *size);
/*
 * 0 when the change was made. -EEXIST: ADD of a key that is there; -ENOENT: DELETE or INCR of one that is not; -EAGAIN: CAS found
 * another value; -EINVAL: INCR of no number; -ENAMETOOLONG: the key is empty or longer than 511 bytes; -ENOSPC.
 */
FRACTAL_API int fractal_dict_change(struct fractal_dict *dict, const char *key, size_t len,
				    struct fractal_shared_change *change);

FRACTAL_API struct fractal_counter *fractal_counter_open(const char *name);
FRACTAL_API int64_t fractal_counter_add(struct fractal_counter *counter, int64_t n);
/* Returns the old value. */
FRACTAL_API int64_t fractal_counter_set(struct fractal_counter *counter, int64_t value);
FRACTAL_API bool fractal_counter_cas(struct fractal_counter *counter, int64_t expected,
				     int64_t value);

/* Closes and frees everything. No Lua state may be there any more. */
void shared_close(void);

#endif
