/* SPDX-License-Identifier: MIT */
/*
 * mount.c - attaches a /dev/fuse descriptor to a directory, finds out what is mounted there, and takes it off.
 *
 * Nothing here asks the mounted filesystem anything: it may be the caller's own and not served yet, or hang. statx(2)
 * with AT_STATX_DONT_SYNC and the kernel's mount table answer from memory. Only a probe for a dead mount has to ask;
 * it does so in a child process that may be left behind.
 */
#include "mount.h"
#include "mount_helper.h"
#include "mount_options.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U /* Linux 6.8 */
#endif

enum {
	PROBE_MS = 2000,       /* how long a mount may take to answer the probe */
	MAX_STACKED_DEAD = 64, /* dead mounts cleared from one directory */
	NO_ANSWER = 255,       /* of the probe */
};

__attribute__((format(printf, 3, 0))) static void
say(struct log_sink sink, enum fractal_log_level level, const char *fmt, va_list ap)
{
	char text[PATH_MAX + 512];

	vsnprintf(text, sizeof(text), fmt, ap);
	if (sink.log)
		sink.log(level, text, sink.user);
}

__attribute__((format(printf, 3, 4))) static int complain(struct log_sink sink, int err,
							  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(sink, FRACTAL_LOG_ERROR, fmt, ap);
	va_end(ap);
	return err;
}

__attribute__((format(printf, 2, 3))) static void inform(struct log_sink sink, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(sink, FRACTAL_LOG_INFO, fmt, ap);
	va_end(ap);
}

/* ---- what is mounted where ----------------------------------------------------------------------------- */

static uint32_t device_number(uint32_t major, uint32_t minor)
{
	return major << 20 | minor;
}

/* statx(2) of a path's last component, whatever that is, without asking its filesystem. */
static int look(const char *path, unsigned mask, struct statx *st)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

	memset(st, 0, sizeof(*st));
	return statx(AT_FDCWD, path, flags, mask, st) ? -errno : 0;
}

int mount_identify(struct mount *m)
{
	struct statx st;
	int err = look(m->mountpoint, STATX_MNT_ID_UNIQUE, &st);

	if (err)
		return err;
	m->dev = device_number(st.stx_dev_major, st.stx_dev_minor);
	m->id = st.stx_mask & STATX_MNT_ID_UNIQUE ? st.stx_mnt_id : 0;
	return 0;
}

/* Would the mountpoint's path lead into this very mount? */
static bool is_on_top(const struct mount *m)
{
	struct mount top = { .mountpoint = m->mountpoint };

	return mount_identify(&top) == 0 && top.dev == m->dev && (!m->id || top.id == m->id);
}

/* Is anything mounted on that directory? Says no on kernels before 5.8. */
static bool is_mountpoint(const char *path)
{
	struct statx st;

	return look(path, STATX_TYPE, &st) == 0 && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* Undoes mountinfo's escapes (\040 for a space), in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Reads a line of mountinfo: device number, mountpoint, type (both inside the line). */
static bool parse_mountinfo(char *line, uint32_t *dev, char **mountpoint, char **type)
{
	unsigned major, minor;
	int at = 0;
	char *rest;

	if (sscanf(line, "%*d %*d %u:%u %*s %n", &major, &minor, &at) != 2 || !at)
		return false;
	*dev = device_number(major, minor);
	*mountpoint = strtok_r(line + at, " ", &rest);
	*type = *mountpoint ? strstr(rest, " - ") : NULL;
	if (!*type)
		return false;
	*type += 3;
	(*type)[strcspn(*type, " \n")] = '\0';
	unescape(*mountpoint);
	return true;
}

/*
 * Is something with this device number and a type of fuse mounted on @path? 1, 0, or -errno where the table cannot be
 * read.
 */
static int find_fuse(const char *path, uint32_t dev)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *mountpoint, *type;
	uint32_t line_dev;
	size_t size = 0;
	int found = 0;

	if (!table)
		return -errno;
	while (!found && getline(&line, &size, table) > 0) {
		found = parse_mountinfo(line, &line_dev, &mountpoint, &type) && line_dev == dev &&
			strcmp(mountpoint, path) == 0 &&
			(strcmp(type, "fuse") == 0 || strncmp(type, "fuse.", 5) == 0);
	}
	free(line);
	fclose(table);
	return found;
}

