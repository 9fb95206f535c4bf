/* SPDX-License-Identifier: MIT */
/*
 * internal.h - what the library's files share: the operation table, entries, workers, transports, the session.
 *
 * Who may touch what: an entry belongs to the kernel while FREE, and to whoever holds the request while HELD.
 * Only the owning worker's thread commits replies; other threads put entries into the worker's inbox.
 */
#ifndef FRACTAL_INTERNAL_H
#define FRACTAL_INTERNAL_H
#include "fractal.h"
#include "mount.h"
#include <limits.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))
/* Tells the compiler what hardly a request needs, so that it lies out of the way of the others. */
#define RARELY(condition) __builtin_expect(!!(condition), 0)

/* ---- operations (request.c) ---- */

struct op_info {
	const char *name;
	uint16_t in_size;
	uint8_t names;
	bool data;
	uint8_t reply; /* enum fractal_reply_kind */
	int err;
	size_t handler; /* offset in struct fractal_handlers */
};

/* Row of an opcode, or NULL for one this side does not know. */
const struct op_info *op_lookup(uint32_t opcode);

/* ---- entries ---- */

enum entry_state {
	ENTRY_FREE,	/* waiting for a request */
	ENTRY_HELD,	/* a request is being worked on */
	ENTRY_ANSWERED, /* by another thread, whose result has not come to the worker */
};

enum entry_mail {
	MAIL_REQUEST,
	MAIL_REPLY
};

/* Header part of an entry's memory: the ring's header and room for two names, before the page-aligned payload. */
struct entry_area {
	struct fractal_uring_req_header hdr;
	uint64_t scratch[32]; /* out-structure of operations whose request data fill the payload */
	char names[2][FRACTAL_NAME_MAX + 1];
};

struct entry {
	_Alignas(64) struct fractal_request req; /* first: a request pointer is an entry pointer */
	struct entry_area *area;
	uint8_t *payload;
	uint64_t commit_id;
	_Atomic uint64_t interrupted; /* id of the request that an INTERRUPT named */
	_Atomic int state;	      /* enum entry_state */
	_Atomic bool in_mail;	      /* lies in the inbox */
	_Atomic int mail;	      /* enum entry_mail */
	_Atomic int posted_result;    /* of an ANSWERED one */
	struct entry *next;	      /* in the inbox or the ready list */
	uint64_t arrived;	      /* when the request was taken, ticks; 0: it is not measured */
	int dev_fd;		      /* classic: where the reply is written; -1: a ring entry */
	int error;		      /* the reply's -errno */
	uint32_t out_len;	      /* the reply's payload, bytes */
	uint32_t touched;	      /* payload bytes that may be resident */
	uint16_t qid;
	uint8_t large; /* requests or replies that deserve a huge page, since it was last given back */
	bool huge;     /* lies in one */
	bool used;     /* since the last trim */
	uint64_t arrived_ns; /* the same for its trace, monotonic clock */
	struct iovec iov[2]; /* header and payload, as REGISTER wants them */
};

/*
 * The id of the request in an entry: written by its worker, compared by any thread that has read an interrupt. Whether that
 * sees the old id or the new one makes no difference, since none is used twice.
 */
static inline void entry_set_id(struct entry *e, uint64_t id)
{
	__atomic_store_n(&e->req.id, id, __ATOMIC_RELAXED);
}

static inline uint64_t entry_id(const struct entry *e)
{
	return __atomic_load_n(&e->req.id, __ATOMIC_RELAXED);
}

/* A counter has one writer, its worker, and may be read by any thread at any time. */
static inline void counter_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- workers ---- */

struct io;

struct completion {
	void (*fn)(struct fractal_worker *w, struct completion *c, int res, unsigned flags);
};

struct transport {
	enum fractal_transport id;
	/* Takes the next request off the kernel, or NULL. */
	struct entry *(*next)(struct fractal_worker *w);
	/* Sends the reply of an entry and frees it. */
	void (*commit)(struct fractal_worker *w, struct entry *e);
	/*
	 * Waits for something to do, at most @timeout_ms (-1: for ever). False on time-out. What is queued in the ring was handed
	 * over. NULL: all of it comes over the ring.
	 */
	bool (*wait)(struct fractal_worker *w, int timeout_ms);
};

