// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * lab-init: process 1 of the guest.  Makes the machine that README describes, runs lab-guest, shuts
 * down.
 *
 * It is linked statically and starts no other program: each costs 100 ms under emulation, and there are
 * some fifty guests in a run of all tests.  It begins in memory, without a file of the host, and waits for
 * its job: here the lab may keep the state of the guest, from which later ones go on (tests/lab/guest.sh).
 *
 * The job is a folder of the host, which lab-host names over the virtio port.  "conf" in it has KEY=VALUE
 * strings, NUL-terminated:
 * NOW      seconds since the epoch
 * SEED     for the random numbers, which may be those of another guest until then
 * HOST     this guest's number, 0 or 1
 * HOSTS    how many there are
 * NET      veth, lo or eth: what rxe0 is made on
 * FLAVOUR  of the kernel
 * DISKS    ready, or raw when they are not formatted yet
 * CUT      not empty: the power will be cut
 * OUT      PINVERBS_OUT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/loop.h>
#include <linux/random.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "network.h"

#define REGIONS    3
#define P9_OPTIONS "trans=virtio,version=9p2000.L,msize=262144"
#define KMEMLEAK   "/sys/kernel/debug/kmemleak"
#define COUNTERS   "/sys/kernel/debug/gcov"

static char job[2048];
static int region[REGIONS + 1]; /* slot -> the kernel's number */

/* Writes to one of the kernel's files, which want it in one piece. */
static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		n = write(fd, text, strlen(text));
		close(fd);
	}
	return n == (ssize_t)strlen(text);
}

static void __attribute__((noreturn)) power_off(void)
{
	put("/proc/sysrq-trigger", "b");
	for (;;)
		pause();
}

/* A line that the host shows when no command could be started.  %m is the error. */
static void __attribute__((noreturn, format(printf, 1, 2)))
broken(const char *format, ...)
{
	char line[1024];
	va_list args;
	int n;

	n = sprintf(line, "pinverbs: guest: ");
	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - n, format, args);
	va_end(args);
	put("/dev/kmsg", line);
	power_off();
}

static void try_mount(const char *type, const char *source, const char *target,
		      const char *data)
{
	if (mount(source, target, type, 0, data))
		broken("cannot mount %s on %s: %m", type, target);
}

static void try_mkdir(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		broken("mkdir %s: %m", path);
}

/* The whole of a small file, with a NUL behind it. */
static size_t slurp(const char *path, char *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		broken("%s: %m", path);
	while ((n = read(fd, data + len, size - 1 - len)) > 0)
		len += n;
	if (n < 0)
		broken("%s: %m", path);
	close(fd);
	data[len] = '\0';
	return len;
}

static const char *virtio_port(void)
{
	static char port[512];
	glob_t g;

	if (glob("/sys/class/virtio-ports/*", 0, NULL, &g))
		broken("no virtio port");
	snprintf(port, sizeof(port), "/dev/%s", strrchr(g.gl_pathv[0], '/') + 1);
	globfree(&g);
	return port;
}

/* The port reads as empty as long as nobody holds its other end: lab-host limits the time of that. */
static void read_all(int fd, void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)data + done, len - done);

		if (n < 0 && errno != EINTR)
			broken("virtio port: %m");
		if (n == 0)
			usleep(10000);
		if (n > 0)
			done += n;
	}
}

/* What the lab waits for before it keeps the state of the guest. */
static void wait_for_job(void)
{
	int port = open(virtio_port(), O_RDWR | O_CLOEXEC);
	struct frame head = { .type = FRAME_WAITING };

	if (port < 0 || write(port, &head, sizeof(head)) != sizeof(head))
		broken("virtio port: %m");
	read_all(port, &head, sizeof(head));
	if (head.type != FRAME_JOB || head.len >= sizeof(job))
		broken("no job, but a frame of type %u with %u bytes", head.type,
		       head.len);
	read_all(port, job, head.len);
	close(port);
}

/*
 * The root is the host's, read-only, with memory over it. Between them lie copies of what most commands
 * open.
 */
