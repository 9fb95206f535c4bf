/* SPDX-License-Identifier: MIT */
/*
 * mail.c - messages of bytes from any thread to a worker, which takes them in the order they came.
 */
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fractal_worker_send(struct fractal_worker *to, const void *data, uint32_t len)
{
	struct fractal_mail *mail = malloc(sizeof(*mail) + len);

	if (!mail)
		return -ENOMEM;
	mail->len = len;
	memcpy(mail->data, data, len);
	mail->next = atomic_load(&to->mail);
	while (!atomic_compare_exchange_weak(&to->mail, &mail->next, mail)) {
	}
	fractal_worker_wake(to);
	return 0;
}

struct fractal_mail *const volatile *fractal_worker_mail(const struct fractal_worker *worker)
{
	return (struct fractal_mail *const volatile *)&worker->mail;
}

struct fractal_mail *fractal_worker_receive(struct fractal_worker *worker)
{
	struct fractal_mail *mail, *next, *in_order = NULL;

	for (mail = atomic_exchange(&worker->mail, NULL); mail; mail = next) {
		next = mail->next;
		mail->next = in_order;
		in_order = mail;
	}
	return in_order;
}

void fractal_mail_free(struct fractal_mail *mail)
{
	free(mail);
}
