/* SPDX-License-Identifier: MIT */
/*
 * test_recording.c - the reader of recordings: well-formed ones are asked again and compared; what is cut off, changed or
 * contradicts itself is refused with a sentence. Inputs are the same in every run.
 */
#include "fuzz_recording.h"

#define MUTATIONS 3000

/* Recordings of errors and of answers, and one that is made from them. */
static uint8_t whole[RECORDING_LARGEST], answers[RECORDING_LARGEST], changed[RECORDING_LARGEST];
static uint32_t whole_len, answers_len;
static uint64_t sequence = 1;

static uint32_t next_number(void)
{
	sequence = sequence * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(sequence >> 33);
}

static void the_same_answers(void)
{
	CHECK_INT(replay_bytes(whole, whole_len, -5), 0);
	CHECK_INT(fuzzed.differences, 0);
	/* The library deals with an interrupt itself. */
	CHECK_INT(fuzzed.requests + 1, fuzzed.asked);
	CHECK(fuzzed.requests > 40);
	CHECK_INT(offline.logged, 0);
}

static void other_answers(void)
{
	CHECK_INT(replay_bytes(whole, whole_len, -2), 0);
	/* Forgets have no answer. */
	CHECK_INT(fuzzed.differences, fuzzed.requests - 2);
	CHECK_CONTAINS(fuzzed.last, "ino 1");
	CHECK_CONTAINS(fuzzed.last, ": ENOENT, was EIO");
}

/* The head, with one field changed. */
#define WITH(field, value)                            \
	do {                                          \
		struct record_file head;              \
		memcpy(changed, whole, whole_len);    \
		memcpy(&head, whole, sizeof(head));   \
		head.field = value;                   \
		memcpy(changed, &head, sizeof(head)); \
	} while (0)

static void refused(const uint8_t *data, size_t size, const char *sentence)
{
	CHECK(replay_bytes(data, size, -5) < 0);
	CHECK_CONTAINS(offline.log, sentence);
}

static void bad_heads(void)
{
	WITH(magic[0], 'f');
	refused(changed, whole_len, "is no recording");
	WITH(version, 2);
	refused(changed, whole_len, "is of version 2, and this program reads version 1");
	WITH(size, 100);
	refused(changed, whole_len, "has a head of 100 bytes");
	WITH(page_size, 0);
	refused(changed, whole_len, "makes no sense");
	WITH(payload_cap, 1u << 20);
	refused(changed, whole_len, "replay it with -o max_write=1048576");
	refused(whole, 20, "is cut off inside its head");
	refused((const uint8_t *)"#!/bin/sh\n", 10, "is no recording");
}

/* The first record, a LOOKUP, with one field of its head changed. */
static void bad_record(size_t offset, uint32_t value, const char *sentence)
{
	memcpy(changed, whole, whole_len);
	memcpy(changed + sizeof(struct record_file) + offset, &value, sizeof(value));
	CHECK_INT(replay_bytes(changed, whole_len, -5), 0);
	CHECK_INT(fuzzed.requests, 0);
	CHECK_CONTAINS(offline.log, sentence);
}

static void bad_records(void)
{
	const size_t in = sizeof(struct record_head);

	bad_record(offsetof(struct record_head, size), 3, "has a record of 3 bytes at byte");
	bad_record(offsetof(struct record_head, size), UINT32_MAX,
		   "has a record of 4294967295 bytes");
	bad_record(offsetof(struct record_head, type), 9, "has a record of unknown type 9");
	bad_record(offsetof(struct record_head, omitted), 1, "contradicts itself");
	bad_record(offsetof(struct record_head, omitted), UINT32_MAX, "has a record of");
	bad_record(in + offsetof(struct fractal_in_header, len), 1, "contradicts itself");
	bad_record(in + offsetof(struct fractal_in_header, opcode), 1000, "contradicts itself");
	bad_record(in + offsetof(struct fractal_in_header, total_extlen), 0xffff,
		   "contradicts itself");
}

/* Answers that are compared field by field, entry by entry. */
static void recorded_answers(void)
{
	CHECK_INT(replay_bytes(answers, answers_len, 0), 0);
	CHECK(fuzzed.requests > 40);
	CHECK(fuzzed.differences > 20);
	CHECK_INT(replay_bytes(answers, answers_len, -2), 0);
	CHECK_INT(fuzzed.differences, fuzzed.requests - 2);
	CHECK_CONTAINS(fuzzed.last, ": ENOENT, was ok");
}

static void cut_everywhere(void)
{
	uint64_t before = 0;

	for (uint32_t len = 1; len < whole_len; len += 3) {
		replay_bytes(whole, len, -5);
		CHECK(fuzzed.requests >= before);
		CHECK_INT(fuzzed.differences, 0);
		before = fuzzed.requests;
	}
}

static void change_bytes(const uint8_t *from, uint32_t len)
{
	static const uint8_t telling[] = { 0, 1, 7, 8, 0x7f, 0x80, 0xfe, 0xff };

	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(changed, from, len);
		for (uint32_t n = next_number() % 6 + 1; n > 0; n--) {
			uint32_t at = next_number() % len, way = next_number();

			/* The file's own head is tested by itself. */
			if (at < sizeof(struct record_file))
				continue;
			changed[at] = way & 1 ? telling[way / 2 % sizeof(telling)]
					      : (uint8_t)(way >> 8);
		}
		replay_bytes(changed, len, i % 2 ? INT32_MIN : 0);
	}
}

/* What each replay checks is that nothing breaks. */
static void changed_bytes(void)
{
	change_bytes(whole, whole_len);
	change_bytes(answers, answers_len);
}

int main(void)
{
	offline_start(NULL);
	whole_len = seed_recording(whole, false);
	answers_len = seed_recording(answers, true);
	RUN(the_same_answers);
	RUN(other_answers);
	RUN(recorded_answers);
	RUN(bad_heads);
	RUN(bad_records);
	RUN(cut_everywhere);
	RUN(changed_bytes);
	offline_stop();
	return check_result();
}
