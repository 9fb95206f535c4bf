/* SPDX-License-Identifier: MIT */
/* fuzz_replay.c - libFuzzer's entry to fuzz_recording.h: random recordings to be asked again. */
#include "fuzz_recording.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static uint8_t seed[RECORDING_LARGEST];
	uint32_t len = seed_recording(seed);
	char path[4096];
	FILE *f = NULL;

	offline_start(NULL);
	for (int i = 1; i < *argc && !f; i++) {
		if ((*argv)[i][0] == '-')
			continue;
		snprintf(path, sizeof(path), "%s/seed-every-operation", (*argv)[i]);
		f = fopen(path, "wbe");
	}
	if (f && fwrite(seed, len, 1, f) != 1)
		fprintf(stderr, "fuzz_replay: %s could not be written\n", path);
	if (f)
		fclose(f);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	replay_bytes(data, size, INT32_MIN);
	return 0;
}
