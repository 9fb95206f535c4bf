/*
 * The null filesystem of the benchmarks on libfuse's low-level API: its
 * multi-threaded loop with a cloned /dev/fuse descriptor for each thread.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>

static const fuse_ino_t file_id = 2;
static char constant[1 << 20];

static int fill(fuse_ino_t id, struct stat *attr)
{
	*attr = (struct stat){ .st_ino = id, .st_nlink = 1, .st_blksize = 4096 };
	attr->st_mode = id == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	attr->st_size = id == file_id ? 1 << 30 : 0;
	return id == FUSE_ROOT_ID || id == file_id ? 0 : ENOENT;
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = file_id };

	if (parent != FUSE_ROOT_ID || strcmp(name, "file") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fill(file_id, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void null_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
	struct stat attr;
	int error = fill(id, &attr);

	(void)file;
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_attr(req, &attr, 0);
}

static void null_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
	(void)id;
	file->direct_io = 1;
	fuse_reply_open(req, file);
}

static void null_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		      struct fuse_file_info *file)
{
	(void)id;
	(void)offset;
	(void)file;
	fuse_reply_buf(req, constant, size < sizeof(constant) ? size : sizeof(constant));
}

static void null_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset,
		       struct fuse_file_info *file)
{
	(void)id;
	(void)data;
	(void)offset;
	(void)file;
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = null_lookup,
	.getattr = null_getattr,
	.open = null_open,
	.read = null_read,
	.write = null_write,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse_session *session;

	if (argc != 2)
		return 2;
	memset(constant, 0x5a, sizeof(constant));
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
		return 1;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_session_loop_mt(session, config);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	fuse_loop_cfg_destroy(config);
	return 0;
}
