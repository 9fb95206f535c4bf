/* SPDX-License-Identifier: MIT */
/*
 * test_payload.c - payload memory is given back when idle, and never under a request that has just arrived or a reply that is
 * still to be sent.
 */
#include "flatfs.h"
#include <sched.h>

#define BLOCK	   (128u << 10)
#define LARGE	   (1u << 20)
#define TRIM_EVERY 2.0 /* seconds */

static _Atomic int stall_ms; /* how long the next getattr holds its worker */
static _Atomic int write_ms; /* and each write */

static int stalling_getattr(struct fractal_request *req, void *user)
{
	pause_ms(atomic_exchange(&stall_ms, 0));
	return flat_getattr(req, user);
}

static int slow_write(struct fractal_request *req, void *user)
{
	pause_ms(atomic_load(&write_ms));
	return flat_write(req, user);
}

static const struct fractal_handlers stalling = { FLAT_HANDLERS };

/* All requests take the queue of one CPU. */
static int open_on_first_cpu(const char *mountpoint, const char *name)
{
	cpu_set_t set;
	int fd;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
	fd = open(in_mount(mountpoint, name), O_RDWR | O_CREAT, 0644);
	CHECK(fd >= 0);
	return fd;
}

static void fill(uint8_t *block, size_t n, int seed)
{
	for (size_t i = 0; i < n; i++)
		block[i] = (uint8_t)(i * 131 + i / 4096 + (size_t)seed + 1);
}

static int write_one(const char *mountpoint, const char *name)
{
	static uint8_t block[BLOCK];
	int fd = open_on_first_cpu(mountpoint, name);

	fill(block, BLOCK, 1);
	CHECK_INT(pwrite(fd, block, BLOCK, 0), BLOCK);
	return 0;
}

static int write_first(const char *mountpoint)
{
	return write_one(mountpoint, "first");
}

static int write_second(const char *mountpoint)
{
	return write_one(mountpoint, "second");
}

/* Holds the worker from before the second trim till after it. */
static int hold_worker(const char *mountpoint)
{
	int fd = open_on_first_cpu(mountpoint, "first");
	struct stat st;

	pause_ms((long)(TRIM_EVERY * 1500));
	CHECK_INT(fstat(fd, &st), 0);
	return 0;
}

/* Its write arrives while the worker is held, behind the trim's timer. */
static int write_behind_timer(const char *mountpoint)
{
	static uint8_t block[BLOCK];
	int fd = open_on_first_cpu(mountpoint, "second");

	fill(block, BLOCK, 7);
	pause_ms((long)(TRIM_EVERY * 1000) * 2 + 300);
	CHECK_INT(pwrite(fd, block, BLOCK, 0), BLOCK);
	return 0;
}

static bool start_one_worker(struct server *v, struct flatfs *fs, struct fractal_handlers *handlers)
{
	*handlers = stalling;
	/* Else the kernel asks for security.capability before the write. */
	handlers->getxattr = NULL;
	handlers->getattr = stalling_getattr;
	handlers->write = slow_write;
	return start_flat(v, fs,
			  (struct fractal_config){ .transport = FRACTAL_TRANSPORT_URING,
						   .workers = 1,
						   .queue_depth = 2,
						   .handlers = handlers });
}

static void is_not_given_back_under_a_request_that_arrives(void)
{
	static uint8_t block[BLOCK];
	struct flatfs *fs = flat_new();
	struct fractal_handlers handlers;
	struct server v;
	pid_t one, two;

	if (!start_one_worker(&v, fs, &handlers))
		return;
	/* Two entries have been used for large requests, and both are idle when the first trim looks. */
	write_ms = 50;
	one = client_start(write_first, v.mountpoint);
	two = client_start(write_second, v.mountpoint);
	CHECK_INT(client_wait(&v, one, CLIENT_SECONDS), 0);
	CHECK_INT(client_wait(&v, two, CLIENT_SECONDS), 0);
	write_ms = 0;
	one = client_start(hold_worker, v.mountpoint);
	two = client_start(write_behind_timer, v.mountpoint);
	pause_ms((long)(TRIM_EVERY * 1400));
	stall_ms = (int)(TRIM_EVERY * 800);
	CHECK_INT(client_wait(&v, one, CLIENT_SECONDS), 0);
	CHECK_INT(client_wait(&v, two, CLIENT_SECONDS), 0);
	CHECK_INT(server_stop(&v), 0);
	fill(block, BLOCK, 7);
	CHECK_BYTES(flat_find(fs, "second")->data, block, BLOCK);
	flat_free(fs);
}

/* Enough large ones for a huge page, with contents that are checked on both sides of the change. */
static int write_many(const char *mountpoint)
{
	static uint8_t block[LARGE], got[LARGE];
	int fd = open_on_first_cpu(mountpoint, "first");

	for (int i = 0; i < 80; i++) {
		fill(block, LARGE, i);
		CHECK_INT(pwrite(fd, block, LARGE, 0), LARGE);
		CHECK_INT(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
		CHECK_INT(pread(fd, got, LARGE, 0), LARGE);
		CHECK_BYTES(got, block, LARGE);
	}
	return 0;
}

/* A line of smaps_rollup, KiB. */
static long memory_of_this_process(const char *line)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char text[256];
	long kib = -1;

	while (f && fgets(text, sizeof(text), f))
		if (strncmp(text, line, strlen(line)) == 0)
			sscanf(text + strlen(line), ": %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

static void grows_huge_and_is_given_back(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	long huge;

	if (!start_flat(&v, fs, (struct fractal_config){ .transport = transport, .workers = 1 }))
		return;
	huge = memory_of_this_process("AnonHugePages");
	CHECK_INT(client_run(&v, write_many), 0);
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0)
		CHECK(memory_of_this_process("AnonHugePages") >= huge + 2048);
	for (double end = seconds_now() + 5 * TRIM_EVERY;
	     memory_of_this_process("AnonHugePages") > huge && seconds_now() < end;)
		pause_ms(100);
	CHECK(memory_of_this_process("AnonHugePages") <= huge);
	CHECK_INT(client_run(&v, write_many), 0);
	CHECK_INT(server_stop(&v), 0);
	flat_free(fs);
}

static void grows_huge_under_load_and_is_given_back_when_idle(void)
{
	on_both(grows_huge_and_is_given_back);
}

int main(void)
{
	need_mounts();
	if (have_uring())
		RUN(is_not_given_back_under_a_request_that_arrives);
	RUN(grows_huge_under_load_and_is_given_back_when_idle);
	return check_result();
}
