/* SPDX-License-Identifier: MIT */
/*
 * session.c - the life of a session: settings, mount, INIT, workers, end.
 *
 * Rings and buffers are made before INIT is answered, because the answer promises them. The order is kept by phases:
 * the session's thread opens a phase, every worker does its part and arrives, and the next phase begins.
 */
#include "record.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_DEPTH	   32
#define DEFAULT_MAX_WRITE  (1u << 20)
#define FALLBACK_MAX_PAGES 256

/*
 * Of one read request, in bytes. Its payload is written once and read once, within the processor's second cache up to here: a direct
 * read of 1 MiB goes some 1.3 times faster in four pieces than in one.
 */
#define LARGEST_READ (256u << 10)

const char *fractal_version(void)
{
	return FRACTAL_VERSION;
}

/* ---- settings ---- */

/* Highest CPU number that may ever come up, plus one: as many queues as the kernel makes. */
static uint32_t possible_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	char line[256];
	uint32_t last = 0;

	if (f && fgets(line, sizeof(line), f)) {
		char *p = line + strcspn(line, "\n");

		while (p > line && p[-1] >= '0' && p[-1] <= '9')
			p--;
		last = (uint32_t)strtoul(p, NULL, 10);
	}
	if (f)
		fclose(f);
	return last + 1;
}

static uint32_t max_pages_limit(void)
{
	FILE *f = fopen("/proc/sys/fs/fuse/max_pages_limit", "re");
	char line[32];
	uint32_t n = 0;

	if (f && fgets(line, sizeof(line), f))
		n = (uint32_t)strtoul(line, NULL, 10);
	if (f)
		fclose(f);
	return n ? n : FALLBACK_MAX_PAGES;
}

static int check_range(struct fractal_session *s, const char *name, uint32_t value, uint32_t min,
		       uint32_t max)
{
	if (value >= min && value <= max)
		return 0;
	session_log(s, FRACTAL_LOG_ERROR, "%s=%u is out of range: choose %u to %u", name, value,
		    min, max);
	return -EINVAL;
}

static int settle_numbers(struct fractal_session *s)
{
	struct fractal_config *c = &s->cfg;
	uint32_t max_write = max_pages_limit() * s->page_size;
	int rc;

	if (!c->queue_depth)
		c->queue_depth = DEFAULT_DEPTH;
	if (!c->max_write)
		c->max_write = DEFAULT_MAX_WRITE < max_write ? DEFAULT_MAX_WRITE : max_write;
	if (!c->workers || c->workers > s->queues)
		c->workers = s->queues;
	if (!c->max_background)
		c->max_background = s->queues * c->queue_depth > UINT16_MAX
					    ? UINT16_MAX
					    : s->queues * c->queue_depth;
	if (!c->time_gran)
		c->time_gran = 1;
	if (!c->max_stack_depth)
		c->max_stack_depth = 1;
	c->timing = c->timing || c->trace;
	fractal_session_measure(s, c->timing);
	if (c->request_timeout)
		c->caps_on |= 1ull << FRACTAL_CAP_REQUEST_TIMEOUT;
	rc = check_range(s, "queue_depth", c->queue_depth, 1, 1024);
	if (!rc)
		rc = check_range(s, "max_write", c->max_write, 4096, max_write);
	if (!rc)
		rc = check_range(s, "max_background", c->max_background, 1, UINT16_MAX);
	if (!rc)
		rc = check_range(s, "time_gran", c->time_gran, 1, 1000000000);
	if (!rc)
		rc = check_range(s, "request_timeout", c->request_timeout, 0, UINT16_MAX);
	return rc;
}

static int check_handlers(struct fractal_session *s)
{
	if (s->cfg.handlers || s->cfg.serve)
		return 0;
	session_log(s, FRACTAL_LOG_ERROR,
		    "neither handlers nor serve is set: nobody would answer requests");
	return -EINVAL;
}

static int copy_strings(struct fractal_config *c)
{
	c->subtype = strdup(c->subtype ? c->subtype : "fractal");
	c->fsname = strdup(c->fsname ? c->fsname : (c->subtype ? c->subtype : ""));
	c->mount_options = strdup(c->mount_options ? c->mount_options : "");
	return c->subtype && c->fsname && c->mount_options ? 0 : -ENOMEM;
}

/* Seconds as the kernel takes them. What is meant to be for ever (infinity) becomes a long time. */
void split_ttl(double ttl, uint64_t *sec, uint32_t *nsec)
{
	if (ttl > UINT32_MAX)
		ttl = UINT32_MAX;
	*sec = ttl > 0 ? (uint64_t)ttl : 0;
	*nsec = ttl > 0 ? (uint32_t)((ttl - (double)*sec) * 1e9) : 0;
}

