/* SPDX-License-Identifier: MIT */
/*
 * test_pool.c - operations of a worker without a ring: on threads, waiting for descriptors and times, cancelled, timed out,
 * more than fit, and looked up.
 */
#include "offline.h"
#include <poll.h>
#include <sys/mman.h>

#define MANY	  1000
#define NO_LIMIT  (-1.0)
#define POOL_FULL 4096

static struct fractal_io *new_io(void)
{
	struct fractal_io *io = fractal_io_new(offline.worker);

	if (!io)
		exit(1);
	io->req = NULL;
	return io;
}

/* The next operation that ends. */
static struct fractal_io *next_done(void)
{
	struct fractal_io *io;

	while (!(io = fractal_io_take(offline.worker)))
		if (fractal_worker_poll(offline.worker))
			return NULL;
	return io;
}

/* Waits for the only operation there is. */
static int result_of(struct fractal_io *io)
{
	int result;

	fractal_io_wait(io);
	CHECK(next_done() == io);
	result = io->result;
	fractal_io_free(io);
	return result;
}

static int pipe_of(int ends[2])
{
	return CHECK_INT(pipe2(ends, O_CLOEXEC), 0) ? 0 : -1;
}

static void close_both(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static void calls_run_on_threads(void)
{
	int64_t at[2] = { 5, 0 };
	int64_t seek[6] = { 0, (int64_t)(uintptr_t)at, SEEK_SET };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct fractal_io *io;
	char bytes[4] = "";

	seek[0] = fd;
	io = new_io();
	CHECK_INT(fractal_io_call(io, FRACTAL_CALL_LSEEK, seek, NO_LIMIT), 0);
	CHECK_INT(result_of(io), 0);
	CHECK_INT(at[0], 5);
	io = new_io();
	CHECK_INT(fractal_io_start(io, IORING_OP_READ, fd, bytes, 3, 1, 0, NO_LIMIT), 0);
	CHECK_INT(result_of(io), 3);
	CHECK(!memcmp(bytes, "ELF", 3));
	io = new_io();
	CHECK_INT(fractal_io_call(io, FRACTAL_CALL_COUNT, seek, NO_LIMIT), -EINVAL);
	fractal_io_free(io);
	io = new_io();
	CHECK_INT(fractal_io_start(io, IORING_OP_CLOSE, fd, NULL, 0, 0, 0, NO_LIMIT), 0);
	CHECK_INT(result_of(io), 0);
	CHECK(fcntl(fd, F_GETFD) < 0);
}

static void many_run_at_once(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), ended = 0;
	static char bytes[MANY][4];

	for (int i = 0; i < MANY; i++) {
		struct fractal_io *io = new_io();

		CHECK_INT(fractal_io_start(io, IORING_OP_READ, fd, bytes[i], 4, 0, 0, NO_LIMIT), 0);
		fractal_io_wait(io);
		io = new_io();
		CHECK_INT(fractal_io_sleep(io, 0.001 * (i % 50)), 0);
		fractal_io_wait(io);
	}
	for (struct fractal_io *io; ended < 2 * MANY && (io = next_done()); ended++) {
		CHECK(io->result == 4 || io->result == 0);
		fractal_io_free(io);
	}
	for (int i = 0; i < MANY; i++)
		CHECK(!memcmp(bytes[i], "\177ELF", 4));
	CHECK_INT(offline.worker->pool_ios, 0);
	close(fd);
}

static void descriptors_are_waited_for(void)
{
	struct fractal_io *io = new_io(), *other = new_io();
	char bytes[8] = "";
	int ends[2];

	if (pipe_of(ends))
		return;
	CHECK_INT(fractal_io_start(io, IORING_OP_READ, ends[0], bytes, 8, -1, 0, NO_LIMIT), 0);
	fractal_io_wait(io);
	CHECK_INT(fractal_io_start(other, IORING_OP_POLL_ADD, ends[0], NULL, 0, 0, POLLIN, 0.01),
		  0);
	CHECK_INT(result_of(other), -ETIMEDOUT);
	CHECK_INT(write(ends[1], "hello", 5), 5);
	CHECK(next_done() == io);
	CHECK_INT(io->result, 5);
	CHECK(!memcmp(bytes, "hello", 5));
	fractal_io_free(io);
	io = new_io();
	CHECK_INT(fractal_io_start(io, IORING_OP_POLL_ADD, 12345, NULL, 0, 0, POLLIN, NO_LIMIT), 0);
	CHECK_INT(result_of(io), -EBADF);
	close_both(ends);
}

