/*
 * full_disk.c
 *		A disk that is full, for a server started with LD_PRELOAD.
 *
 * While the file named by DPIPE_FULL_DISK exists, no file below the directory
 * it stands in can grow: the kernel seems to say ENOSPC. Everything behind
 * that, from the storage manager to the loader, is real.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int
is_full(int fd, off_t end)
{
	const char *flag = getenv("DPIPE_FULL_DISK");
	char		link[64];
	char		path[PATH_MAX];
	struct stat st;
	ssize_t		len;

	if (flag == NULL || access(flag, F_OK) != 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return 0;
	path[len] = '\0';
	if (strncmp(path, flag, strrchr(flag, '/') + 1 - flag) != 0 ||
		fstat(fd, &st) != 0)
		return 0;
	return end > st.st_size;
}

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t at)
{
	static ssize_t (*real) (int, const void *, size_t, off_t);

	if (is_full(fd, at + n))
	{
		errno = ENOSPC;
		return -1;
	}
	if (real == NULL)
		real = dlsym(RTLD_NEXT, "pwrite");
	return real(fd, buf, n, at);
}

ssize_t
pwrite64(int fd, const void *buf, size_t n, off_t at)
{
	return pwrite(fd, buf, n, at);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	static ssize_t (*real) (int, const struct iovec *, int, off_t);
	size_t		n = 0;

	for (int i = 0; i < count; i++)
		n += iov[i].iov_len;
	if (is_full(fd, at + n))
	{
		errno = ENOSPC;
		return -1;
	}
	if (real == NULL)
		real = dlsym(RTLD_NEXT, "pwritev");
	return real(fd, iov, count, at);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off_t at)
{
	return pwritev(fd, iov, count, at);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	static int (*real) (int, off_t, off_t);

	if (is_full(fd, at + n))
		return ENOSPC;
	if (real == NULL)
		real = dlsym(RTLD_NEXT, "posix_fallocate");
	return real(fd, at, n);
}

int
posix_fallocate64(int fd, off_t at, off_t n)
{
	return posix_fallocate(fd, at, n);
}