/* While a worker may be reading the defaults that count, the other ones are filled in and then take their place. */
void fractal_session_set_ttls(struct fractal_session *s, double entry, double attr, double negative)
{
	const struct reply_defaults *old = reply_defaults(s);
	struct reply_defaults *new = &s->defaults[old == &s->defaults[0]];

	*new = *old;
	split_ttl(attr, &new->attr.attr_valid, &new->attr.attr_valid_nsec);
	split_ttl(attr, &new->entry.attr_valid, &new->entry.attr_valid_nsec);
	split_ttl(entry, &new->entry.entry_valid, &new->entry.entry_valid_nsec);
	new->negative_ttl = negative;
	atomic_store_explicit(&s->reply_defaults, new, memory_order_release);
}

static void make_defaults(struct fractal_session *s)
{
	struct reply_defaults *defaults = &s->defaults[0];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	defaults->attr.attr = (struct fractal_attr){
		.blocks = (uint64_t)FRACTAL_BLOCKS_UNSET,
		.atime_sec = now.tv_sec,
		.mtime_sec = now.tv_sec,
		.ctime_sec = now.tv_sec,
		.atime_nsec = (uint32_t)now.tv_nsec,
		.mtime_nsec = (uint32_t)now.tv_nsec,
		.ctime_nsec = (uint32_t)now.tv_nsec,
		.nlink = 1,
		.uid = s->uid,
		.gid = s->gid,
		.blksize = s->page_size,
	};
	defaults->entry.attr = defaults->attr.attr;
	atomic_store(&s->reply_defaults, defaults);
	fractal_session_set_ttls(s, s->cfg.entry_ttl, s->cfg.attr_ttl, s->cfg.negative_ttl);
}