static void make_root(void)
{
	if (mount("rootfs", "/host", "9p", MS_RDONLY, P9_OPTIONS ",cache=loose"))
		broken("cannot mount the host's files: %m");
	try_mount("tmpfs", "memory", "/mnt", "mode=755");
	try_mkdir("/mnt/upper");
	try_mkdir("/mnt/work");
	try_mkdir("/mnt/root");
	try_mount("overlay", "root", "/mnt/root",
		  "lowerdir=/hot:/host,upperdir=/mnt/upper,workdir=/mnt/work");
	if (chdir("/mnt/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") ||
	    chdir("/"))
		broken("cannot make the overlay the root: %m");
}

/* Puts what "conf" says into the environment, by names that no program looks for. */
static void read_conf(void)
{
	static char data[8192];
	char path[sizeof(job) + 8];
	size_t len;

	snprintf(path, sizeof(path), "%s/conf", job);
	len = slurp(path, data, sizeof(data));
	for (char *p = data; p < data + len; p += strlen(p) + 1)
		if (putenv(p))
			broken("environment: %m");
}

static const char *conf(const char *key)
{
	const char *value = getenv(key);

	if (!value)
		broken("the lab says nothing about %s", key);
	return value;
}

/* A guest that goes on from a kept state has the time and the random numbers of then. */
static void wake_up(void)
{
	struct {
		struct rand_pool_info info;
		char data[256];
	} seed;
	struct timespec now = { 0 };
	int random;

	if (sscanf(conf("NOW"), "%ld", &now.tv_sec) != 1 ||
	    clock_settime(CLOCK_REALTIME, &now))
		broken("cannot set the clock to %s: %m", conf("NOW"));
	seed.info.buf_size = snprintf(seed.data, sizeof(seed.data), "%s", conf("SEED"));
	seed.info.entropy_count = 8 * seed.info.buf_size;
	random = open("/dev/random", O_WRONLY | O_CLOEXEC);
	if (random < 0 || ioctl(random, RNDADDENTROPY, &seed) ||
	    ioctl(random, RNDRESEEDCRNG))
		broken("cannot seed the random numbers: %m");
	close(random);
}

/*
 * The kernel numbers persistent-memory regions in no fixed order; the NFIT handle of the device is its
 * slot.
 */
static void find_regions(void)
{
	char path[512], text[256];
	int found = 0;
	glob_t g;

	if (glob("/sys/bus/nd/devices/region*/mapping0", 0, NULL, &g))
		broken("no persistent-memory regions");
	for (size_t i = 0; i < g.gl_pathc; i++) {
		unsigned int slot;

		slurp(g.gl_pathv[i], text, sizeof(text));
		snprintf(path, sizeof(path), "/sys/bus/nd/devices/%.*s/nfit/handle",
			 (int)strcspn(text, ","), text);
		slurp(path, text, sizeof(text));
		slot = strtoul(text, NULL, 0);
		if (slot < 1 || slot > REGIONS)
			broken("persistent-memory slot %u", slot);
		sscanf(g.gl_pathv[i], "/sys/bus/nd/devices/region%d", &region[slot]);
		found++;
	}
	globfree(&g);
	if (found != REGIONS)
		broken("%d persistent-memory regions, not %d", found, REGIONS);
}

static bool disks_are_ready(void)
{
	return !strcmp(conf("DISKS"), "ready");
}

static const char *const file_systems[] = { "/mnt/xfs", "/mnt/ext4", "/mnt/xfs-plain",
					    "/mnt/ext4-plain", "/mnt/vfat" };
#define FILE_SYSTEMS (sizeof(file_systems) / sizeof(file_systems[0]))

