/* SPDX-License-Identifier: MIT */
/*
 * mounted.h - real mounts for the C tests: a session served by a thread, and clients in processes of their own.
 *
 * A client that hangs must not hang the test: it is a forked child that keeps none of the parent's descriptors, and after
 * its time the connection is cut, which lets it go with an error. Each mount has a directory of its own below /tmp.
 */
#ifndef FRACTAL_MOUNTED_H
#define FRACTAL_MOUNTED_H
#include "check.h"
#include "internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_SECONDS 30
#define READY_SECONDS  30

struct server {
	struct fractal_config config;
	struct fractal_session *session;
	char mountpoint[128];
	pthread_t thread;
	bool running;
	int result;	   /* of fractal_session_run() */
	_Atomic int state; /* 0: starting, 1: ready, 2: ended */
	pthread_mutex_t lock;
	char log[16384]; /* all lines */
	void *user;	 /* the test's own */
};

static inline void need_mounts(void)
{
	if (geteuid() != 0)
		SKIP("only root may mount here");
	if (access("/dev/fuse", R_OK | W_OK))
		SKIP("/dev/fuse cannot be opened");
}

static inline double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Waits until *@value is @want, at most @seconds. */
static inline bool await_int(_Atomic int *value, int want, double seconds)
{
	double end = seconds_now() + seconds;

	while (atomic_load(value) != want && seconds_now() < end)
		pause_ms(2);
	return atomic_load(value) == want;
}

static inline bool is_mounted(const char *mountpoint)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	char line[4096], word[160];
	bool found = false;

	snprintf(word, sizeof(word), " %s ", mountpoint);
	while (table && !found && fgets(line, sizeof(line), table))
		found = strstr(line, word) != NULL;
	if (table)
		fclose(table);
	return found;
}

#define URING_SWITCH "/sys/module/fuse/parameters/enable_uring"

/*
 * The switch is the whole machine's, so tests that run at the same time agree by flock(2) on its file: who changes it holds
 * it alone (LOCK_EX), who starts a session shares it until that is ready. Returns the descriptor whose closing ends it, or -1.
 */
static bool switch_is_mine;

