/* SPDX-License-Identifier: MIT */
/*
 * test_forget.c - what comes beside the requests: forgets, which bring every lookup count back to zero, and interrupts,
 * which find their request in whatever order the two arrive.
 */
#include "flatfs.h"
#include "offline.h"
#include <sys/stat.h>
#include <sys/time.h>

#define NAMES 5000

/* ---- forgets: a directory where every name exists ---- */

static _Atomic long lookups, references, forgets, batches;

static int lookup_any(struct fractal_request *req, void *user)
{
	unsigned long n = strtoul(req->name, NULL, 10);

	if (!n)
		return -ENOENT;
	lookups++;
	references++;
	req->out->entry.nodeid = 100 + n;
	req->out->entry.attr.mode = S_IFREG | 0644;
	return 0;
}

static int getattr_any(struct fractal_request *req, void *user)
{
	req->out->attr.attr.mode = req->nodeid == FRACTAL_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	return 0;
}

static int forget_any(struct fractal_request *req, void *user)
{
	CHECK(req->nodeid > 100 && req->nodeid <= 100 + NAMES);
	references -= (long)req->arg->forget.nlookup;
	forgets++;
	return 0;
}

static int batch_forget_any(struct fractal_request *req, void *user)
{
	const struct fractal_forget_one *one = (const struct fractal_forget_one *)req->data;

	CHECK_INT(req->data_len, req->arg->batch_forget.count * sizeof(*one));
	for (uint32_t i = 0; i < req->arg->batch_forget.count; i++) {
		CHECK(one[i].nodeid > 100 && one[i].nodeid <= 100 + NAMES);
		references -= (long)one[i].nlookup;
	}
	batches++;
	return 0;
}

/* Looks names up several times each (entries are not cached), and leaves. */
static int look_around(const char *mountpoint)
{
	char name[32];
	struct stat st;

	for (int i = 0; i < 2 * NAMES; i++) {
		snprintf(name, sizeof(name), "%d", i % NAMES + 1);
		if (!CHECK(stat(in_mount(mountpoint, name), &st) == 0))
			return 1;
	}
	return 0;
}

static bool drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "2", 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

static void forget_all(enum fractal_transport transport, const struct fractal_handlers *handlers)
{
	struct fractal_config c = { .transport = transport, .handlers = handlers };
	struct server v;
	double end;

	lookups = references = forgets = batches = 0;
	if (!CHECK(server_start(&v, &c, NULL)))
		return;
	CHECK_INT(client_run(&v, look_around), 0);
	/* Memory pressure may have brought some references back already. */
	CHECK(lookups >= NAMES);
	end = seconds_now() + 20;
	while (references != 0 && seconds_now() < end) {
		if (!drop_caches())
			break;
		pause_ms(50);
	}
	CHECK_INT(references, 0);
	CHECK_INT(server_stop(&v), 0);
	CHECK_TEXT(v.log, "");
}

static void forget_one_by_one(enum fractal_transport transport)
{
	static const struct fractal_handlers handlers = { .lookup = lookup_any,
							  .getattr = getattr_any,
							  .forget = forget_any };

	forget_all(transport, &handlers);
	CHECK_INT(batches, 0);
	CHECK(forgets >= NAMES);
}

static void forget_in_batches(enum fractal_transport transport)
{
	static const struct fractal_handlers handlers = { .lookup = lookup_any,
							  .getattr = getattr_any,
							  .forget = forget_any,
							  .batch_forget = batch_forget_any };

	forget_all(transport, &handlers);
	CHECK(forgets + batches > 0);
}

static void forgets_bring_references_back(void)
{
	on_both(forget_one_by_one);
	on_both(forget_in_batches);
}

/* ---- interrupts, one step at a time ---- */

static struct fractal_request *ask_statfs(void)
{
	struct question q = { .opcode = FRACTAL_OP_STATFS };
	struct fractal_request *req = offline_ask(&q);

	if (!CHECK(req))
		exit(check_result());
	return req;
}

