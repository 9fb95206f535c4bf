/*
 * floor: the least a FUSE-over-io_uring server can cost, as a yardstick.
 *
 * It does by hand, on bare liburing, what every server must do, and nothing
 * else: one directory with one 1 GiB file named "file", attributes that never
 * change, timeouts of zero, direct I/O. Writes are dropped. Reads answer with
 * whatever the payload buffer holds, or, with -c, with bytes copied from a
 * constant buffer, as a server that owns its data has to.
 *
 * Each possible CPU has a thread pinned to it, with a ring and a queue of its
 * own, so that a caller is answered on its own core. The loop submits without
 * waiting, looks at the completion queue, and sleeps only when that is empty:
 * a caller woken by the commit often has its next request ready by then.
 *
 *	bench_floor [-c] [-q ENTRIES] [-w BYTES] MOUNTPOINT
 *
 * Runs in the foreground as root, prints "mounted MOUNTPOINT" when it answers,
 * and ends at SIGINT, SIGTERM or an unmount from outside.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi.h" /* the ring's structs, which older linux/fuse.h lack */

enum {
	FILE_ID = 2,
	SQE_BYTES = 128,
	PAGE = 4096,
	DEV_SLACK = 2 * PAGE, /* headers before the data of a classic request */
};

static const uint64_t over_io_uring = 1ULL << 41; /* in INIT's 64 flag bits */
static const uint64_t file_size = 1ULL << 30;
static const char file_name[] = "file";

/* One slot of a queue: the kernel fills it, we answer in it. */
struct slot {
	struct fractal_uring_req_header *header;
	char *payload;
	struct iovec area[2]; /* header and payload, as REGISTER wants them */
};

struct queue {
	_Alignas(128) struct io_uring ring;
	struct slot *slots;
	pthread_t thread;
	uint16_t id; /* the CPU it belongs to */
};

static struct {
	const char *mountpoint;
	unsigned int depth;
	unsigned int max_write;
	char *constant; /* what reads are copied from; NULL without -c */
	int fd;
	unsigned int queue_count;
	struct queue *queues;
	atomic_uint queues_ready;
} floor_state = { .depth = 8, .max_write = 1 << 20 };

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(error));
	if (floor_state.mountpoint)
		umount2(floor_state.mountpoint, MNT_DETACH);
	exit(1);
}

/* The filesystem: each function fills @out and returns its bytes or -errno. */

static int fill_attr(uint64_t id, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){ .ino = id, .blksize = PAGE, .nlink = 1 };
	if (id == FUSE_ROOT_ID) {
		attr->mode = S_IFDIR | 0755;
		attr->nlink = 2;
		return 0;
	}
	attr->mode = S_IFREG | 0644;
	attr->size = file_size;
	return id == FILE_ID ? 0 : -ENOENT;
}

static int answer_lookup(const char *name, void *out)
{
	struct fuse_entry_out *entry = out;

	if (strcmp(name, file_name) != 0)
		return -ENOENT;
	*entry = (struct fuse_entry_out){ .nodeid = FILE_ID };
	fill_attr(FILE_ID, &entry->attr);
	return sizeof(*entry);
}

static int answer_getattr(uint64_t id, void *out)
{
	struct fuse_attr_out *attr = out;
	int error;

	*attr = (struct fuse_attr_out){ 0 };
	error = fill_attr(id, &attr->attr);
	return error ? error : (int)sizeof(*attr);
}

static int answer_open(uint32_t flags, void *out)
{
	*(struct fuse_open_out *)out = (struct fuse_open_out){ .open_flags = flags };
	return sizeof(struct fuse_open_out);
}

static int answer_read(const struct fuse_read_in *arg, void *out)
{
	uint64_t left = arg->offset < file_size ? file_size - arg->offset : 0;
	uint32_t size = arg->size < left ? arg->size : (uint32_t)left;

	if (floor_state.constant)
		memcpy(out, floor_state.constant, size);
	return (int)size;
}

static int answer_write(const struct fuse_write_in *arg, void *out)
{
	uint32_t size = arg->size;

	*(struct fuse_write_out *)out = (struct fuse_write_out){ .size = size };
	return sizeof(struct fuse_write_out);
}

static int answer_readdir(const struct fuse_read_in *arg, void *out)
{
	const size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + sizeof(file_name) - 1);
	struct fuse_dirent *dirent = out;

	if (arg->offset > 0)
		return 0;
	memset(dirent, 0, size);
	dirent->ino = FILE_ID;
	dirent->off = 1;
	dirent->namelen = sizeof(file_name) - 1;
	dirent->type = S_IFREG >> 12;
	memcpy(dirent->name, file_name, sizeof(file_name) - 1);
	return (int)size;
}

/*
 * @arg is the operation's own struct, @rest what follows it (a name here).
 * @out may be @rest: a name is read before the answer overwrites it.
 */
