/*
 * slow_names.c
 *		A name server that does not answer, by LD_PRELOAD.
 *
 * A name that ends in ".invalid" is looked for as a resolver does that gets no
 * answer: for a minute, whatever signal comes. The file SLOW_NAMES_LOG gets
 * a line with the process id when a search begins. All other names are found
 * as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEARCH_SECONDS 60
#define SUFFIX ".invalid"

typedef int (*GetAddrInfo) (const char *node, const char *service,
							const struct addrinfo *hints,
							struct addrinfo **result);

static int
ends_with_suffix(const char *node)
{
	size_t		len = node ? strlen(node) : 0;

	return len >= strlen(SUFFIX) &&
		strcmp(node + len - strlen(SUFFIX), SUFFIX) == 0;
}

static void
note_search(void)
{
	const char *path = getenv("SLOW_NAMES_LOG");
	FILE	   *file = path ? fopen(path, "a") : NULL;

	if (file == NULL)
		return;
	fprintf(file, "%d\n", (int) getpid());
	fclose(file);
}

static void
search_in_vain(void)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += SEARCH_SECONDS;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) != 0)
		;
}

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	GetAddrInfo real = (GetAddrInfo) dlsym(RTLD_NEXT, "getaddrinfo");

	if (!ends_with_suffix(node))
		return real(node, service, hints, result);
	note_search();
	search_in_vain();
	return EAI_AGAIN;
}
