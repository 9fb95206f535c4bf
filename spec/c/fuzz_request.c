/* SPDX-License-Identifier: MIT */
/*
 * fuzz_request.c - libFuzzer's entry to fuzz_core.h: random requests to decode and to answer.
 *
 * Well-formed requests of every operation are written into the corpus directory first, where they are not there yet.
 */
#include "fuzz_core.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_seed(const char *dir, uint32_t opcode, enum fuzz_way way, uint32_t name_len)
{
	static uint8_t seed[FUZZ_LARGEST];
	size_t len = fuzz_seed(seed, opcode, way, name_len);
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/seed-%s-%d-%u", dir, fractal_op_name(opcode), (int)way,
		 name_len);
	f = len ? fopen(path, "wbe") : NULL;
	if (!f)
		return;
	if (fwrite(seed, len, 1, f) != 1)
		fprintf(stderr, "fuzz_request: %s could not be written\n", path);
	fclose(f);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	offline_start(NULL);
	for (int i = 1; i < *argc; i++) {
		if ((*argv)[i][0] == '-')
			continue;
		for (uint32_t opcode = 0; opcode < FRACTAL_OP_COUNT; opcode++)
			for (int way = 0; way < FUZZ_WAYS; way++)
				write_seed((*argv)[i], opcode, (enum fuzz_way)way, 5);
		write_seed((*argv)[i], FRACTAL_OP_RENAME2, FUZZ_BLOCKS, FRACTAL_NAME_MAX - 1);
		break;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_one(data, size);
	return 0;
}
