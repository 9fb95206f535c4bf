/* SPDX-License-Identifier: MIT */
/*
 * test_inode.c - inode tables: nodes are found again by key and id, live as long as their lookups, and never mix up two
 * lives of a slot, with several threads as well.
 */
#include "check.h"
#include "fractal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum {
	MANY = 100000,
	THREADS = 4,
	ROUNDS = 20000, /* of each thread */
	KEYS = 300,	/* that the threads meet at */
	HELD = 64,	/* lookups that a thread holds at a time */
};

static int no_handler(struct fractal_request *req, void *user)
{
	(void)req;
	(void)user;
	return -ENOSYS;
}

static struct fractal_session *new_session(void)
{
	static const struct fractal_handlers handlers = { .getattr = no_handler };
	struct fractal_config config = { .handlers = &handlers };
	struct fractal_session *session = NULL;

	if (!CHECK_INT(fractal_session_new(&session, &config), 0))
		exit(check_result());
	return session;
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct fractal_inode_ref must_ref(struct fractal_inodes *t, uint64_t a, uint64_t b,
					 int64_t value)
{
	struct fractal_inode_ref ref = { 0 };

	CHECK_INT(fractal_inodes_ref(t, a, b, value, &ref), 0);
	return ref;
}

/* ---- one thread ---- */

static void the_first_node_is_the_root(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	struct fractal_inode_ref root = must_ref(t, 1, 2, 30);

	CHECK_INT(root.id, FRACTAL_ROOT_ID);
	CHECK(root.fresh);
	CHECK_INT(must_ref(t, 1, 3, 31).id, FRACTAL_ROOT_ID + 1);
	CHECK_INT(fractal_inodes_value(t, FRACTAL_ROOT_ID), 30);
	fractal_session_free(s);
}

static void tables_are_told_apart_by_name(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *one = fractal_session_inodes(s, "one", false);
	struct fractal_inodes *two = fractal_session_inodes(s, "two", false);

	CHECK(one != two);
	CHECK(fractal_session_inodes(s, "one", false) == one);
	must_ref(one, 1, 1, 7);
	CHECK_INT(fractal_inodes_count(one), 1);
	CHECK_INT(fractal_inodes_count(two), 0);
	CHECK_INT(fractal_inodes_value(two, FRACTAL_ROOT_ID), -1);
	fractal_session_free(s);
}

static void both_numbers_of_a_key_count(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	uint64_t id = must_ref(t, 5, 6, 50).id;
	struct fractal_inode_ref again = must_ref(t, 5, 6, 51);

	CHECK_INT(again.id, id);
	CHECK(!again.fresh);
	CHECK_INT(again.value, 50);
	CHECK(must_ref(t, 6, 5, 52).id != id);
	CHECK(must_ref(t, 5, 7, 53).id != id);
	CHECK(must_ref(t, 4, 6, 54).id != id);
	CHECK_INT(fractal_inodes_count(t), 4);
	fractal_session_free(s);
}

static void a_node_lives_as_long_as_its_lookups(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	uint64_t id = must_ref(t, 1, 1, 9).id;
	int64_t value = 0;

	must_ref(t, 1, 1, 10);
	must_ref(t, 1, 1, 11);
	CHECK_INT(fractal_inodes_forget(t, id, 2, &value), 0);
	CHECK_INT(fractal_inodes_value(t, id), 9);
	CHECK_INT(fractal_inodes_forget(t, id, 1, &value), 1);
	CHECK_INT(value, 9);
	CHECK_INT(fractal_inodes_value(t, id), -1);
	CHECK_INT(fractal_inodes_count(t), 0);
	CHECK_INT(fractal_inodes_forget(t, id, 1, &value), -ENOENT);
	fractal_session_free(s);
}

static void a_slot_used_again_has_another_generation(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	struct fractal_inode_ref old = must_ref(t, 1, 1, 1), new;
	int64_t value;

	for (int life = 0; life < 5; life++) {
		CHECK_INT(fractal_inodes_forget(t, old.id, 1, &value), 1);
		new = must_ref(t, 2, (uint64_t)life, 2);
		CHECK_INT(new.id, old.id);
		CHECK(new.generation != old.generation);
		old = new;
	}
	fractal_session_free(s);
}

static void unknown_ids_are_refused(void)
{
	static const uint64_t unknown[] = { 0, 2, 1024, 1025, 1u << 20, 1ull << 40, UINT64_MAX };
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	int64_t value = 0;

	must_ref(t, 1, 1, 1);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		CHECK_INT(fractal_inodes_value(t, unknown[i]), -1);
		CHECK_INT(fractal_inodes_forget(t, unknown[i], 1, &value), -ENOENT);
	}
	fractal_session_free(s);
}

static void more_forgets_than_lookups_end_the_node(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	uint64_t id = must_ref(t, 1, 1, 1).id;
	int64_t value;

	CHECK_INT(fractal_inodes_forget(t, id, UINT64_MAX, &value), 1);
	CHECK_INT(fractal_inodes_count(t), 0);
	fractal_session_free(s);
}

static void many_nodes_are_found_again(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	uint64_t *ids = calloc(MANY, sizeof(*ids));
	int wrong = 0;
	int64_t value;

	for (uint64_t i = 0; i < MANY; i++)
		ids[i] = must_ref(t, i % 7, i, (int64_t)i).id;
	CHECK_INT(fractal_inodes_count(t), MANY);
	for (uint64_t i = 0; i < MANY; i++) {
		struct fractal_inode_ref ref = must_ref(t, i % 7, i, -5);

		wrong += ref.fresh || ref.id != ids[i] || ref.value != (int64_t)i ||
			 fractal_inodes_value(t, ids[i]) != (int64_t)i;
	}
	CHECK_INT(wrong, 0);
	for (uint64_t i = 0; i < MANY; i++)
		wrong += fractal_inodes_forget(t, ids[i], 2, &value) != 1 || value != (int64_t)i;
	CHECK_INT(wrong, 0);
	CHECK_INT(fractal_inodes_count(t), 0);
	free(ids);
	fractal_session_free(s);
}