bool mount_is_attached(const struct mount *m)
{
	int found = m->mountpoint ? find_fuse(m->mountpoint, m->dev) : 0;

	return found < 0 ? is_on_top(m) : found;
}

/* ---- dead mounts ------------------------------------------------------------------------------------------ */

/* The probing child: asks the mount, tells the errno by its exit status. Async-signal-safe. */
static void probe_child(const char *path)
{
	struct statx st;

	/* A descriptor of some session's /dev/fuse must not live on in a process that may hang. */
	syscall(SYS_close_range, 0, ~0U, 0);
	/* What the kernel has cached says nothing about a server that was killed just now. */
	_exit(statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) ? errno : 0);
}

/* The errno of statx(2) on a mount that may hang: 0, an errno, or NO_ANSWER. */
static int probe(const char *path)
{
	struct timespec pause = { 0, 5 * 1000 * 1000 };
	int status, waited = 0;
	pid_t pid = fork(), done;

	if (pid == 0)
		probe_child(path);
	if (pid < 0)
		return NO_ANSWER;
	while ((done = waitpid(pid, &status, WNOHANG)) == 0 && waited < PROBE_MS) {
		nanosleep(&pause, NULL);
		waited += 5;
	}
	if (done == pid && WIFEXITED(status))
		return WEXITSTATUS(status);
	if (done == 0) {
		kill(pid, SIGKILL);
		nanosleep(&pause, NULL);
		waitpid(pid, &status, WNOHANG);
	}
	return NO_ANSWER;
}

/* Is a fuse mount without a server on top of this path? Fills @top. */
static bool find_dead(struct mount *top)
{
	int answer;

	if (mount_identify(top) || find_fuse(top->mountpoint, top->dev) != 1)
		return false;
	answer = probe(top->mountpoint);
	return answer == ENOTCONN || answer == ECONNABORTED || answer == ECONNREFUSED;
}

int mount_clear_dead(const char *mountpoint, struct log_sink sink)
{
	struct mount top = { .mountpoint = realpath(mountpoint, NULL),
			     .by_helper = geteuid() != 0 };
	int cleared = 0, err = 0;

	if (!top.mountpoint)
		return 0;
	while (cleared < MAX_STACKED_DEAD && !err && find_dead(&top)) {
		err = mount_detach(&top, true);
		cleared += !err;
	}
	if (err)
		complain(
			sink, err,
			"%s holds a dead mount that this user cannot take off: as root, run umount -l %s",
			top.mountpoint, top.mountpoint);
	else if (cleared)
		inform(sink, "cleared a dead mount from %s", top.mountpoint);
	free(top.mountpoint);
	return err ? err : cleared > 0;
}

/* ---- mounting ------------------------------------------------------------------------------------------------ */

/* The mountpoint's absolute path, when it is a directory. */
static int resolve(const char *mountpoint, char **path, struct log_sink sink)
{
	struct statx st;
	int err;

	*path = realpath(mountpoint, NULL);
	if (!*path) {
		err = -errno;
		if (err == -ENOENT)
			return complain(sink, err, "%s does not exist: create it with mkdir -p %s",
					mountpoint, mountpoint);
		if (err == -EACCES)
			return complain(
				sink, err,
				"%s cannot be reached: a directory above it is closed to this user",
				mountpoint);
		return complain(sink, err, "%s cannot be mounted on: %s", mountpoint,
				strerror(-err));
	}
	err = look(*path, STATX_TYPE, &st);
	if (err == -EACCES)
		return complain(
			sink, err,
			"%s holds a mount of another user: take that off first, or choose another directory",
			*path);
	if (err)
		return complain(sink, err, "%s cannot be mounted on: %s", *path, strerror(-err));
	if (!S_ISDIR(st.stx_mode))
		return complain(sink, -ENOTDIR,
				"%s is not a directory: give a directory to mount on", *path);
	return 0;
}

