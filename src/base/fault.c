/*
 * fault.c
 *		Fault-injection points for tests.
 *
 * A point is a place at which a crash, an error or a delay must not break a
 * promise. Nothing of this exists in a release build.
 */
#include "base/compat.h"

#ifdef DPIPE_FAULT_POINTS

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"

#include "base/fault.h"

char	   *dpipe_fault_point_setting = NULL;

void
dpipe_fault_point_hit(const char *name)
{
	size_t		len = strlen(name);
	const char *action;

	if (strncmp(dpipe_fault_point_setting, name, len) != 0 ||
		dpipe_fault_point_setting[len] != ':')
		return;
	action = dpipe_fault_point_setting + len + 1;

	if (strcmp(action, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("fault point \"%s\" was hit", name)));
	else if (strcmp(action, "kill") == 0)
		kill(MyProcPid, SIGKILL);
	else if (strcmp(action, "exit") == 0)
		_exit(1);
	else if (strcmp(action, "panic") == 0)
		elog(PANIC, "fault point \"%s\" was hit", name);
	else if (strncmp(action, "sleep=", 6) == 0)
		pg_usleep(atol(action + 6) * 1000L);
}

#endif
