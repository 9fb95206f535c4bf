/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - looks at everything a mount needs, each in a check of its own, and mounts once for a trial.
 *
 * Where FRACTAL_DOCTOR_ROOT names a directory, files of the system are looked for below it: for tests, and for the root of
 * another system.
 */
#include "doctor.h"
#include "findings.h"
#include "mount.h"
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <linux/io_uring.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define URING_SWITCH	"/sys/module/fuse/parameters/enable_uring"
#define URING_FORBIDDEN "/proc/sys/kernel/io_uring_disabled"
#define PAGES_LIMIT	"/proc/sys/fs/fuse/max_pages_limit"
#define FUSE_CONF	"/etc/fuse.conf"
#define RELEASE		"/proc/sys/kernel/osrelease"
#define MODULE		"/sys/module/fuse"
#define DEVICE		"/dev/fuse"

/* ---- helpers ---------------------------------------------------------------------------------------------- */

/* The path of a file of the system that is looked at. */
static const char *look_at(const char *path, char where[512])
{
	const char *root = getenv("FRACTAL_DOCTOR_ROOT");

	snprintf(where, 512, "%s%s", root ? root : "", path);
	return where;
}

/* The first line of a small file. False when it cannot be read. */
static bool read_line(const char *path, char *line, int size)
{
	char where[512];
	FILE *file = fopen(look_at(path, where), "re");
	bool got = file && fgets(line, size, file);

	if (file)
		fclose(file);
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

/* Looks for a program in PATH. */
static bool find_program(const char *name, char *path, size_t size, struct stat *st)
{
	const char *dirs = getenv("PATH");

	for (const char *p = dirs ? dirs : "/usr/bin:/bin"; *p; p += *p == ':') {
		size_t len = strcspn(p, ":");

		snprintf(path, size, "%.*s/%s", (int)len, p, name);
		if (len > 0 && access(path, X_OK) == 0 && stat(path, st) == 0)
			return true;
		p += len;
	}
	return false;
}

/* ---- checks ------------------------------------------------------------------------------------------------ */

/*
 * Kernels whose FUSE over io_uring has known bugs: use after free and requests out of order (CVE-2026-64259, -64260, -64261,
 * -64588), which whoever may open /dev/fuse can reach; and background requests, as of readahead, that end up one at a time.
 */
static bool is_buggy(int major, int minor, int patch)
{
	static const struct {
		int major, minor, fixed; /* fixed in this patch release; 0: never */
	} lines[] = {
		{ 6, 14, 0 },  { 6, 15, 0 }, { 6, 16, 0 }, { 6, 17, 0 },
		{ 6, 18, 39 }, { 6, 19, 0 }, { 7, 0, 0 },  { 7, 1, 4 },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (lines[i].major == major && lines[i].minor == minor)
			return lines[i].fixed == 0 || patch < lines[i].fixed;
	}
	return false;
}

static void check_kernel(struct finding *f)
{
	char release[128] = "";
	int major = 0, minor = 0, patch = 0;

	read_line(RELEASE, release, sizeof(release));
	sscanf(release, "%d.%d.%d", &major, &minor, &patch);
	if (major < 5 || (major == 5 && minor < 4)) {
		find(f, FAIL, "Linux %s is too old", release);
		advise(f, "install Linux 5.4 or newer, for the ring 6.14 or newer");
	} else if (major < 6 || (major == 6 && minor < 14)) {
		find(f, WARN, "Linux %s has no FUSE over io_uring; mounts use classic /dev/fuse",
		     release);
		advise(f, "install Linux 6.18.39, 7.1.4 or newer for the ring");
	} else if (is_buggy(major, minor, patch)) {
		find(f, WARN,
		     "Linux %s has known use-after-free bugs in FUSE over io_uring, which every user of /dev/fuse can "
		     "reach (CVE-2026-64259, -64260, -64261, -64588)",
		     release);
		advise(f, "install Linux 6.18.39, 7.1.4 or newer, or mount with -o transport=dev");
	} else {
		find(f, OK, "Linux %s has FUSE over io_uring", release);
	}
}

static void check_device(struct finding *f)
{
	char where[512];
	struct stat st;
	int fd = open(look_at(DEVICE, where), O_RDWR | O_CLOEXEC), err = errno;

	if (fd >= 0) {
		close(fd);
		find(f, OK, "/dev/fuse can be opened");
	} else if (stat(where, &st)) {
		find(f, FAIL, "/dev/fuse is missing");
		advise(f, "modprobe fuse (in a container: start it with --device /dev/fuse)");
	} else if (geteuid() != 0) {
		find(f, OK, "/dev/fuse is open to root only; fusermount3 opens it for other users");
	} else {
		find(f, FAIL, "/dev/fuse cannot be opened: %s", strerror(err));
		advise(f, "in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN");
	}
}

static void check_helper(struct finding *f)
{
	enum verdict lack = geteuid() ? FAIL : WARN;
	char path[512];
	struct stat st;

	if (!find_program("fusermount3", path, sizeof(path), &st)) {
		find(f, lack, "fusermount3 is missing; ordinary users mount through it");
		advise(f, "apt-get install fuse3");
	} else if (st.st_uid != 0 || !(st.st_mode & S_ISUID)) {
		find(f, lack, "%s is not set-user-id root; ordinary users cannot mount", path);
		advise(f, "chown root %s && chmod u+s %s", path, path);
	} else {
		find(f, OK, "%s is there for ordinary users", path);
	}
}

static void check_allow_other(struct finding *f)
{
	char line[256], where[512];
	FILE *file = fopen(look_at(FUSE_CONF, where), "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, " \t\r\n")] = '\0';
		found = strcmp(line, "user_allow_other") == 0;
	}
	if (file)
		fclose(file);
	if (found) {
		find(f, OK, "ordinary users may mount with allow_other");
	} else {
		find(f, WARN, "only root may mount with allow_other");
		advise(f, "echo user_allow_other >> " FUSE_CONF);
	}
}

static void check_switch(struct finding *f)
{
	char line[16], where[512];

	if (!read_line(URING_SWITCH, line, sizeof(line)) && access(look_at(MODULE, where), F_OK)) {
		find(f, WARN, "the module fuse is not loaded");
		advise(f, "modprobe fuse");
	} else if (!read_line(URING_SWITCH, line, sizeof(line))) {
		find(f, WARN,
		     "this kernel was built without FUSE over io_uring; mounts use classic /dev/fuse");
		advise(f, "install Linux 6.14 or newer with CONFIG_FUSE_IO_URING");
	} else if (*line != 'Y') {
		find(f, WARN, "FUSE over io_uring is switched off; mounts use classic /dev/fuse");
		advise(f, "echo Y > " URING_SWITCH);
	} else {
		find(f, OK, "FUSE over io_uring is switched on");
	}
}

/* Makes a ring of the kind that the transport uses. 0 or the errno. */
static int try_ring(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 };
	long fd = syscall(SYS_io_uring_setup, 4, &params);

	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

static void check_ring(struct finding *f)
{
	char line[16] = "0";
	int err = try_ring();

	read_line(URING_FORBIDDEN, line, sizeof(line));
	/* 1 leaves it to root and to a group; 2 leaves it to nobody. */
	if (!err && *line != '2') {
		find(f, OK, "rings with 128-byte entries can be made");
	} else if (*line != '0') {
		find(f, WARN, "io_uring is forbidden (%s is %s); mounts use classic /dev/fuse",
		     URING_FORBIDDEN, line);
		advise(f, "sysctl kernel.io_uring_disabled=0");
	} else {
		find(f, WARN, "io_uring cannot be used: %s; mounts use classic /dev/fuse",
		     strerror(err));
		advise(f,
		       "in a container: allow io_uring_setup and io_uring_enter in its seccomp profile");
	}
}

static void check_pages(struct finding *f)
{
	long page = sysconf(_SC_PAGESIZE), pages;
	char line[32];

	if (!read_line(PAGES_LIMIT, line, sizeof(line))) {
		find(f, OK, "requests carry up to %ld KiB", 256 * page / 1024);
		return;
	}
	pages = strtol(line, NULL, 10);
	find(f, pages < 256 ? WARN : OK, "requests carry up to %ld KiB (%s is %ld)",
	     pages * page / 1024, PAGES_LIMIT, pages);
	if (pages < 256)
		advise(f, "echo 256 > " PAGES_LIMIT);
}

static void check_memlock(struct finding *f)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY)
		find(f, OK, "locked memory is not limited");
	else if (limit.rlim_cur >= 64 * 1024)
		find(f, OK, "locked memory is limited to %llu KiB",
		     (unsigned long long)limit.rlim_cur / 1024);
	else
		find(f, WARN,
		     "locked memory is limited to %llu bytes, which kernels before 5.12 count rings in",
		     (unsigned long long)limit.rlim_cur);
	if (f->verdict == WARN)
		advise(f, "ulimit -l 8192");
}