static int open_device(int *fd, struct log_sink sink)
{
	int err;

	*fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (*fd >= 0)
		return 0;
	err = -errno;
	if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
		return complain(sink, err,
				"/dev/fuse is missing: load the module with modprobe fuse "
				"(in a container, start it with --device /dev/fuse)");
	if (err == -EACCES || err == -EPERM)
		return complain(sink, err,
				"/dev/fuse cannot be opened (%s): in a container, start it with "
				"--device /dev/fuse --cap-add SYS_ADMIN",
				strerror(-err));
	return complain(sink, err, "/dev/fuse cannot be opened: %s", strerror(-err));
}

/* The sentence for a failed mount(2). */
static int explain_mount(const struct mount *m, const char *data, int err, struct log_sink sink)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		return complain(
			sink, err,
			"mounting on %s is not permitted: run as root (in a container, start it with "
			"--device /dev/fuse --cap-add SYS_ADMIN)",
			m->mountpoint);
	case ENODEV:
		return complain(sink, err,
				"the kernel has no FUSE: load the module with modprobe fuse");
	case EINVAL:
		return complain(sink, err, "the kernel refused the mount options \"%s\"", data);
	default:
		return complain(sink, err, "mounting on %s failed: %s", m->mountpoint,
				strerror(-err));
	}
}

/* Mounts with mount(2). @words: options for the fuse filesystem. */
static int attach_directly(struct mount *m, const struct mount_request *request,
			   const struct mount_plan *plan, const char *words)
{
	char *type = NULL, *data = NULL;
	int err = open_device(&m->fd, request->sink);

	if (err)
		return err;
	if (asprintf(&type, "fuse.%s", request->subtype) < 0 ||
	    asprintf(&data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u%s", m->fd, S_IFDIR, getuid(),
		     getgid(), words) < 0)
		err = complain(request->sink, -ENOMEM, "out of memory");
	else if (mount(request->fsname, m->mountpoint, type, plan->flags, data))
		err = explain_mount(m, data, -errno, request->sink);
	free(type);
	free(data);
	return err;
}

/* The sentence for a refusal of fusermount3. */
static int explain_helper(const struct mount *m, const struct mount_helper_said *said, int err,
			  struct log_sink sink)
{
	if (err == -ENOENT)
		return complain(
			sink, err,
			"fusermount3 is missing, and ordinary users mount through it: install the "
			"package fuse3");
	if (strstr(said->text, "user_allow_other"))
		return complain(
			sink, err,
			"allow_other is not open to ordinary users here: as root, put a line "
			"\"user_allow_other\" into /etc/fuse.conf");
	if (strstr(said->text, "write access") || strstr(said->text, "not owned"))
		return complain(
			sink, -EACCES,
			"%s is not this user's to mount on: make a directory of your own, or chown it",
			m->mountpoint);
	/* It runs as root, and looks at the mountpoint: into the user's own mount that may not. */
	if (strstr(said->text, strerrordesc_np(EACCES)) && is_mountpoint(m->mountpoint))
		return complain(
			sink, -EBUSY,
			"%s holds a mount already: take it off first, with fusermount3 -u %s",
			m->mountpoint, m->mountpoint);
	if (strstr(said->text, strerrordesc_np(EPERM)))
		return complain(
			sink, err,
			"fusermount3 may not mount on %s (%s): it must be set-user-id root; as root, "
			"run chmod u+s $(command -v fusermount3)",
			m->mountpoint, said->text);
	return complain(sink, err, "fusermount3 did not mount on %s: %s", m->mountpoint,
			*said->text ? said->text : strerror(-err));
}

/* Writes name=value with a backslash before each comma and backslash, as fusermount3 reads them. */
static void put_escaped(FILE *list, const char *name, const char *value)
{
	fprintf(list, "%s=", name);
	for (; *value; value++)
		fprintf(list, "%s%c", *value == ',' || *value == '\\' ? "\\" : "", *value);
}

