/* SPDX-License-Identifier: MIT */
/*
 * tables.h - part of fractal.h: the books that a filesystem keeps of inodes, paths and open directories.
 */
#ifndef FRACTAL_TABLES_H
#define FRACTAL_TABLES_H

/* ---- inode tables ------------------------------------------------------------------------------------ */

/* Inodes by a key of two numbers, with lookup counts, shared by all workers and Lua states of a session. */
struct fractal_inodes;

struct fractal_inode_ref {
	uint64_t id; /* the nodeid to give the kernel */
	uint64_t generation;
	int64_t value; /* the node's: that of the call that made it */
	bool fresh;    /* made by this call */
};

/**
 * The session's table of that name, made at the first call. With @values_are_fds the value of a node is a descriptor, closed when
 * the node goes. NULL: out of memory. The node that is entered first gets FRACTAL_ROOT_ID: make it the root.
 */
FRACTAL_API struct fractal_inodes *fractal_session_inodes(struct fractal_session *session,
							  const char *name, bool values_are_fds);
/** Finds the node of key (@a, @b), or makes it with @value, and counts one lookup. 0 or -ENOMEM. */
FRACTAL_API int fractal_inodes_ref(struct fractal_inodes *table, uint64_t a, uint64_t b,
				   int64_t value, struct fractal_inode_ref *ref);
/** The value of a node that the kernel knows, or -1 for an unknown id. Takes no lock. */
FRACTAL_API int64_t fractal_inodes_value(const struct fractal_inodes *table, uint64_t id);
/** The kernel forgets @nlookup lookups. 1 when the node is gone, with its value in *value; 0; -ENOENT for an unknown id. */
FRACTAL_API int fractal_inodes_forget(struct fractal_inodes *table, uint64_t id, uint64_t nlookup,
				      int64_t *value);
/**
 * Ids of up to @max nodes into @ids, from *@cursor (0 at first) on, which moves; begins anew behind the last. Returns how many.
 * Other threads may add and forget nodes meanwhile.
 */
FRACTAL_API uint32_t fractal_inodes_list(struct fractal_inodes *table, uint64_t *cursor,
					 uint64_t *ids, uint32_t max);
/** How many nodes there are. */
FRACTAL_API uint64_t fractal_inodes_count(struct fractal_inodes *table);

/* ---- paths --------------------------------------------------------------------------------------------- */

/* A session's inodes by path: a tree of names with lookup counts, shared by all workers and Lua states. Any thread. */
struct fractal_paths;

struct fractal_path_ref {
	uint64_t id; /* the nodeid to give the kernel */
	uint64_t generation;
	uint32_t opens; /* how often the node is open */
	uint32_t names; /* how many names it has */
};

/* A path as it was when it was asked for. Begins as zeroes; fractal_path_free() frees its bytes. */
struct fractal_path {
	double stamp; /* while fractal_paths_stamp() is the same, the path is */
	char *bytes;  /* "/" or "/a/b"; no NUL behind it */
	uint32_t length, capacity;
	uint32_t kind; /* S_IFMT bits, 0: unknown */
	bool hidden;   /* as fractal_paths_hide() set it */
	bool removed;  /* the node has no name any more; this was its last one */
	bool replaced; /* … and a rename gave that name to another file */
};

/** The session's table, made at the first call; it ends with the session. NULL: out of memory. */
FRACTAL_API struct fractal_paths *fractal_session_paths(struct fractal_session *session);
/** A table of its own. NULL: out of memory. */
FRACTAL_API struct fractal_paths *fractal_paths_new(void);
FRACTAL_API void fractal_paths_free(struct fractal_paths *paths);
/**
 * The node of a name in the directory @parent, made where there is none, and counts one lookup. @kind: S_IFMT bits of its mode; a
 * node that was of another kind loses the name to a new one. 0, -ENOMEM, or -ESTALE for an unknown parent.
 */
FRACTAL_API int fractal_paths_ref(struct fractal_paths *paths, uint64_t parent, const char *name,
				  uint32_t len, uint32_t kind, struct fractal_path_ref *ref);
/** The same for a name that is known, without counting. -ENOENT where it is not. */
FRACTAL_API int fractal_paths_find(struct fractal_paths *paths, uint64_t parent, const char *name,
				   uint32_t len, struct fractal_path_ref *ref);
/** One more name for a node, and one lookup. 0, -ENOMEM, -ESTALE. */
FRACTAL_API int fractal_paths_link(struct fractal_paths *paths, uint64_t id, uint64_t parent,
				   const char *name, uint32_t len, struct fractal_path_ref *ref);
/** The name is removed; a node in use keeps the path of its last name. */
FRACTAL_API void fractal_paths_unlink(struct fractal_paths *paths, uint64_t parent,
				      const char *name, uint32_t len);
/** The name moves, and what lies below it; @swap: the two names change places (renameat2(2) RENAME_EXCHANGE). */
FRACTAL_API int fractal_paths_rename(struct fractal_paths *paths, uint64_t parent, const char *name,
				     uint32_t len, uint64_t newparent, const char *newname,
				     uint32_t newlen, bool swap);
/** The kernel forgets @nlookup lookups. 0; 1: nobody can reach a hidden node any more, which stays until it is hidden no more; -ENOENT. */
FRACTAL_API int fractal_paths_forget(struct fractal_paths *paths, uint64_t id, uint64_t nlookup);
/** A file or directory is opened; until it is released its node stays. */
FRACTAL_API void fractal_paths_open(struct fractal_paths *paths, uint64_t id);
/** It is released. True: nobody can reach a hidden node any more. */
FRACTAL_API bool fractal_paths_release(struct fractal_paths *paths, uint64_t id);
/** Marks a node as one whose file is removed once it is closed and forgotten. */
FRACTAL_API void fractal_paths_hide(struct fractal_paths *paths, uint64_t id, bool hidden);
/** Changes whenever the node's path does. Takes no lock. */
FRACTAL_API double fractal_paths_stamp(const struct fractal_paths *paths, uint64_t id);
/** The node's path. 0, -ENOMEM, -ENAMETOOLONG, -ESTALE. */
FRACTAL_API int fractal_paths_path(struct fractal_paths *paths, uint64_t id,
				   struct fractal_path *path);
FRACTAL_API void fractal_path_free(struct fractal_path *path);
/** How many nodes there are, the root included. */
FRACTAL_API uint64_t fractal_paths_count(struct fractal_paths *paths);

/* A snapshot of the names of an open directory. Not to be used by two threads at a time. */
struct fractal_listing {
	double fh;	/* the owner's */
	uint32_t count; /* entries in it */
	bool filled;	/* the owner's; false after fractal_listing_clear() */
};

/** NULL: out of memory. */
FRACTAL_API struct fractal_listing *fractal_listing_new(void);
FRACTAL_API void fractal_listing_clear(struct fractal_listing *listing);
/** @kind: S_IFMT bits, 0: unknown. 0 or -ENOMEM. */
FRACTAL_API int fractal_listing_add(struct fractal_listing *listing, const char *name, uint32_t len,
				    uint32_t kind);
/** The name (without a NUL) at @index, from 0, or NULL behind the last one. */
FRACTAL_API const char *fractal_listing_name(const struct fractal_listing *listing, uint32_t index,
					     uint32_t *len, uint32_t *kind);
FRACTAL_API void fractal_listing_free(struct fractal_listing *listing);

#endif