static void send_interrupt(uint64_t id)
{
	struct {
		struct fractal_in_header in;
		struct fractal_interrupt_in body;
	} m = { { .len = sizeof(m), .opcode = FRACTAL_OP_INTERRUPT, .unique = id | 1 }, { id } };

	CHECK_INT(send(offline.kernel_fd, &m, sizeof(m), 0), sizeof(m));
}

static void an_interrupt_after_its_request(void)
{
	struct fractal_request *first, *second;

	offline_start(NULL);
	first = ask_statfs();
	second = ask_statfs();
	CHECK(!fractal_interrupted(first));
	interrupt_deliver(offline.session, first->id);
	CHECK(fractal_interrupted(first));
	CHECK(!fractal_interrupted(second));
	CHECK_INT(fractal_reply(first, -EINTR), 0);
	CHECK_INT(fractal_reply(second, 0), 0);
	/* The slot's next request is not the one that was interrupted. */
	first = ask_statfs();
	CHECK(!fractal_interrupted(first));
	CHECK_INT(fractal_reply(first, 0), 0);
	offline_stop();
}

static void an_interrupt_before_its_request(void)
{
	struct fractal_request *req;

	offline_start(NULL);
	interrupt_deliver(offline.session, offline.unique + 2);
	CHECK_INT(offline.session->early_count, 1);
	req = ask_statfs();
	CHECK(fractal_interrupted(req));
	CHECK_INT(offline.session->early_count, 0);
	CHECK_INT(fractal_reply(req, -EINTR), 0);
	req = ask_statfs();
	CHECK(!fractal_interrupted(req));
	CHECK_INT(fractal_reply(req, 0), 0);
	offline_stop();
}

/* Interrupts whose request was answered long ago leave room for new ones. */
static void early_interrupts_are_kept_for_a_while(void)
{
	struct fractal_request *req;
	uint64_t next;

	offline_start(NULL);
	for (uint64_t i = 0; i < 3 * EARLY_INTERRUPTS; i++)
		interrupt_deliver(offline.session, 1000000 + 2 * i);
	CHECK_INT(offline.session->early_count, EARLY_INTERRUPTS);
	next = offline.unique + 2;
	interrupt_deliver(offline.session, next);
	CHECK_INT(offline.session->early_count, EARLY_INTERRUPTS);
	req = ask_statfs();
	CHECK(fractal_interrupted(req));
	fractal_reply(req, -EINTR);
	for (int i = 0; i < offline.session->early_count; i++)
		offline.session->early[i].at_ns = 0;
	interrupt_deliver(offline.session, 5);
	CHECK_INT(offline.session->early_count, 1);
	offline_stop();
}

/* Over /dev/fuse a handler that stays in its loop sees the interrupt, and what it reads on the way is not lost. */
static void a_busy_handler_sees_its_interrupt(void)
{
	struct question q = { .opcode = FRACTAL_OP_STATFS };
	struct fractal_request *req, *next;

	offline_start(NULL);
	req = ask_statfs();
	offline_send(&q);
	send_interrupt(req->id);
	for (int i = 0; i < 2 && !fractal_interrupted(req); i++)
		;
	CHECK(fractal_interrupted(req));
	next = fractal_next(offline.worker);
	if (CHECK(next)) {
		CHECK_INT(next->id, offline.unique);
		CHECK(!fractal_interrupted(next));
		CHECK_INT(fractal_reply(next, 0), 0);
	}
	CHECK_INT(fractal_reply(req, -EINTR), 0);
	offline_stop();
}

/* ---- interrupts, for real ---- */

static _Atomic int reading;

static int read_until_interrupted(struct fractal_request *req, void *user)
{
	double end = seconds_now() + 10;

	atomic_store(&reading, 1);
	while (!fractal_interrupted(req) && seconds_now() < end)
		pause_ms(1);
	return fractal_interrupted(req) ? -EINTR : 0;
}

static void on_signal(int sig)
{
	(void)sig;
}

static int read_and_be_interrupted(const char *mountpoint)
{
	struct sigaction act = { .sa_handler = on_signal };
	int fd = open(in_mount(mountpoint, "1"), O_RDONLY);
	char byte;

	sigaction(SIGUSR1, &act, NULL);
	CHECK(fd >= 0);
	CHECK(read(fd, &byte, 1) < 0 && errno == EINTR);
	return 0;
}