static void mount_all(void)
{
	char pmem[2][32];

	for (size_t i = 0; i < FILE_SYSTEMS; i++)
		try_mkdir(file_systems[i]);
	try_mount("proc", "proc", "/proc", NULL);
	try_mount("devtmpfs", "devtmpfs", "/dev", "mode=755");
	try_mkdir("/dev/pts");
	try_mkdir("/dev/shm");
	try_mount("devpts", "devpts", "/dev/pts", "mode=620,gid=5,ptmxmode=666");
	try_mount("tmpfs", "shm", "/dev/shm", "mode=1777");
	try_mount("debugfs", "debugfs", "/sys/kernel/debug", NULL);
	if (!access("/sys/kernel/tracing", F_OK))
		try_mount("tracefs", "tracefs", "/sys/kernel/tracing", NULL);
	try_mount("9p", "out", conf("OUT"), P9_OPTIONS ",cache=none,access=client");
	if (!disks_are_ready())
		return;
	for (int i = 0; i < 2; i++)
		snprintf(pmem[i], sizeof(pmem[i]), "/dev/pmem%d", region[i + 1]);
	try_mount("xfs", pmem[0], "/mnt/xfs", "dax=always");
	try_mount("ext4", pmem[1], "/mnt/ext4", "dax=always");
	try_mount("xfs", "/dev/vda", "/mnt/xfs-plain", NULL);
	try_mount("ext4", "/dev/vdb", "/mnt/ext4-plain", NULL);
	try_mount("vfat", "/dev/vdc", "/mnt/vfat", "umask=000");
}

static void make_network(void)
{
	const char *lacking;

	lacking = network_make(conf("NET"), atoi(conf("HOST")), atoi(conf("HOSTS")));
	if (lacking)
		broken("no network: %s: %m", lacking);
}

/* What distributions and udev would set up. */
static void settle(void)
{
	static const char limits[] = "/etc/security/limits.d";
	glob_t g;
	FILE *f;

	if (sethostname("pinverbs", strlen("pinverbs")))
		broken("hostname: %m");
	/* a Debian that systemd never started has none, and mountd crashes without */
	if (access("/etc/mtab", F_OK) && symlink("../proc/self/mounts", "/etc/mtab"))
		broken("/etc/mtab: %m");
	/* root may lock all memory (lab-guest sees to it), a user of su and runuser little */
	if (!access("/etc/security", F_OK)) {
		try_mkdir(limits);
		f = fopen("/etc/security/limits.d/pinverbs.conf", "we");
		if (!f || fputs("nobody - memlock 64\n", f) < 0 || fclose(f))
			broken("%s: %m", limits);
	}
	if (glob("/dev/dax*", 0, NULL, &g))
		return; /* none before the namespaces are made */
	for (size_t i = 0; i < g.gl_pathc; i++)
		chmod(g.gl_pathv[i], 0666);
	globfree(&g);
}