struct fractal_worker {
	/* What every request touches lies close together. */
	_Alignas(64) struct fractal_session *s;
	const struct transport *tr;
	_Atomic(struct entry *) inbox;
	_Atomic(struct entry *) current;	/* the request last handed out */
	struct entry *ready_head, **ready_tail; /* delivered by other threads */
	struct io *done_ios;
	_Atomic(struct io *) io_inbox; /* completed by other threads */
	_Atomic(struct fractal_retrieved *)
		retrieved;		     /* answers to notify retrieve, newest first */
	_Atomic(struct fractal_mail *) mail; /* newest first */
	struct trace *trace;		     /* NULL: nothing is traced */
	_Atomic uint32_t held;		     /* requests handed out and not committed */
	_Atomic uint32_t moves;		     /* counts requests and operations gone on with */
	uint32_t ring_ios;		     /* operations in the ring */
	uint32_t pool_ios;		     /* operations that the pool has, or has posted */
	bool have_ring;
	bool finished;		 /* the connection is gone for this worker */
	bool warm;		 /* some entry has payload pages to give back */
	bool trim_armed;	 /* and a timer runs for it */
	bool trim_due;		 /* the timer has run out */
	bool may_stay;		 /* fractal_next_slot() waits by itself */
	bool woken;		 /* by another thread, since the serve hook was last called */
	_Atomic bool serving;	 /* runs the serve hook */
	_Atomic bool interrupts; /* an interrupted request may have something to cancel */
	struct io_uring ring;
	struct fractal_op_stats stats[FRACTAL_OP_COUNT];
	int id;
	int cpu; /* pinned there, -1: nowhere */
	uint32_t first_queue, queues;
	struct entry *entries; /* ring entries, then classic ones */
	uint32_t ring_entries, dev_entries;
	uint32_t ring_live; /* ring entries whose last completion has not come */
	uint8_t *area;	    /* memory of all entries */
	size_t area_size;
	struct completion trim_done;
	int dev_fd;	    /* classic descriptor, cloned where possible */
	uint32_t dev_round; /* requests read from it since none was handed out */
	int wake_fd;
	int ring_event_fd; /* classic: readable when the ring has completions */
	struct completion wake_done;
	_Atomic bool wake_pending;
	struct io *live_ios, *free_ios, **done_tail;
	uint64_t ring_ops; /* bits of the IORING_OP_X that this kernel's ring does */
	uint32_t late_waits;
	bool ios_closed;
	_Atomic bool in_task;	/* what it went on with last is no request */
	uint32_t watched_moves; /* the watchdog's: the count when it last changed, and when */
	uint64_t watched_ns;
	bool warned;
	void *user;
	_Atomic pid_t tid; /* 0: not started */
	int start_error;
	bool thread_started;
	_Atomic bool ended;
	pthread_t thread;
	/* What was measured; made when an operation is first measured. The worker writes, anyone reads. */
	_Atomic(struct fractal_latency *) latencies[FRACTAL_OP_COUNT];
	_Atomic uint32_t most_held; /* see struct fractal_load */
};

extern const struct transport uring_transport, dev_transport, replay_transport;

/* worker.c */
int worker_init(struct fractal_worker *w, struct fractal_session *s, int id);
void worker_destroy(struct fractal_worker *w);
void *worker_main(void *arg);
void worker_post(struct fractal_worker *w, struct entry *e, enum entry_mail mail);
void worker_append_ready(struct fractal_worker *w, struct entry *e);
void worker_take_wake(struct fractal_worker *w);
void worker_account(struct fractal_worker *w, struct entry *e);
extern _Thread_local struct fractal_worker *worker_self;

/* payload.c */
int payload_map(struct fractal_worker *w);
void payload_unmap(struct fractal_worker *w);
void payload_account(struct fractal_worker *w, struct entry *e);
void payload_arm_trim(struct fractal_worker *w);
int payload_patience(const struct fractal_worker *w);
void payload_trim(struct fractal_worker *w);

