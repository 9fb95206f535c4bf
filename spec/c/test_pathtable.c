/* SPDX-License-Identifier: MIT */
/*
 * test_pathtable.c - the tree of names behind filesystems by path: lookup counts, renames of whole trees, files that are
 * removed while open, several names of one file; and that threads which use it at once leave nothing behind.
 */
#include "check.h"
#include "fractal.h"
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#define THREADS 4
#define ROUNDS	20000

static struct fractal_path path;

static const char *path_of(struct fractal_paths *t, uint64_t id)
{
	static char text[4096];

	if (fractal_paths_path(t, id, &path))
		return "(none)";
	snprintf(text, sizeof(text), "%.*s", (int)path.length, path.bytes);
	return text;
}

static uint64_t ref_kind(struct fractal_paths *t, uint64_t parent, const char *name, uint32_t kind)
{
	struct fractal_path_ref ref;

	return fractal_paths_ref(t, parent, name, (uint32_t)strlen(name), kind, &ref) ? 0 : ref.id;
}

static uint64_t dir(struct fractal_paths *t, uint64_t parent, const char *name)
{
	return ref_kind(t, parent, name, S_IFDIR);
}

static uint64_t file(struct fractal_paths *t, uint64_t parent, const char *name)
{
	return ref_kind(t, parent, name, S_IFREG);
}

static int move(struct fractal_paths *t, uint64_t parent, const char *name, uint64_t newparent,
		const char *newname, bool swap)
{
	return fractal_paths_rename(t, parent, name, (uint32_t)strlen(name), newparent, newname,
				    (uint32_t)strlen(newname), swap);
}

static void drop(struct fractal_paths *t, uint64_t parent, const char *name)
{
	fractal_paths_unlink(t, parent, name, (uint32_t)strlen(name));
}

static void lookups_are_counted(void)
{
	struct fractal_paths *t = fractal_paths_new();
	struct fractal_path_ref ref;
	uint64_t a = dir(t, 1, "a"), b = file(t, a, "b"), again;

	CHECK_TEXT(path_of(t, 1), "/");
	CHECK_TEXT(path_of(t, a), "/a");
	CHECK_TEXT(path_of(t, b), "/a/b");
	CHECK_INT(file(t, a, "b"), b);
	CHECK_INT(fractal_paths_count(t), 3);
	CHECK_INT(fractal_paths_forget(t, b, 1), 0);
	CHECK_INT(fractal_paths_find(t, a, "b", 1, &ref), 0);
	CHECK_INT(fractal_paths_forget(t, b, 1), 0);
	CHECK_INT(fractal_paths_find(t, a, "b", 1, &ref), -ENOENT);
	CHECK_INT(fractal_paths_forget(t, b, 1), -ENOENT);
	/* The slot is used again, and the kernel can tell. */
	CHECK_INT(fractal_paths_ref(t, a, "c", 1, S_IFREG, &ref), 0);
	again = ref.id;
	CHECK_INT(again, b);
	CHECK_INT(ref.generation, 1);
	/* A directory stays as long as something in it is known. */
	CHECK_INT(fractal_paths_forget(t, a, 1), 0);
	CHECK_TEXT(path_of(t, again), "/a/c");
	fractal_paths_forget(t, again, 1);
	CHECK_INT(fractal_paths_count(t), 1);
	CHECK_INT(fractal_paths_ref(t, 77, "x", 1, S_IFREG, &ref), -ESTALE);
	CHECK_INT(fractal_paths_path(t, 77, &path), -ESTALE);
	fractal_paths_free(t);
}

static void another_kind_is_another_node(void)
{
	struct fractal_paths *t = fractal_paths_new();
	uint64_t was = file(t, 1, "x"), is = dir(t, 1, "x");

	CHECK(was != is);
	CHECK_TEXT(path_of(t, is), "/x");
	CHECK_INT(fractal_paths_path(t, was, &path), 0);
	CHECK(path.removed);
	fractal_paths_forget(t, was, 1);
	fractal_paths_forget(t, is, 1);
	CHECK_INT(fractal_paths_count(t), 1);
	fractal_paths_free(t);
}