static void __attribute__((format(printf, 2, 3))) export(const char *key,
							 const char *format, ...)
{
	char value[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (setenv(key, value, 1))
		broken("environment: %m");
}

static void export_all(void)
{
	int host = atoi(conf("HOST")), hosts = atoi(conf("HOSTS"));

	export("PINVERBS_HOST", "%d", host);
	export("PINVERBS_HOSTS", "%d", hosts);
	export("PINVERBS_OUT", "%s", conf("OUT"));
	export("PINVERBS_FLAVOUR", "%s", conf("FLAVOUR"));
	export("PINVERBS_ADDR", "10.77.0.1");
	export("PINVERBS_ADDR6", "fd77::1");
	if (hosts == 2) {
		export("PINVERBS_PEER", "10.77.0.%d", 2 - host);
		export("PINVERBS_PEER6", "fd77::%d", 2 - host);
	}
	export("PINVERBS_DEVDAX", "/dev/dax%d.0", region[3]);
	if (!disks_are_ready())
		export("PINVERBS_REGIONS", "%d %d %d", region[1], region[2], region[3]);
}

/* lab-guest kills all that the command has left, and what it leaves itself is reaped here. */
static void run_guest(void)
{
	char program[sizeof(job) + 16];
	const char *port = virtio_port();
	int status;
	pid_t pid, ended;

	snprintf(program, sizeof(program), "%s/lab-guest", job);
	pid = fork();
	if (pid < 0)
		broken("fork: %m");
	if (!pid) {
		execl(program, program, port, job, NULL);
		broken("%s: %m", program);
	}
	do {
		ended = wait(&status);
		if (ended < 0 && errno != EINTR)
			broken("lab-guest: %m");
	} while (ended != pid);
	if (status)
		broken("lab-guest failed, status 0x%x", status);
}

/* The swap areas and loop devices that the command has left. */
static void release_devices(void)
{
	char line[4096], path[1024];
	glob_t g;
	FILE *f;

	f = fopen("/proc/swaps", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%1023s", path) == 1 && path[0] == '/')
			swapoff(path);
	if (f)
		fclose(f);
	if (glob("/dev/loop[0-9]*", 0, NULL, &g))
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		int fd = open(g.gl_pathv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		ioctl(fd, LOOP_CLR_FD);
		close(fd);
	}
	globfree(&g);
}

/* What is mounted last below /mnt, which nothing else lies on; NULL if nothing is. */
static char *last_mount(void)
{
	static char last[2048];
	FILE *f = setmntent("/proc/mounts", "re");
	struct mntent *m;

	last[0] = '\0';
	while (f && (m = getmntent(f)) != NULL)
		if (!strncmp(m->mnt_dir, "/mnt/", 5))
			snprintf(last, sizeof(last), "%s", m->mnt_dir);
	if (f)
		endmntent(f);
	return last[0] ? last : NULL;
}

/* Everything the command started is gone: what is still busy now was leaked by the kernel. */
static void unmount_all(void)
{
	char text[2200];
	char *path;

	if (!disks_are_ready())
		return;
	for (size_t i = 0; i < FILE_SYSTEMS; i++)
		umount(file_systems[i]);
	if (last_mount())
		release_devices();
	while ((path = last_mount()) != NULL) {
		if (!umount(path))
			continue;
		snprintf(text, sizeof(text),
			 "<4>pinverbs: BUG: %s is busy after all processes ended", path);
		put("/dev/kmsg", text);
		/* out of the list */
		if (umount2(path, MNT_DETACH))
			return;
	}
}

/*
 * What nothing points to any more in two scans, and is five seconds old, was leaked: kmemleak says so.
 */
static void look_for_leaks(void)
{
	char line[1024];
	FILE *f;

	if (access(KMEMLEAK, W_OK))
		return;
	put(KMEMLEAK, "scan");
	sleep(5);
	put(KMEMLEAK, "scan");
	f = fopen(KMEMLEAK, "re");
	for (int i = 0; f && i < 60 && fgets(line, sizeof(line), f); i++)
		put("/dev/kmsg", line);
}

/* How often each line ran, in a kernel that counts. */
static void keep_counters(void)
{
	char folder[2200];
	int status;
	pid_t pid;

	if (access(COUNTERS, R_OK))
		return;
	snprintf(folder, sizeof(folder), "%s/gcov", conf("OUT"));
	try_mkdir(folder);
	snprintf(folder, sizeof(folder), "%s/gcov/%s", conf("OUT"), conf("HOST"));
	try_mkdir(folder);
	pid = fork();
	if (!pid) {
		if (!chdir(COUNTERS))
			execl("/bin/sh", "sh", "-c",
			      "find . -name '*.gcda' -exec cp --parents -t \"$0\" {} +",
			      folder, NULL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		put("/dev/kmsg", "<4>pinverbs: BUG: the counters are lost");
}

int main(void)
{
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	try_mount("devtmpfs", "devtmpfs", "/dev", "mode=755");
	try_mount("proc", "proc", "/proc", NULL);
	try_mount("sysfs", "sysfs", "/sys", NULL);
	wait_for_job();
	make_root();
	read_conf();
	try_mount("sysfs", "sysfs", "/sys", NULL);
	find_regions();
	if (*conf("CUT") && !put("/sys/module/power_cut/parameters/media", "1"))
		broken("nothing keeps the persistent memory");
	mount_all();
	wake_up();
	settle();
	make_network();
	export_all();
	run_guest();
	unmount_all();
	keep_counters();
	look_for_leaks();
	sync();
	power_off();
}