/* ring.c */
#define RING_NOBODY 1u /* user_data of a completion that nobody waits for */
int ring_setup(struct fractal_worker *w);
void ring_teardown(struct fractal_worker *w);
struct io_uring_sqe *ring_sqe(struct fractal_worker *w);
uint64_t ring_tag(struct completion *c);
bool ring_is_completion(uint64_t user_data);
void ring_watch_wake(struct fractal_worker *w);
int ring_signal_completions(struct fractal_worker *w);
void ring_reap(struct fractal_worker *w);
struct entry *ring_next(struct fractal_worker *w, int *res);
bool ring_mark_arrived(struct fractal_worker *w);

/* Hands over what is queued and runs deferred work, without waiting. True when completions are there. */
static inline bool ring_flush(struct fractal_worker *w)
{
	io_uring_submit(&w->ring);
	return io_uring_cq_ready(&w->ring) != 0;
}

bool ring_wait_for(struct fractal_worker *w, int timeout_ms);

/* Hands over what is queued and waits for completions, at most @timeout_ms (-1: for ever). False on time-out. */
static inline bool ring_wait(struct fractal_worker *w, int timeout_ms)
{
	if (RARELY(timeout_ms >= 0))
		return ring_wait_for(w, timeout_ms);
	io_uring_submit_and_wait(&w->ring, 1);
	return true;
}

/* uring.c */
int uring_register(struct fractal_worker *w);
void uring_drain(struct fractal_worker *w);
int uring_decode(struct entry *e, struct fractal_in_header *in);

/* io.c */
void io_cancel_interrupted(struct fractal_worker *w);
void io_close_all(struct fractal_worker *w);
void io_drain(struct fractal_worker *w);
bool io_pending(const struct fractal_worker *w);
void io_await_posted(struct fractal_worker *w, int timeout_ms);
void io_free_all(struct fractal_worker *w);

/* What the pool does for an operation. Before it is submitted its owner's, then under the pool's lock. */
enum job_place {
	JOB_NOWHERE,
	JOB_WAITS, /* for its descriptor or its time */
	JOB_QUEUED,
	JOB_RUNS,
};

#define LOOKUP_MAX	     FRACTAL_ADDRESSES
#define FRACTAL_CALL_OF_RING FRACTAL_CALL_COUNT /* job->sqe is what a ring would have got */
#define RING_OP_FTRUNCATE    55			/* IORING_OP_FTRUNCATE, which old headers lack */

/* A name of a host to look up, apart from its operation, so that this need not wait for an answer. */
struct lookup {
	struct fractal_address *out; /* the operation's */
	bool abandoned;		     /* by its operation */
	struct fractal_address found[LOOKUP_MAX];
	char host[];
};

struct job {
	struct job *next, *prev;
	enum job_place place;
	uint64_t deadline_ns; /* 0: none */
	uint32_t call;	      /* FRACTAL_CALL_X */
	int fd;
	short events; /* what the descriptor must be ready for first, 0: nothing */
	bool is_sleep, is_poll, is_close;
	bool begun;	  /* a connect's first pass is over */
	int cancel_error; /* the errno to end with in place of waiting again */
	struct lookup *lookup;
	union {
		struct io_uring_sqe sqe;
		int64_t arg[6];
	};
};

/* io.c: a job has ended. Any thread. */
void job_done(struct job *job, int result);

/* calls.c */
int call_run(struct job *job);
short call_events(const struct job *job);
bool call_is_known(uint32_t call);
int call_lookup(struct lookup *lookup);

/* pool.c */
int pool_submit(struct fractal_session *s, struct job *job);
bool pool_withdraw(struct fractal_session *s, struct job *job, int error);
void pool_close(struct fractal_session *s);