/* Mounts through fusermount3. @words: a comma and more options, or nothing. */
static int attach_by_helper(struct mount *m, const struct mount_request *request, const char *words)
{
	struct mount_helper_said said;
	char *options = NULL;
	size_t size;
	FILE *list = open_memstream(&options, &size);
	int err;

	if (!list)
		return complain(request->sink, -ENOMEM, "out of memory");
	put_escaped(list, "fsname", request->fsname);
	put_escaped(list, ",subtype", request->subtype);
	fprintf(list, "%s", words);
	if (fclose(list)) {
		free(options);
		return complain(request->sink, -ENOMEM, "out of memory");
	}
	err = mount_helper_attach(options, m->mountpoint, &m->fd, &said);
	free(options);
	if (err)
		return explain_helper(m, &said, err, request->sink);
	if (fcntl(m->fd, F_SETFL, O_RDWR | O_NONBLOCK) || fcntl(m->fd, F_SETFD, FD_CLOEXEC))
		return complain(request->sink, -errno, "/dev/fuse cannot be set up: %s",
				strerror(errno));
	return 0;
}

/* Mounts on m->mountpoint and finds out the mount's numbers. */
static int attach(struct mount *m, const struct mount_request *request,
		  const struct mount_plan *plan)
{
	const char *given = m->by_helper ? plan->helper : plan->fuse;
	char max_read[32] = "";
	char *words;
	int err;

	if (request->max_read && !plan->max_read)
		snprintf(max_read, sizeof(max_read), ",max_read=%u", request->max_read);
	if (asprintf(&words, "%s%s%s", *given ? "," : "", given, max_read) < 0)
		return complain(request->sink, -ENOMEM, "out of memory");
	if (m->by_helper)
		err = attach_by_helper(m, request, words);
	else
		err = attach_directly(m, request, plan, words);
	free(words);
	if (err)
		return err;
	err = mount_identify(m);
	if (err) {
		umount2(m->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
		return complain(request->sink, err, "the new mount on %s cannot be found: %s",
				m->mountpoint, strerror(-err));
	}
	return 0;
}

int mount_attach(struct mount *m, const struct mount_request *request)
{
	struct mount_request full = *request;
	struct mount_plan plan;
	char why[256];
	int err;

	*m = (struct mount){ .fd = -1 };
	if (!full.fsname)
		full.fsname = full.subtype;
	err = mount_plan_parse(&plan, full.options, why, sizeof(why));
	if (err)
		return complain(full.sink, err, "%s", why);
	m->by_helper = geteuid() != 0;
	err = resolve(full.mountpoint, &m->mountpoint, full.sink);
	if (!err)
		err = attach(m, &full, &plan);
	mount_plan_free(&plan);
	if (err)
		mount_release(m);
	return err;
}

void mount_release(struct mount *m)
{
	if (m->fd >= 0)
		close(m->fd);
	free(m->mountpoint);
	*m = (struct mount){ .fd = -1 };
}

/* ---- unmounting ------------------------------------------------------------------------------------------------ */

int mount_detach(const struct mount *m, bool lazy)
{
	struct mount_helper_said said;
	int err = 0;

	if (!mount_is_attached(m))
		return 0;
	if (!is_on_top(m))
		return -EBUSY; /* another mount covers it, and is not ours to take off */
	if (geteuid() != 0)
		err = mount_helper_detach(m->mountpoint, lazy, &said);
	else if (umount2(m->mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		err = -errno;
	return err && !mount_is_attached(m) ? 0 : err;
}

/* Opens the abort file of a connection in a fusectl filesystem of our own, mounted nowhere (root, Linux 5.2). */
static int open_abort_unmounted(const char *name)
{
	int context = fsopen("fusectl", FSOPEN_CLOEXEC), root = -1, fd = -1;

	if (context >= 0 && !fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (root >= 0) {
		fd = openat(root, name, O_WRONLY | O_CLOEXEC);
		close(root);
	}
	if (context >= 0)
		close(context);
	return fd;
}

int mount_abort(const struct mount *m)
{
	struct pollfd device = { .fd = m->fd };
	char path[64], name[32];
	int fd, err = 0;

	/* A connection that has ended no longer owns its number: another mount may have it. */
	if (m->fd >= 0 && poll(&device, 1, 0) == 1 && device.revents & POLLERR)
		return 0;
	snprintf(name, sizeof(name), "%u/abort", m->dev & 0xfffff);
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open_abort_unmounted(name);
	if (fd < 0)
		return -errno;
	if (write(fd, "1", 1) != 1)
		err = -errno;
	close(fd);
	return err;
}
