/* SPDX-License-Identifier: MIT */
/*
 * test_mount.c - mount options, attaching to a directory and taking off again, dead mounts, and what the user is told
 * when it does not work. Nobody serves these mounts: everything here must work without asking them.
 */
#include "flatfs.h"
#include "mount_options.h"
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define NOBODY 65534

static char log_text[4096];

static void take_log(enum fractal_log_level level, const char *text, void *user)
{
	size_t have = strlen(log_text);

	snprintf(log_text + have, sizeof(log_text) - have, "%s\n", text);
}

static const struct log_sink sink = { take_log, NULL };

/* ---- options ---- */

static void options_are_sorted(void)
{
	static const struct {
		const char *options;
		unsigned long flags; /* beside MS_NOSUID | MS_NODEV */
		const char *fuse;
		const char *helper;
		bool max_read;
	} cases[] = {
		{ NULL, 0, "", "", false },
		{ "", 0, "", "", false },
		{ ",,ro,,", MS_RDONLY, "", "ro", false },
		{ "allow_other,ro", MS_RDONLY, "allow_other", "allow_other,ro", false },
		{ "ro,rw", 0, "", "ro,rw", false },
		{ "default_permissions,max_read=4096", 0, "default_permissions,max_read=4096",
		  "default_permissions,max_read=4096", true },
		{ "noatime,noexec,sync", MS_NOATIME | MS_NOEXEC | MS_SYNCHRONOUS, "",
		  "noatime,noexec,sync", false },
		{ "_netdev,nofail,auto,user,x-systemd.automount,comment=hello", 0, "", "", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_plan plan;
		char why[256] = "";

		if (!CHECK_INT(mount_plan_parse(&plan, cases[i].options, why, sizeof(why)), 0)) {
			fprintf(stderr, "  %s: %s\n", cases[i].options, why);
			continue;
		}
		CHECK_INT(plan.flags, cases[i].flags | MS_NOSUID | MS_NODEV);
		CHECK_TEXT(plan.fuse, cases[i].fuse);
		CHECK_TEXT(plan.helper, cases[i].helper);
		CHECK_INT(plan.max_read, cases[i].max_read);
		mount_plan_free(&plan);
	}
}

static void later_options_win(void)
{
	struct mount_plan plan;
	char why[256];

	CHECK_INT(mount_plan_parse(&plan, "suid,dev", why, sizeof(why)), 0);
	CHECK_INT(plan.flags, 0);
	mount_plan_free(&plan);
	CHECK_INT(mount_plan_parse(&plan, "suid,nosuid", why, sizeof(why)), 0);
	CHECK_INT(plan.flags, MS_NOSUID | MS_NODEV);
	mount_plan_free(&plan);
}

static void wrong_options_are_named(void)
{
	static const char *const cases[][2] = {
		{ "ro,allow_othr", "unknown mount option \"allow_othr\"" },
		{ "max_read", "mount option max_read needs a value" },
		{ "max_read=", "mount option max_read needs a value" },
		{ "ro=1", "mount option ro takes no value" },
		{ "allow_root", "allow_root is not offered: use allow_other" },
		{ "auto_unmount", "auto_unmount is not offered: " },
		{ "fd=3", "unknown mount option \"fd=3\"" },
		{ "rootmode=40000", "unknown mount option" },
		{ "ro\\,rw", "unknown mount option \"ro\\,rw\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_plan plan;
		char why[256] = "";

		CHECK_INT(mount_plan_parse(&plan, cases[i][0], why, sizeof(why)), -EINVAL);
		CHECK_CONTAINS(why, cases[i][1]);
	}
}

static void escaped_commas_belong_to_the_option(void)
{
	CHECK_INT(mount_option_length("ro,rw"), 2);
	CHECK_INT(mount_option_length("fsname=a\\,b,rw"), 11);
	CHECK_INT(mount_option_length("a\\\\,b"), 3);
	CHECK_INT(mount_option_length("a\\"), 2);
	CHECK_INT(mount_option_length(""), 0);
	CHECK(!mount_option_find("r", 1));
	CHECK(mount_option_find("rotten", 2) != NULL);
	CHECK(mount_option_find("x-gvfs-show", 11) != NULL);
	CHECK(!mount_option_at(1000));
}

/* ---- mounting ---- */

/* A directory of this test's own; @name may hold any bytes. */
static const char *make_directory(const char *name)
{
	static char path[512];
	char base[128];

	make_template(base, sizeof(base), "XXXXXX");
	if (!mkdtemp(base))
		abort();
	/* Others must reach what lies below. */
	chmod(base, 0755);
	snprintf(path, sizeof(path), "%s/%s", base, name);
	if (mkdir(path, 0755))
		abort();
	return path;
}

static void remove_directory(const char *path)
{
	char base[512];

	CHECK_INT(rmdir(path), 0);
	snprintf(base, sizeof(base), "%s", path);
	*strrchr(base, '/') = '\0';
	CHECK_INT(rmdir(base), 0);
}

static int attach_with(struct mount *m, const char *path, const char *options)
{
	struct mount_request r = { .mountpoint = path,
				   .fsname = "a source, with all\\of it",
				   .subtype = "testfs",
				   .options = options,
				   .max_read = 65536,
				   .sink = sink };

	log_text[0] = '\0';
	return mount_attach(m, &r);
}

static void mounts_come_and_go(void)
{
	static const char *const names[] = {
		"plain",       "with space",	 "tab\tand\nline",
		"back\\slash", "back\\040slash", "\xc3\xbc\xe2\x82\xac"
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = make_directory(names[i]);
		struct mount m;

		if (!CHECK_INT(attach_with(&m, path, NULL), 0)) {
			fprintf(stderr, "  %s: %s", path, log_text);
			continue;
		}
		CHECK_TEXT(m.mountpoint, path);
		CHECK(m.fd >= 0 && fcntl(m.fd, F_GETFD) == FD_CLOEXEC);
		CHECK(fcntl(m.fd, F_GETFL) & O_NONBLOCK);
		CHECK(!m.by_helper);
		CHECK(mount_is_attached(&m));
		CHECK_INT(mount_detach(&m, false), 0);
		CHECK(!mount_is_attached(&m));
		CHECK_INT(mount_detach(&m, false), 0);
		CHECK_INT(mount_detach(&m, true), 0);
		mount_release(&m);
		CHECK(!m.mountpoint && m.fd == -1);
		CHECK_TEXT(log_text, "");
		remove_directory(path);
	}
}

static void the_kernel_knows_type_source_and_options(void)
{
	const char *path = make_directory("m");
	char want[600];
	struct mount m;

	if (!CHECK_INT(attach_with(&m, path, "ro,noexec,allow_other,default_permissions"), 0))
		return;
	snprintf(want, sizeof(want),
		 " %s ro,nosuid,nodev,noexec,relatime - fuse.testfs "
		 "a\\040source,\\040with\\040all\\134of\\040it ro,",
		 path);
	CHECK_INT(count_lines("/proc/self/mountinfo", want), 1);
	CHECK_INT(count_lines("/proc/self/mountinfo",
			      "default_permissions,allow_other,max_read=65536"),
		  1);
	CHECK_INT(mount_detach(&m, false), 0);
	mount_release(&m);
	remove_directory(path);
}

static void failures_say_what_to_do(void)
{
	const char *path = make_directory("m");
	char file[600], sentence[1400];
	struct mount m;

	snprintf(file, sizeof(file), "%s/file", path);
	CHECK_INT(attach_with(&m, file, NULL), -ENOENT);
	snprintf(sentence, sizeof(sentence), "%s does not exist: create it with mkdir -p %s", file,
		 file);
	CHECK_CONTAINS(log_text, sentence);
	CHECK_INT(m.fd, -1);

	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	CHECK_INT(attach_with(&m, file, NULL), -ENOTDIR);
	snprintf(sentence, sizeof(sentence), "%s is not a directory", file);
	CHECK_CONTAINS(log_text, sentence);

	CHECK_INT(attach_with(&m, path, "ro,nonsense"), -EINVAL);
	CHECK_CONTAINS(log_text, "unknown mount option \"nonsense\"");
	CHECK_INT(attach_with(&m, path, "max_read=many"), -EINVAL);
	CHECK_CONTAINS(log_text, "the kernel refused the mount options \"");
	CHECK(!is_mounted(path));
	unlink(file);
	remove_directory(path);
}

/* Another mount on top of ours is not ours to take off. */
static void a_covered_mount_is_busy(void)
{
	const char *path = make_directory("m");
	struct mount below, above;

	if (!CHECK_INT(attach_with(&below, path, NULL), 0))
		return;
	/* The second one goes onto the first, which nobody serves: by mount(2)'s path walk that needs no answer. */
	if (CHECK_INT(attach_with(&above, path, NULL), 0)) {
		CHECK(below.dev != above.dev);
		CHECK(mount_is_attached(&below));
		CHECK(mount_is_attached(&above));
		CHECK_INT(mount_detach(&below, false), -EBUSY);
		CHECK_INT(mount_detach(&below, true), -EBUSY);
		CHECK_INT(mount_detach(&above, false), 0);
		mount_release(&above);
	}
	CHECK_INT(mount_detach(&below, false), 0);
	mount_release(&below);
	remove_directory(path);
}

static void an_abort_ends_the_connection(void)
{
	const char *path = make_directory("m");
	struct mount m;
	static char buffer[65536 + 4096];

	if (!CHECK_INT(attach_with(&m, path, NULL), 0))
		return;
	CHECK_INT(mount_abort(&m), 0);
	CHECK(read(m.fd, buffer, sizeof(buffer)) < 0 && (errno == ENODEV || errno == ECONNABORTED));
	/* Its number may belong to somebody else by now: a second abort does nothing. */
	CHECK_INT(mount_abort(&m), 0);
	CHECK(mount_is_attached(&m));
	CHECK_INT(mount_detach(&m, false), 0);
	CHECK_INT(mount_abort(&m), 0);
	mount_release(&m);
	remove_directory(path);
}

/* ---- dead mounts ---- */

/* Mounts @count times on a directory and lets every server die. */
static void leave_dead(const char *path, int count)
{
	struct mount m[4];

	for (int i = 0; i < count; i++)
		CHECK_INT(attach_with(&m[i], path, NULL), 0);
	for (int i = 0; i < count; i++)
		mount_release(&m[i]);
}

static void dead_mounts_are_cleared(void)
{
	const char *path = make_directory("m");
	char sentence[600];

	log_text[0] = '\0';
	CHECK_INT(mount_clear_dead(path, sink), 0);
	CHECK_INT(mount_clear_dead("/nonexistent/directory", sink), 0);
	CHECK_TEXT(log_text, "");
	for (int count = 1; count <= 3; count++) {
		leave_dead(path, count);
		CHECK(is_mounted(path));
		CHECK_INT(mount_clear_dead(path, sink), 1);
		snprintf(sentence, sizeof(sentence), "cleared a dead mount from %s\n", path);
		CHECK_TEXT(log_text, sentence);
		CHECK(!is_mounted(path));
	}
	remove_directory(path);
}

static void living_mounts_are_left_alone(void)
{
	struct fractal_config c = { .handlers = &flat_handlers };
	struct flatfs *fs = flat_new();
	struct server v;
	const char *path = make_directory("m");
	struct statfs st;

	if (CHECK(server_start(&v, &c, fs))) {
		log_text[0] = '\0';
		CHECK_INT(mount_clear_dead(v.mountpoint, sink), 0);
		CHECK(is_mounted(v.mountpoint));
		CHECK_INT(server_stop(&v), 0);
	}
	/* Nor is a mount that is no fuse. */
	CHECK_INT(mount("none", path, "tmpfs", 0, "size=1m"), 0);
	CHECK_INT(mount_clear_dead(path, sink), 0);
	CHECK(statfs(path, &st) == 0 && st.f_type == 0x01021994);
	CHECK_INT(umount2(path, 0), 0);
	CHECK_TEXT(log_text, "");
	remove_directory(path);
	flat_free(fs);
}

/* A session clears what its predecessor left, and mounts there. */
static void a_session_replaces_a_dead_mount(void)
{
	struct fractal_config c = { .handlers = &flat_handlers, .log = take_log };
	const char *path = make_directory("m");
	struct fractal_session *s;

	leave_dead(path, 1);
	log_text[0] = '\0';
	if (CHECK_INT(fractal_session_new(&s, &c), 0)) {
		CHECK_INT(fractal_session_mount(s, path), 0);
		CHECK_CONTAINS(log_text, "cleared a dead mount");
		CHECK(is_mounted(path));
		/* One session is one mount. */
		CHECK_INT(fractal_session_mount(s, path), -EBUSY);
		CHECK_CONTAINS(log_text, "is mounted already");
		/* Freeing takes a mount off that was never served. */
		fractal_session_free(s);
		CHECK(!is_mounted(path));
	}
	remove_directory(path);
}

/* ---- users other than root ---- */

static const char *user_directory;

static int mount_as_user(const char *unused)
{
	struct mount m;

	(void)unused;
	if (setgid(NOBODY) || setuid(NOBODY))
		return 1;
	if (!CHECK_INT(attach_with(&m, user_directory, "ro,nosuid,noatime"), 0)) {
		fprintf(stderr, "  %s", log_text);
		return 1;
	}
	CHECK(m.by_helper);
	CHECK(m.fd >= 0 && fcntl(m.fd, F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(m.fd, F_GETFL) & O_NONBLOCK);
	CHECK(mount_is_attached(&m));
	CHECK_INT(
		count_lines(
			"/proc/self/mountinfo",
			"fuse.testfs a\\040source,\\040with\\040all\\134of\\040it ro,user_id=65534"),
		1);
	CHECK_INT(mount_detach(&m, false), 0);
	CHECK(!mount_is_attached(&m));
	mount_release(&m);
	/* Lazily, and with the server gone before. */
	CHECK_INT(attach_with(&m, user_directory, NULL), 0);
	close(m.fd);
	m.fd = -1;
	CHECK_INT(mount_detach(&m, true), 0);
	CHECK(!mount_is_attached(&m));
	mount_release(&m);
	return 0;
}

static int mount_elsewhere_as_user(const char *unused)
{
	struct mount m;

	(void)unused;
	if (setgid(NOBODY) || setuid(NOBODY))
		return 1;
	CHECK_INT(attach_with(&m, user_directory, NULL), -EACCES);
	CHECK_CONTAINS(log_text, "is not this user's to mount on: make a directory of your own");
	CHECK_INT(m.fd, -1);
	return 0;
}

static void users_mount_through_the_helper(void)
{
	struct server none = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct stat st;

	if (system("command -v fusermount3 >/dev/null") || stat("/dev/fuse", &st) ||
	    !(st.st_mode & 0002)) {
		printf("no fusermount3 or no /dev/fuse for users: mounts of users are not tested\n");
		return;
	}
	user_directory = make_directory("of a user");
	CHECK_INT(chown(user_directory, NOBODY, NOBODY), 0);
	CHECK_INT(client_wait(&none, client_start(mount_as_user, ""), CLIENT_SECONDS), 0);
	CHECK(!is_mounted(user_directory));
	CHECK_INT(chown(user_directory, 0, 0), 0);
	CHECK_INT(client_wait(&none, client_start(mount_elsewhere_as_user, ""), CLIENT_SECONDS), 0);
	CHECK(!is_mounted(user_directory));
	remove_directory(user_directory);
}

int main(void)
{
	RUN(options_are_sorted);
	RUN(later_options_win);
	RUN(wrong_options_are_named);
	RUN(escaped_commas_belong_to_the_option);
	need_mounts();
	RUN(mounts_come_and_go);
	RUN(the_kernel_knows_type_source_and_options);
	RUN(failures_say_what_to_do);
	RUN(a_covered_mount_is_busy);
	RUN(an_abort_ends_the_connection);
	RUN(dead_mounts_are_cleared);
	RUN(living_mounts_are_left_alone);
	RUN(a_session_replaces_a_dead_mount);
	RUN(users_mount_through_the_helper);
	return check_result();
}
