/*
 * client: a closed loop of one system call against a file, timed.
 *
 * Each thread opens the file for itself, repeats the call until the time is up
 * and times every call, so that the rate and the latencies are of the same
 * run. Caches must be off in the filesystem under test (timeouts 0, direct
 * I/O): the calls then turn into requests as the table says.
 *
 * Several files take turns of some milliseconds each: a machine whose speed
 * changes does so for all of them alike.
 *
 *	fstat    statx of an O_PATH descriptor, FORCE_SYNC	GETATTR
 *	fstatat  fstatat of the name in its directory		LOOKUP, GETATTR
 *	pread    O_DIRECT at random aligned offsets		READ
 *	pwrite   O_DIRECT at random aligned offsets		WRITE
 *
 *	bench_client [-t THREADS] [-p CPU,CPU...] [-d SECONDS] [-s MILLISECONDS] [-b BYTES] CALL FILE...
 *
 * Thread i is pinned to the i-th CPU of the list, around and around; without a
 * list it roams. Prints one line of JSON for each file: calls, rate (calls a
 * second), p50 and p99 (nanoseconds), cpu (seconds, user and system, of the
 * whole run).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * Latencies are counted in buckets whose width grows with the value: one for
 * each nanosecond below FINE, then HALF equal ones for each power of two. A
 * reported latency is at most 1/HALF too low.
 */
enum {
	FINE_BITS = 7,
	FINE = 1 << FINE_BITS,
	HALF = FINE / 2,
	BUCKETS = (64 - FINE_BITS + 2) * HALF,
};
enum {
	MAX_PINS = 1024,
	ALIGNMENT = 4096
};

struct target {
	int fd;
	const char *name; /* in the directory fd, for fstatat */
	char *buffer;
	uint64_t blocks;
	uint64_t seed;
};

typedef bool (*call_fn)(struct target *);

struct call {
	const char *name;
	call_fn run; /* false: failed, errno set */
	int open_flags;
	bool open_parent;
};

/* What a thread measured of one file. */
struct tally {
	uint64_t calls;
	uint64_t nanoseconds; /* spent on it */
	uint64_t buckets[BUCKETS];
};

struct worker {
	_Alignas(128) pthread_t thread;
	unsigned int index;
	struct tally *tallies; /* one for each file */
};

static struct {
	const struct call *call;
	char **paths;
	unsigned int files;
	size_t block;
	unsigned int threads;
	double seconds;
	double slice; /* milliseconds */
	int pins[MAX_PINS];
	unsigned int pin_count;
} options = { .block = 4096, .threads = 1, .seconds = 2, .slice = 10 };

static pthread_barrier_t ready;
static uint64_t begin; /* when the first slice began */
static atomic_bool time_is_up;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool call_fstat(struct target *target)
{
	const int flags = AT_EMPTY_PATH | AT_STATX_FORCE_SYNC;
	struct statx attributes;

	return statx(target->fd, "", flags, STATX_BASIC_STATS, &attributes) == 0;
}

static bool call_fstatat(struct target *target)
{
	struct stat attributes;

	return fstatat(target->fd, target->name, &attributes, 0) == 0;
}

/* A block's offset from a linear congruential sequence (Knuth's constants). */
static off_t next_offset(struct target *target)
{
	target->seed = target->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (off_t)((target->seed >> 33) % target->blocks * options.block);
}

static bool call_pread(struct target *target)
{
	ssize_t n = pread(target->fd, target->buffer, options.block, next_offset(target));

	return n == (ssize_t)options.block;
}

static bool call_pwrite(struct target *target)
{
	ssize_t n = pwrite(target->fd, target->buffer, options.block, next_offset(target));

	return n == (ssize_t)options.block;
}

static const struct call calls[] = {
	{ "fstat", call_fstat, O_PATH, false },
	{ "fstatat", call_fstatat, O_PATH | O_DIRECTORY, true },
	{ "pread", call_pread, O_RDONLY | O_DIRECT, false },
	{ "pwrite", call_pwrite, O_WRONLY | O_DIRECT, false },
};

/* The directory of the path given, or the file itself, as the call wants it. */
static int open_path(struct target *target, const char *path)
{
	const int flags = options.call->open_flags | O_CLOEXEC;
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX] = ".";

	target->name = slash ? slash + 1 : path;
	if (!options.call->open_parent)
		return open(path, flags);
	if (slash)
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path + 1), path);
	return open(directory, flags);
}