static int answer(const struct fuse_in_header *in, const void *arg, const char *rest, void *out)
{
	switch (in->opcode) {
	case FUSE_LOOKUP:
		return answer_lookup(rest, out);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return answer_getattr(in->nodeid, out);
	case FUSE_OPEN:
		return answer_open(FOPEN_DIRECT_IO, out);
	case FUSE_OPENDIR:
		return answer_open(0, out);
	case FUSE_READ:
		return answer_read(arg, out);
	case FUSE_WRITE:
		return answer_write(arg, out);
	case FUSE_READDIR:
		return answer_readdir(arg, out);
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return 0;
	default:
		return -ENOSYS;
	}
}

/* The ring: register slots, then answer and fetch again until -ENOTCONN. */

static void prepare(struct queue *queue, struct slot *slot, uint32_t command, uint64_t commit_id)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
	struct fractal_uring_cmd_req *request;

	if (!sqe)
		die("submission queue", ENOSPC);
	memset(sqe, 0, SQE_BYTES);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = command;
	sqe->user_data = (uintptr_t)slot;
	if (command == FRACTAL_URING_CMD_REGISTER) {
		sqe->addr = (uintptr_t)slot->area;
		sqe->len = 2;
	}
	request = (void *)sqe->cmd;
	request->qid = queue->id;
	request->commit_id = commit_id;
}

static void *map_populated(size_t bytes)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (area == MAP_FAILED)
		die("mmap", errno);
	return area;
}

/* The ring's files and entries belong to the thread that will enter it. */
static void open_queue(struct queue *queue)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG,
	};
	const unsigned int depth = floor_state.depth;
	char *headers = map_populated((size_t)depth * PAGE);
	char *payloads = map_populated((size_t)depth * floor_state.max_write);
	int error = io_uring_queue_init_params(depth, &queue->ring, &params);

	if (error)
		die("io_uring_setup", -error);
	error = io_uring_register_files(&queue->ring, &floor_state.fd, 1);
	if (error)
		die("registering /dev/fuse", -error);
	io_uring_register_ring_fd(&queue->ring);

	queue->slots = calloc(depth, sizeof(*queue->slots));
	if (!queue->slots)
		die("calloc", ENOMEM);
	for (unsigned int i = 0; i < depth; i++) {
		struct slot *slot = &queue->slots[i];

		slot->header = (void *)(headers + (size_t)i * PAGE);
		slot->payload = payloads + (size_t)i * floor_state.max_write;
		slot->area[0] = (struct iovec){ slot->header, sizeof(*slot->header) };
		slot->area[1] = (struct iovec){ slot->payload, floor_state.max_write };
		prepare(queue, slot, FRACTAL_URING_CMD_REGISTER, 0);
	}
	io_uring_submit(&queue->ring);
}

static void serve_slot(struct queue *queue, struct slot *slot)
{
	struct fractal_uring_req_header *header = slot->header;
	struct fuse_out_header *out = (void *)header->in_out;
	const struct fuse_in_header *in = (void *)header->in_out;
	const uint64_t unique = in->unique;
	const int result = answer(in, header->op_in, slot->payload, slot->payload);

	out->error = result < 0 ? result : 0;
	out->unique = unique;
	header->ring_ent_in_out.payload_sz = result < 0 ? 0 : (uint32_t)result;
	prepare(queue, slot, FRACTAL_URING_CMD_COMMIT_AND_FETCH, header->ring_ent_in_out.commit_id);
}

/* Serves what is complete. False once the connection is gone. */
static int serve_completions(struct queue *queue)
{
	struct io_uring_cqe *cqe;
	unsigned int head;
	unsigned int count = 0;
	int alive = 1;

	io_uring_for_each_cqe(&queue->ring, head, cqe) {
		count++;
		if (cqe->res == 0)
			serve_slot(queue, (struct slot *)(uintptr_t)cqe->user_data);
		else if (cqe->res == -ENOTCONN || cqe->res == -ECONNABORTED)
			alive = 0;
		else
			die("io_uring command", -cqe->res);
	}
	io_uring_cq_advance(&queue->ring, count);
	return alive;
}

static void *run_queue(void *arg)
{
	struct queue *queue = arg;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(queue->id, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus); /* an offline CPU: anywhere */
	open_queue(queue);
	if (atomic_fetch_add(&floor_state.queues_ready, 1) + 1 == floor_state.queue_count) {
		printf("mounted %s\n", floor_state.mountpoint);
		fflush(stdout);
	}
	do {
		io_uring_submit(&queue->ring);
		if (!io_uring_cq_ready(&queue->ring))
			io_uring_submit_and_wait(&queue->ring, 1);
	} while (serve_completions(queue));
	io_uring_queue_exit(&queue->ring);
	return NULL;
}

/* /dev/fuse: INIT, what comes before the rings are up, and forgets. */

static void reply(uint64_t unique, int result, void *body)
{
	const size_t bytes = result > 0 ? (size_t)result : 0;
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + bytes),
		.error = result < 0 ? result : 0,
		.unique = unique,
	};
	struct iovec parts[2] = { { &out, sizeof(out) }, { body, bytes } };

	/* ENOENT: the caller was interrupted and is gone. */
	if (writev(floor_state.fd, parts, 2) < 0 && errno != ENOENT)
		die("replying on /dev/fuse", errno);
}

