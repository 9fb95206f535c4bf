/* SPDX-License-Identifier: MIT */
/*
 * test_fuzz_corpus.c - the fuzzer's check on inputs that are the same in every run: well-formed requests of every
 * operation, each of them cut at every byte, and each of them with bytes changed by a fixed sequence. And what the
 * fuzzer has found.
 */
#include "fuzz_core.h"

#define MUTATIONS 300

static uint8_t input[FUZZ_LARGEST], changed[FUZZ_LARGEST];
static uint64_t sequence = 1;

static uint32_t next_number(void)
{
	sequence = sequence * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(sequence >> 33);
}

/* Calls @check with each seed. */
static void each_seed(void (*check)(size_t len), uint32_t name_len)
{
	for (uint32_t opcode = 0; opcode < FRACTAL_OP_COUNT; opcode++) {
		for (int way = 0; way < FUZZ_WAYS; way++) {
			size_t len = fuzz_seed(input, opcode, (enum fuzz_way)way, name_len);

			if (len)
				check(len);
		}
	}
}

static void as_it_is(size_t len)
{
	static const int32_t results[] = { 0,	1,   10,   100,	 4096,	 65536,	    -1, -2,
					   -34, -71, -511, -512, -10000, INT32_MAX, 16, INT32_MIN };
	struct fuzz_control c;

	memcpy(&c, input, sizeof(c));
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		for (c.bytes = 0; c.bytes < 2; c.bytes++) {
			c.result = results[i];
			memcpy(input, &c, sizeof(c));
			fuzz_one(input, len);
		}
	}
}

static void cut_everywhere(size_t len)
{
	for (size_t n = 0; n <= len; n++)
		fuzz_one(input, n);
}

static void change(size_t len)
{
	static const uint8_t telling[] = { 0, 1, 7, 8, 0x7f, 0x80, 0xfe, 0xff };

	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(changed, input, len);
		for (uint32_t n = next_number() % 4 + 1; n > 0; n--) {
			uint32_t at = next_number() % (uint32_t)len, way = next_number();

			changed[at] = way & 1 ? telling[way / 2 % sizeof(telling)]
					      : (uint8_t)(way >> 8);
		}
		/* The way stays, so that each gets its share. */
		changed[0] = input[0];
		fuzz_one(changed, len);
	}
}

static void well_formed_requests(void)
{
	each_seed(as_it_is, 5);
	each_seed(as_it_is, FRACTAL_NAME_MAX - 1);
}

static void cut_requests(void)
{
	each_seed(cut_everywhere, 5);
}

static void changed_requests(void)
{
	each_seed(change, 5);
	each_seed(change, 40);
}

/* Over the ring, a structure that lies in the payload and leaves less of it than its extensions are said to take. */
static void extensions_longer_than_what_is_left(void)
{
	const uint32_t payload = sizeof(struct fractal_notify_retrieve_in) + 1;
	struct fractal_in_header in;
	struct fuzz_control c;

	fuzz_seed(input, FRACTAL_OP_NOTIFY_REPLY, FUZZ_RING, 0);
	memcpy(&c, input, sizeof(c));
	memcpy(&in, input + sizeof(c), sizeof(in));
	c.payload = payload;
	in.total_extlen = 1;
	memcpy(input, &c, sizeof(c));
	memcpy(input + sizeof(c), &in, sizeof(in));
	fuzz_one(input, FUZZ_FIXED + payload);
}

int main(void)
{
	offline_start(NULL);
	RUN(well_formed_requests);
	RUN(cut_requests);
	RUN(changed_requests);
	RUN(extensions_longer_than_what_is_left);
	offline_stop();
	return check_result();
}