/* devfuse.c */
int dev_open_clone(struct fractal_worker *w);
struct entry *dev_take_entry(struct fractal_worker *w);
ssize_t dev_read(struct fractal_worker *w, int fd, struct entry *e);
bool dev_decode(struct fractal_worker *w, int fd, struct entry *e, size_t n);
uint8_t *dev_raw(const struct entry *e);
size_t dev_room(const struct fractal_session *s);
void dev_look_ahead(struct fractal_worker *w);

/* request.c */
int request_decode(struct entry *e, const struct fractal_in_header *in, const void *op_in,
		   uint32_t op_in_len, uint8_t *payload, uint32_t payload_len);

/* reply.c */
void reply_prepare(struct entry *e, const struct op_info *op);
void reply_posted(struct entry *e);
uint64_t now_ns(void);

/* trace.c */
int trace_new(struct fractal_worker *w);
void trace_free(struct fractal_worker *w);
void trace_request(const struct entry *e);
void trace_reply(const struct entry *e, uint64_t ns);
void trace_unanswered(struct entry *e);
void trace_rest(struct fractal_worker *w, bool last);
void trace_look(struct fractal_session *s);

/* ticks.c */
extern struct ticks {
	bool by_counter;
	uint64_t ratio; /* nanoseconds of one count, times 2^32 */
} ticks;
void ticks_prepare(void);

/* A moment on this thread, never 0. */
static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__)
	if (ticks.by_counter)
		return __builtin_ia32_rdtsc();
#endif
	return now_ns();
}

/* Nanoseconds since then. */
static inline uint64_t ticks_since(uint64_t then)
{
	uint64_t now = ticks_now(), passed = now > then ? now - then : 0;

	return ticks.by_counter ? (uint64_t)((unsigned __int128)passed * ticks.ratio >> 32)
				: passed;
}

/* stats.c */
void stats_taken(struct fractal_worker *w, struct entry *e);
void stats_answered(struct fractal_worker *w, struct entry *e);
void stats_free(struct fractal_worker *w);

/* Tells the watchdog that the worker goes on. On its own thread. */
static inline void worker_moves(struct fractal_worker *w)
{
	uint32_t n = atomic_load_explicit(&w->moves, memory_order_relaxed);

	atomic_store_explicit(&w->moves, n + 1, memory_order_relaxed);
}

/* watchdog.c */
void watchdog_look(struct fractal_session *s);

/* Has no worker gone on for a while? After watchdog_look(). */
bool watchdog_all_held(const struct fractal_session *s);

/* watch.c */
void watch_arm(struct fractal_worker *w);
int watch_fd(const struct fractal_worker *w);
void watch_reached(struct fractal_worker *w);
int watch_session_fd(const struct fractal_session *s);
int watch_patience(const struct fractal_session *s, int ms);
void watch_look(struct fractal_session *s);
void watch_end(struct fractal_session *s);
void watch_free(struct fractal_session *s);

/* own.c */
/* Is the request from a worker's own thread, which waits for it? Says so in the log; the answer is EDEADLK. */
bool own_refuse(struct fractal_session *s, const struct entry *e);
/* Does any worker's thread wait in the kernel for what may be its own mount? */
bool own_may_wait(const struct fractal_session *s);
/* Is the worker's thread in a system call about a file of its own mount? Then @path is that file. */
bool own_waits(const struct fractal_worker *w, char path[PATH_MAX]);

/* interrupt.c */
void interrupt_deliver(struct fractal_session *s, uint64_t id);
void interrupt_check_early(struct fractal_session *s, struct entry *e);

/* notify.c */
int notify_new(struct fractal_session *s);
void notify_open(struct fractal_session *s);
int notify_close(struct fractal_session *s);
void notify_free(struct fractal_session *s);
void notify_retrieved(struct entry *e);

/* backing.c */
int backing_new(struct fractal_session *s);
void backing_free(struct fractal_session *s);
int backing_opened(struct fractal_request *req, uint64_t nodeid,
		   const struct fractal_open_out *open);
void backing_released(struct fractal_request *req);

/* replay.c */
int replay_init(struct fractal_session *s);
int replay_supervise(struct fractal_session *s);
void replay_free(struct fractal_session *s);