static int make_workers(struct fractal_session *s)
{
	s->nworkers = s->cfg.workers;
	s->workers = aligned_alloc(64, (s->nworkers * sizeof(*s->workers) + 63) / 64 * 64);
	if (!s->workers)
		return -ENOMEM;
	memset(s->workers, 0, s->nworkers * sizeof(*s->workers));
	for (uint32_t i = 0; i < s->nworkers; i++)
		s->workers[i].wake_fd = s->workers[i].ring_event_fd = s->workers[i].dev_fd = -1;
	for (uint32_t i = 0; i < s->nworkers; i++) {
		int rc = worker_init(&s->workers[i], s, (int)i);

		if (rc) {
			session_log(s, FRACTAL_LOG_ERROR,
				    "memory for worker %u: %s; lower queue_depth or max_write", i,
				    strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static int fill_session(struct fractal_session *s)
{
	int rc = copy_strings(&s->cfg);

	if (!rc)
		rc = check_handlers(s);
	if (!rc)
		rc = settle_numbers(s);
	if (rc)
		return rc;
	s->payload_cap = s->cfg.max_write > FRACTAL_MIN_READ_BUFFER ? s->cfg.max_write
								    : FRACTAL_MIN_READ_BUFFER;
	s->payload_cap = (s->payload_cap + s->page_size - 1) / s->page_size * s->page_size;
	s->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->control_fd < 0 || s->done_fd < 0)
		return -errno;
	make_defaults(s);
	rc = notify_new(s);
	if (!rc)
		rc = backing_new(s);
	return rc ? rc : make_workers(s);
}

int fractal_session_new(struct fractal_session **session, const struct fractal_config *config)
{
	struct fractal_session *s = calloc(1, sizeof(*s));
	int rc;

	*session = NULL;
	if (!s)
		return -ENOMEM;
	s->cfg = *config;
	s->sink = (struct log_sink){ config->log, config->user };
	s->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	s->queues = possible_cpus();
	s->uid = getuid();
	s->gid = getgid();
	s->mnt.fd = s->control_fd = s->done_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	rc = fill_session(s);
	if (rc) {
		fractal_session_free(s);
		return rc;
	}
	*session = s;
	return 0;
}

void fractal_session_free(struct fractal_session *s)
{
	if (!s)
		return;
	if (s->mnt.mountpoint && mount_is_attached(&s->mnt))
		mount_detach(&s->mnt, true);
	pool_close(s);
	notify_free(s);
	backing_free(s);
	record_free(s);
	replay_free(s);
	watch_free(s);
	for (uint32_t i = 0; i < s->nworkers && s->workers; i++)
		worker_destroy(&s->workers[i]);
	inodes_free_all(s);
	fractal_paths_free(s->paths);
	mount_release(&s->mnt);
	if (s->control_fd >= 0)
		close(s->control_fd);
	if (s->done_fd >= 0)
		close(s->done_fd);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free((char *)s->cfg.subtype);
	free((char *)s->cfg.fsname);
	free((char *)s->cfg.mount_options);
	free(s->workers);
	free(s);
}

int fractal_session_mount(struct fractal_session *s, const char *mountpoint)
{
	struct mount_request r = {
		.mountpoint = mountpoint,
		.fsname = s->cfg.fsname,
		.subtype = s->cfg.subtype,
		.options = s->cfg.mount_options,
		.max_read = s->payload_cap < LARGEST_READ ? s->payload_cap : LARGEST_READ,
		.sink = s->sink,
	};
	int rc;

	if (s->mnt.mountpoint) {
		session_log(s, FRACTAL_LOG_ERROR,
			    "this session is mounted already, on %s: make another one for %s",
			    s->mnt.mountpoint, mountpoint);
		return -EBUSY;
	}
	rc = mount_clear_dead(mountpoint, s->sink);
	return rc < 0 ? rc : mount_attach(&s->mnt, &r);
}

/* ---- phases ---- */

void session_enter_phase(struct fractal_session *s, enum session_phase phase)
{
	pthread_mutex_lock(&s->lock);
	s->phase = phase;
	s->arrived = 0;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Waits until each started worker has done its part. Returns the first error of this phase. */
int session_await_workers(struct fractal_session *s)
{
	uint32_t started = 0;
	int error;

	for (uint32_t i = 0; i < s->nworkers; i++)
		started += s->workers[i].thread_started;
	pthread_mutex_lock(&s->lock);
	while (s->arrived < started)
		pthread_cond_wait(&s->changed, &s->lock);
	error = s->error;
	pthread_mutex_unlock(&s->lock);
	return error;
}

/* A worker has done its part of phase @done; returns the next phase once that begins. */
enum session_phase session_arrive(struct fractal_session *s, enum session_phase done, int error)
{
	enum session_phase next;

	pthread_mutex_lock(&s->lock);
	if (error < 0 && !s->error)
		s->error = error;
	s->arrived++;
	pthread_cond_broadcast(&s->changed);
	while (s->phase == done)
		pthread_cond_wait(&s->changed, &s->lock);
	next = s->phase;
	pthread_mutex_unlock(&s->lock);
	return next;
}

/* A worker leaves with this error. Nobody serves its queues from now on, so callers are not waited for. */
void session_fail(struct fractal_session *s, int error)
{
	pthread_mutex_lock(&s->lock);
	if (!s->error)
		s->error = error;
	pthread_mutex_unlock(&s->lock);
	fractal_session_stop(s);
	fractal_session_stop(s);
}

/* Wakes the session's thread: something has ended. */
void session_note(struct fractal_session *s)
{
	uint64_t one = 1;

	if (write(s->done_fd, &one, sizeof(one)) < 0)
		session_log(s, FRACTAL_LOG_ERROR, "eventfd: %s", strerror(errno));
}

/* ---- running ---- */

static int start_workers(struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++) {
		struct fractal_worker *w = &s->workers[i];
		int rc = pthread_create(&w->thread, NULL, worker_main, w);

		if (rc) {
			session_log(s, FRACTAL_LOG_ERROR, "starting worker %u: %s", i,
				    strerror(rc));
			return -rc;
		}
		w->thread_started = true;
	}
	return session_await_workers(s);
}

/* Why the ring cannot be used, into s->reason; 0 when it can. */
static int why_not_uring(struct fractal_session *s)
{
	if (s->cfg.transport == FRACTAL_TRANSPORT_DEV) {
		snprintf(s->reason, sizeof(s->reason), "as asked for");
		return -ECANCELED;
	}
	for (uint32_t i = 0; i < s->nworkers; i++) {
		int rc = s->workers[i].start_error;

		if (rc == -EPERM || rc == -ENOSYS)
			snprintf(
				s->reason, sizeof(s->reason),
				"io_uring is not allowed here (sysctl kernel.io_uring_disabled=0 allows it)");
		else if (rc)
			snprintf(s->reason, sizeof(s->reason), "io_uring_setup: %s", strerror(-rc));
		if (rc)
			return rc;
	}
	if (!(s->conn.offered & 1ull << FRACTAL_CAP_OVER_IO_URING)) {
		snprintf(
			s->reason, sizeof(s->reason), "%s",
			s->conn.proto_minor < 42
				? "this kernel has no FUSE over io_uring (Linux 6.14 or newer has)"
				: "FUSE over io_uring is off (as root: echo Y > /sys/module/fuse/parameters/enable_uring)");
		return -EOPNOTSUPP;
	}
	snprintf(s->reason, sizeof(s->reason), "the kernel offers it");
	return 0;
}

/* AUTO goes on over /dev/fuse; URING insists. */
static int choose_transport(struct fractal_session *s)
{
	int rc = why_not_uring(s);

	if (rc && s->cfg.transport == FRACTAL_TRANSPORT_URING) {
		session_log(s, FRACTAL_LOG_ERROR, "transport=uring cannot be had: %s", s->reason);
		return rc;
	}
	atomic_store(&s->transport, rc ? FRACTAL_TRANSPORT_DEV : FRACTAL_TRANSPORT_URING);
	return 0;
}

/* INIT: hooks, then the answer; then the workers register their rings. */
static int open_connection(struct fractal_session *s)
{
	int rc = s->replay ? replay_init(s) : init_read(s);

	if (rc)
		return rc;
	init_negotiate(s);
	rc = choose_transport(s);
	for (enum session_phase p = PHASE_INIT; !rc && p <= PHASE_START; p++) {
		session_enter_phase(s, p);
		rc = session_await_workers(s);
	}
	if (!rc)
		rc = init_reply(s, s->transport == FRACTAL_TRANSPORT_URING);
	if (rc)
		return rc;
	atomic_store(&s->serving, true);
	notify_open(s);
	session_enter_phase(s, PHASE_REGISTER);
	return session_await_workers(s);
}

/* A refused REGISTER has dropped the connection to /dev/fuse; the workers follow, unless the ring was insisted on. */
static int after_registering(struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++) {
		int rc = s->workers[i].start_error;

		if (!rc)
			continue;
		snprintf(s->reason, sizeof(s->reason), "the kernel refused to register a ring: %s",
			 strerror(-rc));
		if (s->cfg.transport == FRACTAL_TRANSPORT_URING) {
			session_log(s, FRACTAL_LOG_ERROR, "transport=uring cannot be had: %s",
				    s->reason);
			return rc;
		}
		atomic_store(&s->transport, FRACTAL_TRANSPORT_DEV);
		break;
	}
	return 0;
}

/* Lets every worker leave, whatever phase it waits in. */
static void dismiss_workers(struct fractal_session *s)
{
	atomic_store(&s->quit, true);
	session_enter_phase(s, PHASE_QUIT);
	for (uint32_t i = 0; i < s->nworkers; i++)
		if (s->workers[i].thread_started)
			fractal_worker_wake(&s->workers[i]);
}

static void join_workers(struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++)
		if (s->workers[i].thread_started)
			pthread_join(s->workers[i].thread, NULL);
}

int fractal_session_run(struct fractal_session *s)
{
	int rc;

	if (!s->mnt.mountpoint && !s->replay)
		return -ENOTCONN;
	rc = start_workers(s);
	if (!rc)
		rc = open_connection(s);
	if (!rc)
		rc = after_registering(s);
	if (!rc) {
		session_enter_phase(s, PHASE_SERVE);
		if (s->cfg.ready)
			s->cfg.ready(s, s->cfg.user);
		rc = s->replay ? replay_supervise(s) : session_supervise(s);
		watch_end(s);
		if (rc == -ETIMEDOUT)
			return rc;
	}
	/* The end of a mount that never served: take it off before anyone finds it. */
	if (mount_is_attached(&s->mnt))
		mount_detach(&s->mnt, true);
	dismiss_workers(s);
	join_workers(s);
	if (s->recorder)
		record_flush(s);
	if (notify_close(s))
		return -ETIMEDOUT;
	/* Where a worker's error ended it, the abort is only a consequence. */
	if (s->error)
		return s->error;
	return rc == -ECANCELED ? 0 : rc;
}

void fractal_session_stop(struct fractal_session *s)
{
	uint64_t one = 1;

	/* Only a full counter could fail, and then a stop is pending already. */
	if (write(s->control_fd, &one, sizeof(one)) < 0)
		return;
}

int fractal_session_workers(const struct fractal_session *s)
{
	return (int)s->nworkers;
}

struct fractal_worker *fractal_session_worker(const struct fractal_session *s, int id)
{
	return id >= 0 && (uint32_t)id < s->nworkers ? &s->workers[id] : NULL;
}

const struct fractal_conn *fractal_session_conn(const struct fractal_session *s)
{
	return &s->conn;
}

enum fractal_transport fractal_session_transport(const struct fractal_session *s)
{
	return atomic_load(&s->transport);
}

uint32_t fractal_session_device(const struct fractal_session *s)
{
	return s->mnt.dev;
}

const char *fractal_session_mountpoint(const struct fractal_session *s)
{
	return s->mnt.mountpoint;
}

const char *fractal_session_transport_reason(const struct fractal_session *s)
{
	return s->reason;
}

bool fractal_session_first(struct fractal_session *s, uint32_t opcode)
{
	uint64_t bit = 1ull << opcode % 64;

	return !(atomic_fetch_or(&s->asked_about, bit) & bit);
}