static void check_luajit(struct finding *f)
{
	static const char question[] = "return jit.version, jit.status() and 'on' or 'off'";
	const char *known;
	lua_State *L = luaL_newstate();

	if (!L) {
		find(f, FAIL, "no memory for a Lua state");
		return;
	}
	luaL_openlibs(L);
	if (luaL_dostring(L, question)) {
		find(f, FAIL, "LuaJIT does not start: %s", lua_tostring(L, -1));
	} else {
		/* LuaJIT issue 1498: a callback crashes when it comes in another coroutine than the last one. */
		known = strstr(lua_tostring(L, -2), "beta3")
				? "; give no Lua function to C as a callback, which may crash this version"
				: "";
		find(f, strcmp(lua_tostring(L, -1), "on") ? WARN : OK, "%s, compiler %s%s",
		     lua_tostring(L, -2), lua_tostring(L, -1), known);
	}
	if (f->verdict == WARN)
		advise(f, "allow this process memory that is writable and executable (systemd: "
			  "MemoryDenyWriteExecute=no)");
	lua_close(L);
}

/* Keeps the sentence about a mount that failed. */
static void keep_sentence(enum fractal_log_level level, const char *text, void *user)
{
	struct finding *f = user;

	if (level == FRACTAL_LOG_ERROR)
		find(f, FAIL, "%s", text);
}