static void renames_move_what_lies_below(void)
{
	struct fractal_paths *t = fractal_paths_new();
	uint64_t a = dir(t, 1, "a"), b = dir(t, a, "b"), f = file(t, b, "f"),
		 other = dir(t, 1, "o");
	uint64_t g = file(t, other, "g");
	double before = fractal_paths_stamp(t, f);

	CHECK(fractal_paths_stamp(t, f) == before);
	CHECK_INT(move(t, 1, "a", other, "z", false), 0);
	CHECK(fractal_paths_stamp(t, f) != before);
	CHECK_TEXT(path_of(t, f), "/o/z/b/f");
	CHECK_TEXT(path_of(t, a), "/o/z");
	/* Onto a known file: that one has no name any more. */
	CHECK_INT(move(t, b, "f", other, "g", false), 0);
	CHECK_TEXT(path_of(t, f), "/o/g");
	CHECK(!path.removed);
	CHECK_TEXT(path_of(t, g), "/o/g");
	CHECK(path.removed);
	/* What is not known leaves what is alone, and onto itself is nothing. */
	CHECK_INT(move(t, other, "nothing", other, "new", false), 0);
	CHECK_INT(move(t, other, "g", other, "g", false), 0);
	CHECK_TEXT(path_of(t, f), "/o/g");
	fractal_paths_free(t);
}

static void names_are_exchanged(void)
{
	struct fractal_paths *t = fractal_paths_new();
	uint64_t a = dir(t, 1, "a"), b = dir(t, 1, "b"), x = dir(t, a, "x"), y = file(t, b, "y");
	uint64_t in_x = file(t, x, "f");

	CHECK_INT(move(t, a, "x", b, "y", true), 0);
	CHECK_TEXT(path_of(t, in_x), "/b/y/f");
	CHECK_TEXT(path_of(t, y), "/a/x");
	fractal_paths_free(t);
}

static void removed_files_stay_while_open(void)
{
	struct fractal_paths *t = fractal_paths_new();
	uint64_t a = dir(t, 1, "a"), f = file(t, a, "f"), fresh;

	fractal_paths_open(t, f);
	drop(t, a, "f");
	fractal_paths_forget(t, f, 1);
	CHECK_TEXT(path_of(t, f), "/a/f");
	CHECK(path.removed);
	fresh = file(t, a, "f");
	CHECK(fresh != f);
	CHECK_TEXT(path_of(t, fresh), "/a/f");
	CHECK(!path.removed);
	CHECK(!fractal_paths_release(t, f));
	CHECK_INT(fractal_paths_path(t, f, &path), -ESTALE);
	CHECK_INT(fractal_paths_count(t), 3);
	fractal_paths_free(t);
}

static void hidden_files_stay_until_closed(void)
{
	struct fractal_paths *t = fractal_paths_new();
	uint64_t a = dir(t, 1, "a"), f = file(t, a, "f");

	fractal_paths_open(t, f);
	fractal_paths_open(t, f);
	CHECK_INT(move(t, a, "f", 1, "hidden", false), 0);
	fractal_paths_hide(t, f, true);
	CHECK_TEXT(path_of(t, f), "/hidden");
	CHECK(path.hidden && path.removed);
	CHECK(!fractal_paths_release(t, f));
	fractal_paths_forget(t, f, 1);
	CHECK(fractal_paths_release(t, f));
	CHECK_TEXT(path_of(t, f), "/hidden");
	drop(t, 1, "hidden");
	fractal_paths_hide(t, f, false);
	CHECK_INT(fractal_paths_count(t), 2);
	fractal_paths_free(t);
}