static void descriptors_end_with_their_nodes(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", true);
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int second = open("/dev/null", O_RDONLY | O_CLOEXEC), before = open_descriptors();
	uint64_t id = must_ref(t, 1, 1, first).id;
	int64_t value;

	must_ref(t, 1, 2, second);
	CHECK_INT(fractal_inodes_forget(t, id, 1, &value), 1);
	CHECK_INT(value, first);
	CHECK_INT(fcntl(first, F_GETFD), -1);
	CHECK(fcntl(second, F_GETFD) >= 0);
	CHECK_INT(open_descriptors(), before - 1);
	fractal_session_free(s);
	CHECK_INT(fcntl(second, F_GETFD), -1);
}

static void a_list_goes_round(void)
{
	struct fractal_session *s = new_session();
	struct fractal_inodes *t = fractal_session_inodes(s, "test", false);
	uint64_t cursor = 0, ids[8];
	int seen[9] = { 0 };
	int64_t value;

	CHECK_INT(fractal_inodes_list(t, &cursor, ids, 8), 0);
	for (uint64_t i = 0; i < 8; i++)
		must_ref(t, 1, i, (int64_t)i);
	CHECK_INT(fractal_inodes_forget(t, 3, 1, &value), 1);
	for (int i = 0; i < 3; i++) {
		uint32_t n = fractal_inodes_list(t, &cursor, ids, 3);

		CHECK_INT(n, 3);
		for (uint32_t k = 0; k < n; k++)
			seen[ids[k]]++;
	}
	for (int id = 1; id <= 8; id++)
		CHECK(id == 3 ? seen[id] == 0 : seen[id] == 1 || seen[id] == 2);
	CHECK_INT(fractal_inodes_list(t, &cursor, ids, 8), 7);
	fractal_session_free(s);
}

/* ---- several threads ---- */

struct visitor {
	pthread_t thread;
	struct fractal_inodes *table;
	unsigned seed;
	int wrong;
};

/* A descriptor for the node of @key, told apart from others by its position. */
static int64_t descriptor_of(uint64_t key)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	lseek(fd, (off_t)key, SEEK_SET);
	return fd;
}

/* Looks a key up and checks that the node is that key's. */
static uint64_t visit(struct visitor *v, uint64_t key)
{
	int64_t fd = descriptor_of(key);
	struct fractal_inode_ref ref, again;

	if (fractal_inodes_ref(v->table, 1, key, fd, &ref))
		v->wrong++;
	if (!ref.fresh)
		close((int)fd);
	v->wrong += lseek((int)fractal_inodes_value(v->table, ref.id), 0, SEEK_CUR) != (off_t)key;
	if (fractal_inodes_ref(v->table, 1, key, -1, &again) || again.fresh || again.id != ref.id ||
	    again.generation != ref.generation || again.value != ref.value)
		v->wrong++;
	return ref.id;
}

static void *visit_keys(void *arg)
{
	struct visitor *v = arg;
	uint64_t held[HELD] = { 0 };
	int64_t value;

	for (int i = 0; i < ROUNDS + HELD; i++) {
		uint64_t *slot = &held[i % HELD];
		int left;

		if (*slot) {
			left = fractal_inodes_forget(v->table, *slot, 2, &value);
			v->wrong += left != 0 && left != 1;
		}
		*slot = i < ROUNDS ? visit(v, (uint64_t)rand_r(&v->seed) % KEYS) : 0;
	}
	return NULL;
}

static void threads_share_a_table(void)
{
	struct fractal_session *s = new_session();
	struct visitor v[THREADS];
	struct fractal_inodes *t = fractal_session_inodes(s, "test", true);
	uint64_t cursor = 0, ids[KEYS];
	int before = open_descriptors(), wrong = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		v[i] = (struct visitor){ .table = t, .seed = i + 1 };
		CHECK_INT(pthread_create(&v[i].thread, NULL, visit_keys, &v[i]), 0);
	}
	for (int i = 0; i < 1000; i++)
		wrong += fractal_inodes_list(t, &cursor, ids, KEYS) > KEYS ||
			 fractal_inodes_count(t) > KEYS;
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(v[i].thread, NULL);
		wrong += v[i].wrong;
	}
	CHECK_INT(wrong, 0);
	CHECK_INT(fractal_inodes_count(t), 0);
	CHECK_INT(open_descriptors(), before);
	fractal_session_free(s);
}

static void *find_table(void *arg)
{
	return fractal_session_inodes(arg, "made by several", false);
}

static void threads_find_one_table(void)
{
	struct fractal_session *s = new_session();
	pthread_t threads[THREADS];
	void *first = NULL, *table;

	for (int i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, find_table, s), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &table);
		first = first ? first : table;
		CHECK(table && table == first);
	}
	fractal_session_free(s);
}

int main(void)
{
	RUN(the_first_node_is_the_root);
	RUN(tables_are_told_apart_by_name);
	RUN(both_numbers_of_a_key_count);
	RUN(a_node_lives_as_long_as_its_lookups);
	RUN(a_slot_used_again_has_another_generation);
	RUN(unknown_ids_are_refused);
	RUN(more_forgets_than_lookups_end_the_node);
	RUN(many_nodes_are_found_again);
	RUN(descriptors_end_with_their_nodes);
	RUN(a_list_goes_round);
	RUN(threads_share_a_table);
	RUN(threads_find_one_table);
	return check_result();
}
