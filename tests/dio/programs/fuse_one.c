// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fuse-one MOUNTPOINT: a file system with one file, "data", whose content is in memory and whose I/O
 * is direct; as "cached" it is in the page cache.  Reads and writes of it wait after "1" was written to the file "hold", until "0" is; that
 * file's content is how many wait.
 */
#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (8UL << 20)

static unsigned char data[SIZE];
static off_t data_size = SIZE;
static bool holding;
static int waiting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;

static bool is_cached(const char *path)
{
	return !strcmp(path, "/cached");
}

static bool is_data(const char *path)
{
	return !strcmp(path, "/data") || is_cached(path);
}

static bool is_hold(const char *path)
{
	return !strcmp(path, "/hold");
}

static void *one_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)config;
	connection->max_write = 1 << 20;
	/* requests through read() and write() of the device: pipes would take its pages elsewhere */
	connection->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
					    FUSE_CAP_SPLICE_MOVE);
	return NULL;
}

static int one_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
	(void)file;
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	st->st_mode = S_IFREG | 0600;
	if (!strcmp(path, "/"))
		st->st_mode = S_IFDIR | 0700;
	else if (is_data(path))
		st->st_size = data_size;
	else if (!is_hold(path))
		return -ENOENT;
	return 0;
}

static int one_open(const char *path, struct fuse_file_info *file)
{
	if (!is_data(path) && !is_hold(path))
		return -ENOENT;
	file->direct_io = !is_cached(path);
	return 0;
}

static void wait_for_release(void)
{
	pthread_mutex_lock(&lock);
	waiting++;
	while (holding)
		pthread_cond_wait(&released, &lock);
	waiting--;
	pthread_mutex_unlock(&lock);
}

static int one_read(const char *path, char *to, size_t len, off_t pos,
		    struct fuse_file_info *file)
{
	(void)file;
	if (is_hold(path)) {
		pthread_mutex_lock(&lock);
		*to = (char)('0' + waiting);
		pthread_mutex_unlock(&lock);
		return 1;
	}
	wait_for_release();
	if (pos >= data_size)
		return 0;
	if (len > (size_t)(data_size - pos))
		len = (size_t)(data_size - pos);
	memcpy(to, data + pos, len);
	return (int)len;
}

static int one_write(const char *path, const char *from, size_t len, off_t pos,
		     struct fuse_file_info *file)
{
	(void)file;
	if (is_hold(path)) {
		pthread_mutex_lock(&lock);
		holding = len && *from == '1';
		pthread_cond_broadcast(&released);
		pthread_mutex_unlock(&lock);
		return (int)len;
	}
	wait_for_release();
	if (pos < 0 || (size_t)pos >= SIZE || len > SIZE - (size_t)pos)
		return -EFBIG;
	memcpy(data + pos, from, len);
	return (int)len;
}

static int one_truncate(const char *path, off_t size, struct fuse_file_info *file)
{
	(void)file;
	if (is_data(path)) {
		if (size < 0 || (size_t)size > SIZE)
			return -EFBIG;
		data_size = size;
	}
	return 0;
}

static const struct fuse_operations operations = {
	.init = one_init,
	.getattr = one_getattr,
	.open = one_open,
	.read = one_read,
	.write = one_write,
	.truncate = one_truncate,
};

/*
 * libfuse wants pipes until one_init() says no, and a second thread that looks in between loses its
 * first request.  There is no second thread yet.
 */
static int first_request(struct fuse_session *session)
{
	struct fuse_buf request = { 0 };
	int n = fuse_session_receive_buf(session, &request);

	if (n > 0)
		fuse_session_process_buf(session, &request);
	free(request.mem);
	return n;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse_cmdline_opts options;
	struct fuse *fuse;
	int status = 1;

	if (!config || fuse_parse_cmdline(&args, &options))
		return 1;
	fuse_loop_cfg_set_idle_threads(config, options.max_idle_threads);
	fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	if (!fuse || fuse_mount(fuse, options.mountpoint))
		return 1;
	if (first_request(fuse_get_session(fuse)) > 0)
		status = fuse_loop_mt(fuse, config) != 0;
	fuse_unmount(fuse);
	return status;
}