static void start(const struct fuse_in_header *in, const struct fuse_init_in *init)
{
	const uint64_t offered = init->flags | (uint64_t)init->flags2 << 32;
	const uint64_t wanted = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_INIT_EXT | FUSE_ASYNC_READ |
				FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | over_io_uring;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = init->max_readahead,
		.flags = (uint32_t)(wanted & offered),
		.flags2 = (uint32_t)((wanted & offered) >> 32),
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = floor_state.max_write,
		.max_pages = (uint16_t)(floor_state.max_write / PAGE),
		.time_gran = 1,
	};

	if (!(offered & over_io_uring))
		die("the kernel does not offer the ring; "
		    "echo Y > /sys/module/fuse/parameters/enable_uring",
		    EOPNOTSUPP);
	reply(in->unique, sizeof(out), &out);
	for (unsigned int i = 0; i < floor_state.queue_count; i++) {
		struct queue *queue = &floor_state.queues[i];

		if (pthread_create(&queue->thread, NULL, run_queue, queue))
			die("pthread_create", EAGAIN);
	}
}

/* The operation's struct lies before the names; LOOKUP has none. */
static void serve_early(const struct fuse_in_header *in, char *body)
{
	const char *arg = (const char *)(in + 1);

	reply(in->unique, answer(in, arg, arg, body), body);
}

static void serve_device(void)
{
	const size_t capacity = floor_state.max_write + DEV_SLACK;
	char *request = map_populated(capacity);
	char *body = map_populated(capacity);
	const struct fuse_in_header *in = (void *)request;

	for (;;) {
		if (read(floor_state.fd, request, capacity) < 0) {
			if (errno == EINTR || errno == EAGAIN || errno == ENOENT)
				continue;
			break; /* ENODEV: unmounted */
		}
		if (in->opcode == FUSE_INIT)
			start(in, (const void *)(in + 1));
		else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET &&
			 in->opcode != FUSE_INTERRUPT)
			serve_early(in, body);
	}
}

/* Set-up. */

/* Signals are blocked in all threads; this one takes them. */
static void *unmount_at_signal(void *arg)
{
	int signal;

	sigwait(arg, &signal);
	umount2(floor_state.mountpoint, MNT_DETACH);
	return NULL;
}

static void catch_signals(void)
{
	static sigset_t signals;
	pthread_t thread;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (pthread_create(&thread, NULL, unmount_at_signal, &signals))
		die("pthread_create", EAGAIN);
}

/* The queues the kernel waits for: one for each *possible* CPU ("0-3"). */
static unsigned int possible_cpus(void)
{
	FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned int first = 0;
	unsigned int last = 0;

	if (!file)
		die("/sys/devices/system/cpu/possible", errno);
	if (fscanf(file, "%u-%u", &first, &last) < 1)
		die("/sys/devices/system/cpu/possible", EINVAL);
	fclose(file);
	return last + 1;
}

static void mount_device(const char *mountpoint)
{
	char options[96];

	floor_state.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (floor_state.fd < 0)
		die("/dev/fuse", errno);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 floor_state.fd);
	if (mount("bench_floor", mountpoint, "fuse.bench_floor", MS_NOSUID | MS_NODEV, options))
		die("mounting (root is needed)", errno);
	floor_state.mountpoint = mountpoint;
}

static void parse(int argc, char **argv)
{
	int copy = 0;
	int option;

	while ((option = getopt(argc, argv, "cq:w:")) != -1) {
		if (option == 'c')
			copy = 1;
		else if (option == 'q')
			floor_state.depth = (unsigned int)strtoul(optarg, NULL, 0);
		else if (option == 'w')
			floor_state.max_write = (unsigned int)strtoul(optarg, NULL, 0);
		else
			optind = argc;
	}
	if (optind != argc - 1 || floor_state.depth == 0 || floor_state.max_write < DEV_SLACK) {
		fputs("usage: bench_floor [-c] [-q ENTRIES] [-w BYTES, 8192 or more] MOUNTPOINT\n",
		      stderr);
		exit(2);
	}
	if (copy) {
		floor_state.constant = map_populated(floor_state.max_write);
		memset(floor_state.constant, 0x5a, floor_state.max_write);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	floor_state.queue_count = possible_cpus();
	floor_state.queues = aligned_alloc(_Alignof(struct queue),
					   floor_state.queue_count * sizeof(struct queue));
	if (!floor_state.queues)
		die("aligned_alloc", ENOMEM);
	memset(floor_state.queues, 0, floor_state.queue_count * sizeof(struct queue));
	for (unsigned int i = 0; i < floor_state.queue_count; i++)
		floor_state.queues[i].id = (uint16_t)i;

	mount_device(argv[optind]);
	catch_signals();
	serve_device();
	for (unsigned int i = 0; i < floor_state.queue_count; i++)
		if (floor_state.queues[i].thread)
			pthread_join(floor_state.queues[i].thread, NULL);
	return 0;
}
