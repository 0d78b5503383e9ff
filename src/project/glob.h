/*
 * glob.h
 *		Shell-style patterns: names in selections, files in .dbtignore.
 */
#ifndef DPIPE_PROJECT_GLOB_H
#define DPIPE_PROJECT_GLOB_H

#include "nodes/pg_list.h"

/*
 * *, ? and [...], as Python's fnmatch has them; a slash is like any other
 * character. As git has them, a backslash escapes, and ^ negates like !.
 */
extern bool pj_glob(const char *pattern, const char *text, bool git);

/* The patterns of a .dbtignore; the file's path is for messages. */
extern List *pj_ignore_patterns(const char *path, const char *text);
extern bool pj_is_ignored(const List *patterns, const char *path);

#endif							/* DPIPE_PROJECT_GLOB_H */