static int open_direct(struct fractal_request *req, void *user)
{
	req->out->open.open_flags = FRACTAL_FOPEN_DIRECT_IO;
	return 0;
}

static void interrupt_a_reader_of(enum fractal_transport transport, uint32_t workers)
{
	static const struct fractal_handlers handlers = { .lookup = lookup_any,
							  .getattr = getattr_any,
							  .open = open_direct,
							  .read = read_until_interrupted };
	struct fractal_config c = { .transport = transport,
				    .handlers = &handlers,
				    .workers = workers };
	struct server v;
	pid_t client;

	reading = 0;
	if (!CHECK(server_start(&v, &c, NULL)))
		return;
	client = client_start(read_and_be_interrupted, v.mountpoint);
	CHECK(await_int(&reading, 1, 10));
	kill(client, SIGUSR1);
	CHECK_INT(client_wait(&v, client, CLIENT_SECONDS), 0);
	CHECK_INT(server_stop(&v), 0);
}

static void interrupt_a_reader(enum fractal_transport transport)
{
	for (uint32_t i = 0; i < 10; i++)
		interrupt_a_reader_of(transport, i % 2);
}

static void a_signal_interrupts_a_reader(void)
{
	on_both(interrupt_a_reader);
}

/* ---- many of both ---- */

static _Atomic int interrupted_reads, lost_interrupts;

/* Half of the reads wait for an interrupt, which some signal will cause; the others answer at once. */
static int read_in_a_crowd(struct fractal_request *req, void *user)
{
	double end = seconds_now() + 0.05;

	if (req->arg->read.offset % 2 == 0)
		return 1;
	while (!fractal_interrupted(req) && seconds_now() < end)
		;
	*(fractal_interrupted(req) ? &interrupted_reads : &lost_interrupts) += 1;
	return -EINTR;
}

static int read_under_signals(const char *mountpoint)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct itimerval often = { { 0, 700 }, { 0, 700 } }, never = { { 0, 0 }, { 0, 0 } };
	int fd = open(in_mount(mountpoint, "1"), O_RDONLY);
	char byte;

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 400; i++) {
		ssize_t n = pread(fd, &byte, 1, i);

		if (!CHECK(n == 1 || (n < 0 && errno == EINTR)))
			break;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	return 0;
}

static void interrupt_a_crowd(enum fractal_transport transport)
{
	static const struct fractal_handlers handlers = { .lookup = lookup_any,
							  .getattr = getattr_any,
							  .open = open_direct,
							  .read = read_in_a_crowd };
	struct fractal_config c = { .transport = transport, .handlers = &handlers };
	struct server v;
	pid_t clients[3];

	interrupted_reads = lost_interrupts = 0;
	if (!CHECK(server_start(&v, &c, NULL)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_start(read_under_signals, v.mountpoint);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		CHECK_INT(client_wait(&v, clients[i], CLIENT_SECONDS), 0);
	CHECK(interrupted_reads > 0);
	/*
	 * Linux 6.18 sends no interrupt for a signal that comes while the ring's request waits for its worker: it looks for
	 * signals after the hand-over only on the way through /dev/fuse.
	 */
	CHECK(lost_interrupts == 0 || transport == FRACTAL_TRANSPORT_URING);
	CHECK_INT(server_stop(&v), 0);
	CHECK_TEXT(v.log, "");
}

static void no_interrupt_is_lost_in_a_crowd(void)
{
	on_both(interrupt_a_crowd);
}

int main(void)
{
	RUN(an_interrupt_after_its_request);
	RUN(an_interrupt_before_its_request);
	RUN(early_interrupts_are_kept_for_a_while);
	RUN(a_busy_handler_sees_its_interrupt);
	need_mounts();
	RUN(a_signal_interrupts_a_reader);
	RUN(no_interrupt_is_lost_in_a_crowd);
	RUN(forgets_bring_references_back);
	return check_result();
}
