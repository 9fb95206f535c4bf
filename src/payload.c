/* SPDX-License-Identifier: MIT */
/*
 * payload.c - the memory of a worker's entries: mapped as address space, resident when used, huge where many large requests
 * pass, given back when idle.
 *
 * When memory may be given back: an entry is FREE also while its reply still waits in the submission queue, and when the kernel
 * has copied a request in whose completion nobody has taken. So a trim runs between the hand-over of all replies and
 * the next wait, and skips the entries whose completions lie in the queue.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TRIM_MS	   2000
#define HUGE_FROM  (256u << 10) /* bytes of a request or reply that count as large */
#define HUGE_AFTER 32u		/* so many large ones, and the entry gets a huge page */
#define HUGE_PAGE  ((size_t)2 << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static void init_entry(struct fractal_worker *w, uint32_t i, uint8_t *head, uint8_t *payload)
{
	struct entry *e = &w->entries[i];

	e->area = (struct entry_area *)head;
	e->payload = payload;
	e->iov[0] = (struct iovec){ &e->area->hdr, sizeof(e->area->hdr) };
	e->iov[1] = (struct iovec){ e->payload, w->s->payload_cap };
	e->dev_fd = -1;
	e->qid = (uint16_t)(w->first_queue + i / w->s->cfg.queue_depth);
	e->req.worker = w;
	e->req.slot = i;
	e->req.out = (union fractal_out *)e->payload;
	e->req.arg = (const union fractal_in *)e->area->hdr.op_in;
}

/*
 * Address space for all entries; pages come when they are touched. Each has its head right before its payload (a classic read
 * fills both). A payload that may become huge begins on a huge page, which it shares with nothing, or it could not be given
 * back as a whole.
 */
int payload_map(struct fractal_worker *w)
{
	uint32_t n = w->ring_entries + w->dev_entries;
	size_t page = w->s->page_size, cap = round_up(w->s->payload_cap, page);
	size_t head = round_up(sizeof(struct entry_area) + 128, page);
	bool may_grow = cap >= HUGE_FROM;
	size_t align = may_grow ? HUGE_PAGE : page;
	size_t each = may_grow ? round_up(cap, align) + align : head + cap;
	uint8_t *first;

	w->entries = aligned_alloc(64, round_up(n * sizeof(*w->entries), 64));
	if (!w->entries)
		return -ENOMEM;
	memset(w->entries, 0, n * sizeof(*w->entries));
	w->area_size = n * each + head + align;
	w->area = mmap(NULL, w->area_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->area == MAP_FAILED) {
		w->area = NULL;
		return -errno;
	}
	/* A huge page would make one small request cost 2 MiB; a forked child has no business with any of it. */
	madvise(w->area, w->area_size, MADV_NOHUGEPAGE);
	madvise(w->area, w->area_size, MADV_DONTFORK);
	first = (uint8_t *)round_up((uintptr_t)w->area + head, align);
	for (uint32_t i = 0; i < n; i++)
		init_entry(w, i, first + i * each - head, first + i * each);
	return 0;
}

/* After the thread has ended. Memory that the kernel may still write to is left alone. */
void payload_unmap(struct fractal_worker *w)
{
	if (w->area && w->ring_live == 0)
		munmap(w->area, w->area_size);
	free(w->entries);
}

/* 1 MiB reads answered from memory go about a tenth faster through a huge page. Where there is none it stays as it is. */
static void make_huge(struct fractal_worker *w, struct entry *e)
{
	size_t size = round_up(w->s->payload_cap, HUGE_PAGE);

	e->huge = !madvise(e->payload, size, MADV_HUGEPAGE) &&
		  !madvise(e->payload, size, MADV_COLLAPSE);
	if (!e->huge)
		madvise(e->payload, size, MADV_NOHUGEPAGE);
}

/* A reply goes out: what its entry's payload has been used for. On the worker's thread. */
void payload_account(struct fractal_worker *w, struct entry *e)
{
	uint32_t n = e->out_len > e->req.data_len ? e->out_len : e->req.data_len;

	if (e->out_len > e->touched)
		e->touched = e->out_len;
	if (RARELY(e->touched > w->s->page_size))
		w->warm = true;
	if (RARELY(n >= HUGE_FROM) && !e->huge && ++e->large == HUGE_AFTER)
		make_huge(w, e);
}

static void give_back(struct fractal_worker *w, struct entry *e)
{
	size_t page = w->s->page_size;

	if (e->huge) {
		size_t size = round_up(w->s->payload_cap, HUGE_PAGE);

		madvise(e->payload, size, MADV_DONTNEED);
		madvise(e->payload, size, MADV_NOHUGEPAGE);
		e->huge = false;
		e->touched = 0;
	} else {
		madvise(e->payload + page, round_up(e->touched - page, page), MADV_DONTNEED);
		e->touched = (uint32_t)page;
	}
	e->large = 0;
}

/* Gives back the payloads that were not used since the last look. Every reply has been handed over. */
void payload_trim(struct fractal_worker *w)
{
	uint32_t n = w->ring_entries, i = 0;

	if (w->have_ring && !ring_mark_arrived(w))
		return; /* and again in the next round */
	if (w->tr->id == FRACTAL_TRANSPORT_DEV) {
		i = w->ring_entries;
		n += w->dev_entries;
	}
	w->trim_due = w->warm = false;
	for (; i < n; i++) {
		struct entry *e = &w->entries[i];

		if (e->touched <= w->s->page_size)
			continue;
		if (!e->used && atomic_load(&e->state) == ENTRY_FREE)
			give_back(w, e);
		else
			w->warm = true;
		e->used = false;
	}
}

static void trim_timer(struct fractal_worker *w, struct completion *c, int res, unsigned flags)
{
	(void)c;
	(void)res;
	(void)flags;
	w->trim_armed = false;
	w->trim_due = true;
}

/* One timer in the ring, so that no wait needs a time-out of its own. */
void payload_arm_trim(struct fractal_worker *w)
{
	static const struct __kernel_timespec period = { .tv_sec = TRIM_MS / 1000,
							 .tv_nsec = TRIM_MS % 1000 * 1000000LL };
	struct io_uring_sqe *sqe;

	if (!RARELY(w->warm && !w->trim_armed && w->have_ring))
		return;
	w->trim_done.fn = trim_timer;
	sqe = ring_sqe(w);
	sqe->opcode = IORING_OP_TIMEOUT;
	sqe->fd = -1;
	sqe->addr = (uintptr_t)&period;
	sqe->len = 1;
	sqe->user_data = ring_tag(&w->trim_done);
	w->trim_armed = true;
}

/* How long a worker without a ring may wait before it looks again, in ms. */
int payload_patience(const struct fractal_worker *w)
{
	return w->warm && !w->have_ring ? TRIM_MS : -1;
}
