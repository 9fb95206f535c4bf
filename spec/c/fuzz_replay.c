/* SPDX-License-Identifier: MIT */
/* fuzz_replay.c - libFuzzer's entry to fuzz_recording.h: random recordings to be asked again. */
#include "fuzz_recording.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_seed(const char *dir, const char *name, bool success)
{
	static uint8_t seed[RECORDING_LARGEST];
	uint32_t len = seed_recording(seed, success);
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/seed-%s", dir, name);
	f = fopen(path, "wbe");
	if (!f)
		return;
	if (fwrite(seed, len, 1, f) != 1)
		fprintf(stderr, "fuzz_replay: %s could not be written\n", path);
	fclose(f);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	offline_start(NULL);
	for (int i = 1; i < *argc; i++) {
		if ((*argv)[i][0] == '-')
			continue;
		write_seed((*argv)[i], "errors", false);
		write_seed((*argv)[i], "answers", true);
		break;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	replay_bytes(data, size, INT32_MIN);
	return 0;
}
