/* SPDX-License-Identifier: MIT */
/* own.c: what a blocked thread's system call is about, asked of a thread that opens a fifo. */
#include "check.h"
#include "internal.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_own_XXXXXX";
static char fifo[64];
static struct fractal_session session = { .mnt = { .mountpoint = directory } };
static struct fractal_worker worker = { .s = &session };

struct blocked {
	const char *path; /* opened for reading, which waits for a writer */
	int fd;
};

static void *open_and_wait(void *arg)
{
	struct blocked *b = arg;

	atomic_store(&worker.tid, gettid());
	b->fd = open(b->path, O_RDONLY | O_CLOEXEC);
	return NULL;
}

/* Lets a thread block in open(@path) and asks what it waits for, @times times within so many hundredths of a second. */
static bool waits_in(const char *path, int times, char found[PATH_MAX])
{
	struct blocked b = { .path = path };
	pthread_t thread;
	bool waits = false;
	int writer;

	atomic_store(&worker.tid, 0);
	pthread_create(&thread, NULL, open_and_wait, &b);
	for (int i = 0; i < times && !waits; i++) {
		usleep(10000);
		waits = own_waits(&worker, found);
	}
	writer = open(fifo, O_WRONLY | O_CLOEXEC);
	pthread_join(thread, NULL);
	close(b.fd);
	close(writer);
	return waits;
}

static void test_absolute_path(void)
{
	char found[PATH_MAX] = "";

	CHECK(waits_in(fifo, 500, found));
	CHECK_TEXT(found, fifo);
}

static void test_relative_path(void)
{
	char found[PATH_MAX] = "";

	CHECK_INT(chdir(directory), 0);
	CHECK(waits_in("fifo", 500, found));
	CHECK_TEXT(found, fifo);
	CHECK_INT(chdir("/"), 0);
}

static void test_descriptor_of_something_else(void)
{
	char found[PATH_MAX];

	atomic_store(&worker.tid, gettid()); /* runs, and reads a file in /proc */
	CHECK(!own_waits(&worker, found));
}

static void test_other_directory(void)
{
	char found[PATH_MAX], other[] = "/tmp/test_ow";

	session.mnt.mountpoint = other;
	CHECK(!waits_in(fifo, 10, found));
	session.mnt.mountpoint = directory;
}

static void test_refusal(void)
{
	struct entry e = { .req = { .opcode = FRACTAL_OP_GETATTR, .pid = 4711 } };

	session.workers = &worker;
	session.nworkers = 1;
	atomic_store(&worker.tid, 4711);
	CHECK(own_refuse(&session, &e));
	e.req.pid = 4712;
	CHECK(!own_refuse(&session, &e));
	e.req.pid = 0;
	atomic_store(&worker.tid, 0);
	CHECK(!own_refuse(&session, &e));
	/* Nobody waits for a release, and a file that is not released is lost. */
	e.req.pid = 4711;
	atomic_store(&worker.tid, 4711);
	e.req.opcode = FRACTAL_OP_RELEASE;
	CHECK(!own_refuse(&session, &e));
}

int main(void)
{
	CHECK(mkdtemp(directory));
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	CHECK_INT(mkfifo(fifo, 0600), 0);
	RUN(test_absolute_path);
	RUN(test_relative_path);
	RUN(test_descriptor_of_something_else);
	RUN(test_other_directory);
	RUN(test_refusal);
	unlink(fifo);
	rmdir(directory);
	return check_result();
}