static void waits_are_cancelled(void)
{
	struct fractal_io *io[3] = { new_io(), new_io(), new_io() };
	char bytes[8];
	int ends[2];

	if (pipe_of(ends))
		return;
	fractal_io_start(io[0], IORING_OP_READ, ends[0], bytes, 8, -1, 0, NO_LIMIT);
	fractal_io_sleep(io[1], 1000);
	fractal_io_start(io[2], IORING_OP_POLL_ADD, ends[0], NULL, 0, 0, POLLIN, 1000);
	for (int i = 0; i < 3; i++)
		fractal_io_wait(io[i]);
	for (int i = 0; i < 3; i++) {
		fractal_io_cancel(io[i], EINTR);
		fractal_io_cancel(io[i], EINTR);
		CHECK(next_done() == io[i]);
		CHECK_INT(io[i]->result, -EINTR);
		fractal_io_free(io[i]);
	}
	CHECK_INT(offline.worker->pool_ios, 0);
	close_both(ends);
}

/* Four writes to full pipes hold the threads; what is queued behind them is refused, cancelled or timed out. */
static void threads_are_bounded(void)
{
	static char large[1 << 20];
	struct fractal_io *io;
	int ends[4][2], refused = 0, got = 0;

	for (int i = 0; i < 4; i++) {
		if (pipe_of(ends[i]))
			return;
		io = new_io();
		io->tag = -1 - i;
		fractal_io_start(io, IORING_OP_WRITE, ends[i][1], large, sizeof(large), -1, 0,
				 NO_LIMIT);
		fractal_io_wait(io);
	}
	usleep(50000);
	io = new_io();
	CHECK_INT(fractal_io_start(io, IORING_OP_FSYNC, ends[0][0], NULL, 0, 0, 0, 0.01), 0);
	CHECK_INT(result_of(io), -ETIMEDOUT);
	for (int i = 0; i < POOL_FULL + 1 && !refused; i++) {
		io = new_io();
		refused =
			fractal_io_start(io, IORING_OP_FSYNC, ends[0][0], NULL, 0, 0, 0, NO_LIMIT);
		if (refused)
			fractal_io_free(io);
		else
			fractal_io_wait(io);
	}
	CHECK_INT(refused, -EAGAIN);
	CHECK_INT(offline.worker->pool_ios, POOL_FULL + 4);
	/* The mount's end cancels what is queued; what runs is finished first. */
	for (int i = 0; i < 4; i++)
		close(ends[i][0]);
	signal(SIGPIPE, SIG_IGN);
	io_close_all(offline.worker);
	for (; got < POOL_FULL + 4 && (io = next_done()); got++) {
		if (io->tag >= 0)
			CHECK(io->result == -ECANCELED || io->result == -EBADF ||
			      io->result == -EINVAL);
		fractal_io_free(io);
	}
	CHECK_INT(got, POOL_FULL + 4);
	for (int i = 0; i < 4; i++)
		close(ends[i][1]);
	offline.worker->ios_closed = false;
}

static void hosts_are_looked_up(void)
{
	struct fractal_address found[FRACTAL_ADDRESSES];
	struct fractal_io *io = new_io();
	int result;

	CHECK_INT(fractal_io_resolve(io, "127.0.0.1", found, NO_LIMIT), 0);
	CHECK_INT(result_of(io), 1);
	CHECK_INT(found[0].family, AF_INET);
	CHECK(!memcmp(found[0].addr, "\177\0\0\1", 4));
	/* Left behind at once, whatever its answer. */
	io = new_io();
	CHECK_INT(fractal_io_resolve(io, "name.invalid", found, NO_LIMIT), 0);
	fractal_io_wait(io);
	fractal_io_cancel(io, EINTR);
	CHECK(next_done() == io);
	result = io->result;
	CHECK(result == -EINTR || result == -ENOENT || result == -EAGAIN);
	fractal_io_free(io);
}

/* As on a kernel whose ring cannot truncate: that one operation runs on a thread, beside others on the ring. */
static void what_the_ring_lacks_runs_on_threads(void)
{
	struct fractal_worker *w = offline.worker;
	struct fractal_io *truncate, *read;
	int fd = memfd_create("file", MFD_CLOEXEC);
	char bytes[8];

	if (ring_setup(w)) {
		printf("        (no io_uring here)\n");
		return;
	}
	w->ring_ops &= ~(1ull << RING_OP_FTRUNCATE);
	truncate = new_io();
	CHECK_INT(fractal_io_start(truncate, RING_OP_FTRUNCATE, fd, NULL, 0, 5, 0, NO_LIMIT), 0);
	CHECK_INT(w->pool_ios, 1);
	CHECK_INT(result_of(truncate), 0);
	CHECK_INT(lseek(fd, 0, SEEK_END), 5);
	read = new_io();
	CHECK_INT(fractal_io_start(read, IORING_OP_READ, fd, bytes, 8, 0, 0, NO_LIMIT), 0);
	CHECK_INT(w->ring_ios, 1);
	CHECK_INT(result_of(read), 5);
	close(fd);
	ring_teardown(w);
}

int main(void)
{
	offline_start(NULL);
	RUN(calls_run_on_threads);
	RUN(many_run_at_once);
	RUN(descriptors_are_waited_for);
	RUN(waits_are_cancelled);
	RUN(threads_are_bounded);
	RUN(hosts_are_looked_up);
	RUN(what_the_ring_lacks_runs_on_threads);
	offline_stop();
	return check_result();
}