/* Mounts on a directory of its own, and unmounts: what counts in the end. */
static void check_mount(struct finding *f)
{
	const char *tmp = getenv("TMPDIR");
	char directory[512];
	struct mount m;
	struct mount_request request = {
		.mountpoint = directory,
		.subtype = "fractal-lua",
		.sink = { keep_sentence, f },
	};

	snprintf(directory, sizeof(directory), "%s/fractal-lua-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(directory)) {
		find(f, WARN, "no directory for a trial mount: %s: %s", directory, strerror(errno));
		return;
	}
	if (!mount_attach(&m, &request)) {
		int err = mount_detach(&m, true);

		if (err)
			find(f, FAIL, "a trial mount on %s could not be unmounted: %s", directory,
			     strerror(-err));
		else
			find(f, OK, "a trial mount worked");
		mount_release(&m);
	}
	rmdir(directory);
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*check)(struct finding *f);
} checks[] = {
	{ "kernel", check_kernel },	  { "device", check_device },
	{ "fusermount3", check_helper },  { "allow_other", check_allow_other },
	{ "enable_uring", check_switch }, { "io_uring", check_ring },
	{ "max_pages", check_pages },	  { "memlock", check_memlock },
	{ "luajit", check_luajit },	  { "mount", check_mount },
};

static void tell(FILE *out, bool json, const char *name, const struct finding *f)
{
	static const char *const words[] = { "ok", "warn", "FAIL" };

	if (json) {
		fputs("  ", out);
		json_finding(out, name, f);
	} else {
		fprintf(out, "%-4s  %-12s  %s%s%s\n", words[f->verdict], name, f->text,
			*f->fix ? "; do: " : "", f->fix);
	}
}

bool doctor_run(FILE *out, bool json)
{
	const size_t count = sizeof(checks) / sizeof(checks[0]);
	bool works = true;

	fputs(json ? "[\n" : "", out);
	for (size_t i = 0; i < count; i++) {
		struct finding finding = { 0 };

		checks[i].check(&finding);
		tell(out, json, checks[i].name, &finding);
		fputs(!json ? "" : i + 1 < count ? ",\n" : "\n", out);
		works &= finding.verdict != FAIL;
	}
	fputs(json ? "]\n" : "", out);
	return works;
}