/* dispatch.c */
int dispatch_serve(struct fractal_worker *w, void *user);

/* ---- the session ---- */

enum session_phase {
	PHASE_SETUP,	/* workers make rings and buffers */
	PHASE_INIT,	/* INIT is here: worker 0 runs the init hook */
	PHASE_START,	/* every worker runs its start hook */
	PHASE_REGISTER, /* workers offer their entries to the kernel, which may refuse */
	PHASE_SERVE,
	PHASE_QUIT,
};

/* What replies start from. */
struct reply_defaults {
	struct fractal_entry_out entry;
	struct fractal_attr_out attr;
	double negative_ttl; /* seconds */
};

#define EARLY_INTERRUPTS 64

struct fractal_session {
	/* What every request looks at lies together. */
	_Atomic(const struct reply_defaults *)
		reply_defaults;	   /* the one of defaults[] that counts */
	struct recorder *recorder; /* NULL: nothing is recorded */
	uint32_t page_size;
	uint32_t payload_cap;
	uid_t uid;
	gid_t gid;
	_Atomic bool gone;	/* /dev/fuse told that the connection has ended */
	_Atomic bool quit;	/* workers: leave, whatever is open */
	_Atomic bool measuring; /* latencies */
	_Atomic int early_count;
	struct fractal_config cfg; /* with defaults filled in; strings are the session's */
	struct log_sink sink;
	struct mount mnt;
	uint32_t queues;	      /* possible CPUs */
	int control_fd;		      /* eventfd: stops asked for */
	int done_fd;		      /* eventfd: a worker or the unmount thread has news */
	_Atomic bool serving;	      /* INIT is answered */
	_Atomic bool aborted;	      /* the connection ended by an abort */
	_Atomic uint64_t asked_about; /* bits of opcodes, see fractal_session_first() */
	_Atomic uint64_t own_told;    /* bits of opcodes whose handlers asked their own mount */
	_Atomic enum fractal_transport transport;
	char reason[160];

	pthread_mutex_t lock; /* phase changes and early interrupts */
	pthread_cond_t changed;
	enum session_phase phase;
	uint32_t arrived; /* workers that reached the end of this phase */
	int error;

	struct fractal_conn conn;
	struct fractal_init_in init_in;
	uint64_t init_unique;
	bool setxattr_ext;
	struct reply_defaults defaults[2];
	struct fractal_worker *workers;
	uint32_t nworkers;
	struct notifier *notifier;
	struct pool *pool;     /* made when it is first needed */
	struct replay *replay; /* NULL: requests come from the kernel */
	struct backing *backing;
	_Atomic(struct watch *) watch; /* NULL: nothing is watched */

	struct fractal_inodes *inode_tables;
	_Atomic(struct fractal_paths *) paths;
	struct {
		uint64_t id;
		uint64_t at_ns;
	} early[EARLY_INTERRUPTS];
};

static inline const struct reply_defaults *reply_defaults(const struct fractal_session *s)
{
	return atomic_load_explicit(&s->reply_defaults, memory_order_acquire);
}

/* inode.c */
void inodes_free_all(struct fractal_session *s);

/* log.c */
void session_log(const struct fractal_session *s, enum fractal_log_level level, const char *fmt,
		 ...) __attribute__((cold, format(printf, 3, 4)));

/* caps.c */
uint64_t caps_wanted(const struct fractal_session *s, uint64_t offered);
int caps_settle(struct fractal_session *s);

/* init.c */
int init_read(struct fractal_session *s);
void init_negotiate(struct fractal_session *s);
int init_reply(struct fractal_session *s, bool over_uring);

/* supervise.c */
int session_supervise(struct fractal_session *s);

/* session.c */
void session_enter_phase(struct fractal_session *s, enum session_phase phase);
int session_await_workers(struct fractal_session *s);
enum session_phase session_arrive(struct fractal_session *s, enum session_phase done, int error);
void session_fail(struct fractal_session *s, int error);
void split_ttl(double ttl, uint64_t *sec, uint32_t *nsec);
void session_note(struct fractal_session *s);

#endif
