/*
 * null_embed: the null filesystem of the benchmarks as a handler table on
 * libfractal, without Lua. Between its figures and those of null.lua lies the
 * price of Lua, between it and the floor the price of the library.
 *
 *	bench_null_embed [-d] [-f SOURCE] MOUNTPOINT
 *
 * -d: over classic /dev/fuse. -f: the file has the size of SOURCE and its reads
 * are answered by a pread(2) of it, which the worker waits for.
 *
 * Prints "mounted MOUNTPOINT" when it answers; ends at SIGINT, SIGTERM or an
 * unmount from outside.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fractal.h"

enum {
	FILE_ID = 2
};

static uint64_t file_size = 1ULL << 30;
static int source_fd = -1;
static const char file_name[] = "file";
static uint8_t constant[1 << 20];
static struct fractal_session *session;

static int fill(uint64_t nodeid, struct fractal_attr *attr)
{
	attr->ino = nodeid;
	if (nodeid == FRACTAL_ROOT_ID) {
		attr->mode = S_IFDIR | 0755;
		return 0;
	}
	attr->mode = S_IFREG | 0644;
	attr->size = file_size;
	return nodeid == FILE_ID ? 0 : -ENOENT;
}

static int null_lookup(struct fractal_request *req, void *user)
{
	(void)user;
	if (strcmp(req->name, file_name) != 0)
		return -ENOENT;
	req->out->entry.nodeid = FILE_ID;
	return fill(FILE_ID, &req->out->entry.attr);
}

static int null_getattr(struct fractal_request *req, void *user)
{
	(void)user;
	return fill(req->nodeid, &req->out->attr.attr);
}

static int null_open(struct fractal_request *req, void *user)
{
	(void)user;
	req->out->open.open_flags = FRACTAL_FOPEN_DIRECT_IO;
	return 0;
}

static int null_read(struct fractal_request *req, void *user)
{
	const uint32_t size = req->reply_cap < sizeof(constant) ? req->reply_cap
								: (uint32_t)sizeof(constant);

	(void)user;
	memcpy(req->reply_data, constant, size);
	return (int)size;
}

static int file_read(struct fractal_request *req, void *user)
{
	const ssize_t n =
		pread(source_fd, req->reply_data, req->reply_cap, (off_t)req->arg->read.offset);

	(void)user;
	return n < 0 ? -errno : (int)n;
}

static int null_write(struct fractal_request *req, void *user)
{
	(void)user;
	return (int)req->data_len;
}

static struct fractal_handlers handlers = {
	.lookup = null_lookup,
	.getattr = null_getattr,
	.open = null_open,
	.read = null_read,
	.write = null_write,
};

/* Signals are blocked in all threads; this one takes them. */
static void *stop_at_signal(void *signals)
{
	int signal;

	sigwait(signals, &signal);
	fractal_session_stop(session);
	return NULL;
}

static void print_log(enum fractal_log_level level, const char *text, void *user)
{
	(void)user;
	if (level <= FRACTAL_LOG_WARN)
		fprintf(stderr, "bench_null_embed: %s\n", text);
}

static void print_ready(struct fractal_session *mounted, void *user)
{
	(void)mounted;
	printf("mounted %s\n", (const char *)user);
	fflush(stdout);
}

static bool serve_file(const char *path)
{
	struct stat st;

	source_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (source_fd < 0 || fstat(source_fd, &st))
		return false;
	file_size = (uint64_t)st.st_size;
	handlers.read = file_read;
	return true;
}

static bool parse(int argc, char **argv, struct fractal_config *config)
{
	int option;

	while ((option = getopt(argc, argv, "df:")) != -1) {
		if (option == 'd')
			config->transport = FRACTAL_TRANSPORT_DEV;
		else if (option != 'f' || !serve_file(optarg))
			return false;
	}
	return optind == argc - 1;
}

int main(int argc, char **argv)
{
	struct fractal_config config = {
		.handlers = &handlers,
		.user = argv[argc - 1],
		.fsname = "null",
		.transport = FRACTAL_TRANSPORT_URING,
		.log = print_log,
		.ready = print_ready,
	};
	pthread_t thread;
	sigset_t signals;
	int error;

	if (!parse(argc, argv, &config)) {
		fputs("usage: bench_null_embed [-d] [-f SOURCE] MOUNTPOINT\n", stderr);
		return 2;
	}
	memset(constant, 0x5a, sizeof(constant));
	error = fractal_session_new(&session, &config);
	if (error)
		return 1;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (pthread_create(&thread, NULL, stop_at_signal, &signals))
		return 1;
	error = fractal_session_mount(session, argv[argc - 1]);
	if (!error)
		error = fractal_session_run(session);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	fractal_session_free(session);
	return error ? 1 : 0;
}