static void open_target(struct target *target, const char *path, unsigned int index)
{
	struct stat attributes;

	target->fd = open_path(target, path);
	if (target->fd < 0 || fstat(target->fd, &attributes) < 0)
		die(path);
	target->buffer = aligned_alloc(ALIGNMENT, (options.block / ALIGNMENT + 1) * ALIGNMENT);
	if (!target->buffer)
		die("aligned_alloc");
	memset(target->buffer, 1, options.block);
	target->blocks = (uint64_t)attributes.st_size / options.block;
	if (target->blocks == 0)
		target->blocks = 1;
	target->seed = index + 1;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static unsigned int bucket_of(uint64_t nanoseconds)
{
	unsigned int shift = 0;

	if (nanoseconds >= FINE)
		shift = 64 - FINE_BITS - (unsigned int)__builtin_clzll(nanoseconds);
	/* Shifted, the value lies in HALF..FINE-1. */
	return shift * HALF + (unsigned int)(nanoseconds >> shift);
}

static uint64_t value_of(unsigned int bucket)
{
	unsigned int shift = bucket < FINE ? 0 : bucket / HALF - 1;

	return (uint64_t)(bucket - shift * HALF) << shift;
}

static void pin(const struct worker *worker)
{
	cpu_set_t cpus;

	if (options.pin_count == 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(options.pins[worker->index % options.pin_count], &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("pinning to a CPU of -p");
}

/* Whose turn it is then, the same for all threads. */
static unsigned int file_at(uint64_t time)
{
	const uint64_t slice = (uint64_t)(options.slice * 1e6);

	return (unsigned int)((time - begin) / slice % options.files);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	const call_fn run = options.call->run;
	struct target *targets = calloc(options.files, sizeof(*targets));
	uint64_t before;

	worker->tallies = calloc(options.files, sizeof(*worker->tallies));
	if (!targets || !worker->tallies)
		die("calloc");
	pin(worker);
	for (unsigned int i = 0; i < options.files; i++)
		open_target(&targets[i], options.paths[i], worker->index);
	pthread_barrier_wait(&ready);
	before = now();
	while (!atomic_load_explicit(&time_is_up, memory_order_relaxed)) {
		const unsigned int file = file_at(before);
		struct tally *tally = &worker->tallies[file];
		uint64_t after;

		errno = EIO; /* what a short transfer counts as */
		if (!run(&targets[file]))
			die(options.paths[file]);
		after = now();
		tally->buckets[bucket_of(after - before)]++;
		tally->calls++;
		tally->nanoseconds += after - before;
		before = after;
	}
	for (unsigned int i = 0; i < options.files; i++)
		free(targets[i].buffer);
	free(targets);
	return NULL;
}

/* The smallest latency that @share of all calls to a file did not exceed. */
static uint64_t quantile(const struct worker *workers, unsigned int file, double wanted)
{
	double seen = 0;

	for (unsigned int bucket = 0; bucket < BUCKETS; bucket++) {
		for (unsigned int i = 0; i < options.threads; i++)
			seen += (double)workers[i].tallies[file].buckets[bucket];
		if (seen >= wanted)
			return value_of(bucket);
	}
	return 0;
}

/* One line for a file. Its rate is that of the time spent on it. */
static void report(const struct worker *workers, unsigned int file)
{
	struct timespec cpu;
	uint64_t total = 0;
	double rate = 0;

	for (unsigned int i = 0; i < options.threads; i++) {
		const struct tally *tally = &workers[i].tallies[file];

		total += tally->calls;
		if (tally->calls > 0)
			rate += (double)tally->calls * 1e9 / (double)tally->nanoseconds;
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	printf("{\"calls\":%" PRIu64 ",\"rate\":%.1f,\"p50\":%" PRIu64 ",\"p99\":%" PRIu64
	       ",\"cpu\":%.6f}\n",
	       total, rate, quantile(workers, file, 0.50 * (double)total),
	       quantile(workers, file, 0.99 * (double)total),
	       (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
}

static _Noreturn void usage(void)
{
	fputs("usage: bench_client [-t THREADS] [-p CPU,CPU...] [-d SECONDS] [-s MILLISECONDS] [-b BYTES] "
	      "fstat|fstatat|pread|pwrite FILE...\n",
	      stderr);
	exit(2);
}

static void parse_pins(char *list)
{
	for (char *cpu = strtok(list, ","); cpu; cpu = strtok(NULL, ",")) {
		int number = atoi(cpu);

		if (number < 0 || number >= CPU_SETSIZE || options.pin_count == MAX_PINS)
			usage();
		options.pins[options.pin_count++] = number;
	}
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "t:p:d:s:b:")) != -1) {
		if (option == 't')
			options.threads = (unsigned int)strtoul(optarg, NULL, 0);
		else if (option == 'p')
			parse_pins(optarg);
		else if (option == 'd')
			options.seconds = strtod(optarg, NULL);
		else if (option == 's')
			options.slice = strtod(optarg, NULL);
		else if (option == 'b')
			options.block = strtoul(optarg, NULL, 0);
		else
			usage();
	}
	if (optind > argc - 2 || options.threads == 0 || options.block == 0 || options.slice < 1)
		usage();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(argv[optind], calls[i].name) == 0)
			options.call = &calls[i];
	if (!options.call)
		usage();
	options.paths = argv + optind + 1;
	options.files = (unsigned int)(argc - optind - 1);
}

int main(int argc, char **argv)
{
	struct worker *workers;

	parse(argc, argv);
	workers = aligned_alloc(_Alignof(struct worker), options.threads * sizeof(*workers));
	if (!workers)
		die("aligned_alloc");
	memset(workers, 0, options.threads * sizeof(*workers));
	pthread_barrier_init(&ready, NULL, options.threads + 1);
	for (unsigned int i = 0; i < options.threads; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("pthread_create");
	}
	begin = now();
	pthread_barrier_wait(&ready);
	usleep((useconds_t)(options.seconds * 1e6));
	atomic_store(&time_is_up, true);
	for (unsigned int i = 0; i < options.threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned int i = 0; i < options.files; i++)
		report(workers, i);
	return 0;
}
