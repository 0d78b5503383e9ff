/*
 * fault.h
 *		Fault-injection points for tests. Compiled out of release builds.
 *
 * dpipe.fault_point = 'name:action' with action error, panic, kill, exit or
 * sleep=<milliseconds>; superusers only.
 */
#ifndef DPIPE_FAULT_H
#define DPIPE_FAULT_H

#ifdef DPIPE_FAULT_POINTS
extern char *dpipe_fault_point_setting;
extern void dpipe_fault_point_hit(const char *name);

#define DPIPE_FAULT_POINT(name) \
	do { \
		if (dpipe_fault_point_setting != NULL && \
			dpipe_fault_point_setting[0] != '\0') \
			dpipe_fault_point_hit(name); \
	} while (0)
#else
#define DPIPE_FAULT_POINT(name) ((void) 0)
#endif

#endif							/* DPIPE_FAULT_H */