static void a_file_has_several_names(void)
{
	struct fractal_paths *t = fractal_paths_new();
	struct fractal_path_ref ref;
	uint64_t d = dir(t, 1, "d"), f = file(t, 1, "f");

	CHECK_INT(fractal_paths_link(t, f, d, "second", 6, &ref), 0);
	CHECK_INT(ref.id, f);
	CHECK_INT(ref.names, 2);
	CHECK_INT(file(t, d, "second"), f);
	drop(t, d, "second");
	CHECK_TEXT(path_of(t, f), "/f");
	CHECK_INT(fractal_paths_link(t, f, d, "third", 5, &ref), 0);
	drop(t, 1, "f");
	CHECK_TEXT(path_of(t, f), "/d/third");
	CHECK(!path.removed);
	fractal_paths_forget(t, f, 100);
	fractal_paths_forget(t, d, 1);
	CHECK_INT(fractal_paths_count(t), 1);
	fractal_paths_free(t);
}

static void many_names_are_found(void)
{
	struct fractal_paths *t = fractal_paths_new();
	char name[32];
	int bad = 0;

	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		bad += file(t, 1, name) != (uint64_t)i + 2;
	}
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "/%d", i);
		bad += strcmp(path_of(t, (uint64_t)i + 2), name) != 0;
		fractal_paths_forget(t, (uint64_t)i + 2, 1);
	}
	CHECK_INT(bad, 0);
	CHECK_INT(fractal_paths_count(t), 1);
	fractal_paths_free(t);
}

/* ---- threads ---- */

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

/* Looks names of a few directories up, opens, renames, removes and forgets them, giving back all that it took. */
static void *wander(void *arg)
{
	struct fractal_paths *t = arg;
	struct fractal_path mine = { 0 };
	uint64_t seed = (uint64_t)(uintptr_t)&mine;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t r = next_random(&seed), d, f;
		char in[2] = { (char)('a' + r % 3), 0 }, name[2] = { (char)('p' + r / 3 % 4), 0 };

		d = dir(t, 1, in);
		f = d ? file(t, d, name) : 0;
		if (!CHECK(f))
			break;
		fractal_paths_open(t, f);
		CHECK_INT(fractal_paths_path(t, f, &mine), 0);
		if (r / 12 % 4 == 0)
			move(t, d, name, 1, "moved", r / 48 % 2);
		else if (r / 12 % 4 == 1)
			move(t, 1, in, 1, "a", false);
		else if (r / 12 % 4 == 2)
			drop(t, d, name);
		CHECK(fractal_paths_stamp(t, f) > 0);
		fractal_paths_release(t, f);
		fractal_paths_forget(t, f, 1);
		fractal_paths_forget(t, d, 1);
	}
	fractal_path_free(&mine);
	return NULL;
}

static void threads_leave_nothing_behind(void)
{
	struct fractal_paths *t = fractal_paths_new();
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, wander, t), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(fractal_paths_count(t), 1);
	fractal_paths_free(t);
}

/* ---- listings ---- */

static void listings_keep_their_order(void)
{
	struct fractal_listing *l = fractal_listing_new();
	uint32_t len, kind;
	char name[32];

	for (int i = 0; i < 5000; i++) {
		int n = snprintf(name, sizeof(name), "name %d", i);

		CHECK_INT(fractal_listing_add(l, name, (uint32_t)n, i % 2 ? S_IFDIR : S_IFREG), 0);
	}
	CHECK_INT(l->count, 5000);
	for (uint32_t i = 0; i < 5000; i++) {
		int n = snprintf(name, sizeof(name), "name %u", i);
		const char *got = fractal_listing_name(l, i, &len, &kind);

		CHECK_INT(len, n);
		CHECK(memcmp(got, name, len) == 0);
		CHECK_INT(kind, i % 2 ? S_IFDIR : S_IFREG);
	}
	CHECK(!fractal_listing_name(l, 5000, &len, &kind));
	fractal_listing_clear(l);
	CHECK(!fractal_listing_name(l, 0, &len, &kind));
	fractal_listing_free(l);
}

int main(void)
{
	RUN(lookups_are_counted);
	RUN(another_kind_is_another_node);
	RUN(renames_move_what_lies_below);
	RUN(names_are_exchanged);
	RUN(removed_files_stay_while_open);
	RUN(hidden_files_stay_until_closed);
	RUN(a_file_has_several_names);
	RUN(many_names_are_found);
	RUN(threads_leave_nothing_behind);
	RUN(listings_keep_their_order);
	fractal_path_free(&path);
	return check_result();
}
