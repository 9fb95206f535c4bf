/* SPDX-License-Identifier: MIT */
/* scheduling.c - see scheduling.h. */
#include "scheduling.h"
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CGROUPS "/sys/fs/cgroup"

/* Is `cpu` among the comma-separated controllers (of version 1)? */
static bool names_cpu(const char *controllers)
{
	for (const char *word = controllers; word; word = strchr(word, ',')) {
		word += *word == ',';
		if (strncmp(word, "cpu", 3) == 0 && (word[3] == ',' || word[3] == '\0'))
			return true;
	}
	return false;
}

/* The directory of this process's group of the `cpu` controller; false when it is the root, cgroups(7). */
static bool cpu_cgroup(char *dir, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX], weight[PATH_MAX + 32];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *controllers = strchr(line, ':'), *path = NULL;

		if (controllers)
			path = strchr(++controllers, ':');
		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (names_cpu(controllers)) {
			found = strcmp(path, "/") != 0;
			snprintf(dir, size, CGROUPS "/cpu%s", path);
		} else if (!*controllers) {
			snprintf(weight, sizeof(weight), CGROUPS "%s/cpu.weight", path);
			found = access(weight, F_OK) == 0;
			snprintf(dir, size, CGROUPS "%s", path);
		}
	}
	if (f)
		fclose(f);
	return found;
}

/* Are all members of a cgroup of this process's job, as its guardian is? */
static bool alone_in(const char *dir)
{
	char path[PATH_MAX + 64];
	FILE *f;
	int pid;
	bool alone = true;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (alone && fscanf(f, "%d", &pid) == 1)
		alone = pid == getpid() || getpgid(pid) == getpgrp();
	fclose(f);
	return alone;
}

/* autogroup of sched(7): each session is a group. */
static bool autogroups(void)
{
	FILE *f = fopen("/proc/sys/kernel/sched_autogroup_enabled", "re");
	bool on = f && fgetc(f) == '1';

	if (f)
		fclose(f);
	return on;
}

/*
 * Does the scheduler weigh this process as a whole against all others? Then its threads' policy only orders them among
 * themselves. Else a SCHED_IDLE thread would get a three hundredth of what a busy neighbour gets.
 */
static bool has_group_of_its_own(void)
{
	char dir[PATH_MAX + 32];

	if (cpu_cgroup(dir, sizeof(dir)))
		return getpgrp() == getpid() && alone_in(dir);
	return autogroups() && getsid(0) == getpid();
}

void scheduling_apply(enum scheduling wanted)
{
	const struct sched_param none = { .sched_priority = 0 };
	DIR *threads;

	if (wanted == SCHEDULING_OTHER || (wanted == SCHEDULING_AUTO && !has_group_of_its_own()))
		return;
	threads = opendir("/proc/self/task");
	for (struct dirent *d; threads && (d = readdir(threads));)
		if (d->d_name[0] != '.')
			sched_setscheduler((pid_t)strtol(d->d_name, NULL, 10), SCHED_IDLE, &none);
	if (threads)
		closedir(threads);
}