static inline int lock_switch(int how)
{
	int fd = switch_is_mine ? -1 : open(URING_SWITCH, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, how)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Can FUSE over io_uring be had on this machine now? */
static inline bool have_uring(void)
{
	FILE *f = fopen(URING_SWITCH, "re");
	struct io_uring ring;
	int lock = lock_switch(LOCK_SH), on = f ? fgetc(f) : 'N';

	if (f)
		fclose(f);
	if (lock >= 0)
		close(lock);
	if (on != 'Y' || io_uring_queue_init(2, &ring, 0))
		return false;
	io_uring_queue_exit(&ring);
	return true;
}

/* From here on this process may not make rings: io_uring_setup(2) gives EPERM, as container runtimes do it. */
static inline bool forbid_io_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Name of a directory of this process below TMPDIR. */
static inline void make_template(char *path, size_t size, const char *end)
{
	const char *base = getenv("TMPDIR");

	snprintf(path, size, "%s/fractal-c-%d.%s", base && strlen(base) < 64 ? base : "/tmp",
		 (int)getpid(), end);
}

/* ---- the server ---- */

static inline void server_log(enum fractal_log_level level, const char *text, void *user)
{
	struct server *v = user;
	size_t have;

	pthread_mutex_lock(&v->lock);
	have = strlen(v->log);
	snprintf(v->log + have, sizeof(v->log) - have, "%s\n", text);
	pthread_mutex_unlock(&v->lock);
}

static inline void server_complain(struct server *v, const char *what)
{
	pthread_mutex_lock(&v->lock);
	fprintf(stderr, "%s; the log:\n%s", what, v->log);
	pthread_mutex_unlock(&v->lock);
}

static inline void server_ready(struct fractal_session *session, void *user)
{
	struct server *v = user;

	atomic_store(&v->state, 1);
}

/*
 * Makes a session and mounts it. The config's user is the struct server, whose @user the test may set. 0 or -errno, the
 * mountpoint is removed then.
 */
static inline int server_mount(struct server *v, const struct fractal_config *config, void *user)
{
	int rc;

	memset(v, 0, sizeof(*v));
	pthread_mutex_init(&v->lock, NULL);
	v->user = user;
	v->config = *config;
	v->config.user = v;
	v->config.log = server_log;
	if (!v->config.ready)
		v->config.ready = server_ready;
	make_template(v->mountpoint, sizeof(v->mountpoint), "XXXXXX");
	if (!mkdtemp(v->mountpoint))
		return -errno;
	rc = fractal_session_new(&v->session, &v->config);
	if (!rc)
		rc = fractal_session_mount(v->session, v->mountpoint);
	if (rc) {
		fractal_session_free(v->session);
		v->session = NULL;
		rmdir(v->mountpoint);
	}
	return rc;
}

static inline void *server_main(void *arg)
{
	struct server *v = arg;

	v->result = fractal_session_run(v->session);
	atomic_store(&v->state, 2);
	return NULL;
}

static inline void server_begin(struct server *v)
{
	v->running = pthread_create(&v->thread, NULL, server_main, v) == 0;
}

/* Waits for the run's end and frees everything. Returns what fractal_session_run() returned. */
static inline int server_join(struct server *v)
{
	if (!CHECK(await_int(&v->state, 2, CLIENT_SECONDS))) {
		server_complain(v, "the session does not end");
		mount_abort(&v->session->mnt);
		_exit(check_result());
	}
	pthread_join(v->thread, NULL);
	CHECK(!is_mounted(v->mountpoint));
	fractal_session_free(v->session);
	v->session = NULL;
	CHECK_INT(rmdir(v->mountpoint), 0);
	return v->result;
}

/* Starts a session and waits until it is ready. False when it ended instead: v->result and v->log tell why. */
static inline bool server_start(struct server *v, const struct fractal_config *config, void *user)
{
	double end = seconds_now() + READY_SECONDS;
	int lock = lock_switch(LOCK_SH), rc = server_mount(v, config, user);

	if (rc == 0)
		server_begin(v);
	else
		v->result = rc;
	while (rc == 0 && atomic_load(&v->state) == 0 && seconds_now() < end)
		pause_ms(2);
	if (lock >= 0)
		close(lock);
	if (rc || atomic_load(&v->state) == 1)
		return rc == 0;
	if (atomic_load(&v->state) == 0) {
		server_complain(v, "the session does not become ready");
		fractal_session_stop(v->session);
		fractal_session_stop(v->session);
	}
	v->result = server_join(v);
	return false;
}

static inline int server_stop(struct server *v)
{
	fractal_session_stop(v->session);
	return server_join(v);
}

static inline const char *transport_name(enum fractal_transport transport)
{
	return transport == FRACTAL_TRANSPORT_URING ? "uring"
	       : transport == FRACTAL_TRANSPORT_DEV ? "dev"
						    : "auto";
}

/* ---- clients ---- */

/* Runs @fn in a child process; its result is the exit status (0..125). */
static inline pid_t client_start(int (*fn)(const char *mountpoint), const char *mountpoint)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		/* A copy of the server's descriptors would keep a dead connection alive. */
		syscall(SYS_close_range, 3, ~0U, 0);
		check_failures = 0;
		_exit(fn(mountpoint) || check_failures ? 1 : 0);
	}
	return pid;
}

/* Exit status of a client, or -1 when it had to be killed. @v: whose connection is cut then. */
static inline int client_wait(struct server *v, pid_t pid, double seconds)
{
	double end = seconds_now() + seconds;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (seconds_now() > end) {
			server_complain(v, "a client hangs");
			kill(pid, SIGKILL);
			if (v->session)
				mount_abort(&v->session->mnt);
			waitpid(pid, &status, 0);
			return -1;
		}
		pause_ms(1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int client_run(struct server *v, int (*fn)(const char *mountpoint))
{
	return client_wait(v, client_start(fn, v->mountpoint), CLIENT_SECONDS);
}

/* Path of a name in the mount, in a buffer that the next call but three overwrites. */
static inline const char *in_mount(const char *mountpoint, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", mountpoint, name);
	return path;
}

/* ---- what a process holds ---- */

struct holdings {
	int fds, threads, mounts;
	int mebibytes; /* of address space */
};

static inline int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static inline int count_lines(const char *path, const char *containing)
{
	FILE *f = fopen(path, "re");
	char line[4096];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, containing) != NULL;
	if (f)
		fclose(f);
	return n;
}

static inline struct holdings count_holdings(void)
{
	struct holdings h = {
		.fds = count_entries("/proc/self/fd"),
		.threads = count_entries("/proc/self/task"),
	};
	char mine[128];
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	make_template(mine, sizeof(mine), "");
	h.mounts = count_lines("/proc/self/mountinfo", mine);
	if (f && fscanf(f, "%llu", &pages) == 1)
		h.mebibytes = (int)(pages * (unsigned long long)sysconf(_SC_PAGESIZE) >> 20);
	if (f)
		fclose(f);
	return h;
}

#endif
