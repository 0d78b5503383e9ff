/*
 * settings.h
 *		dpipe.* configuration parameters.
 */
#ifndef DPIPE_SETTINGS_H
#define DPIPE_SETTINGS_H

#include "postgres.h"

typedef enum DpipeLoadPath
{
	DPIPE_LOAD_AUTO,
	DPIPE_LOAD_SQL,
} DpipeLoadPath;

extern int	dpipe_max_workers;	/* source and task workers of the cluster */
extern int	dpipe_worker_quantum;	/* ms a busy slot keeps its worker */
extern int	dpipe_restart_delay_min;	/* ms */
extern int	dpipe_restart_delay_max;	/* ms */
extern int	dpipe_discovery_interval;	/* ms between looks for partitions */
extern int	dpipe_stall_timeout;	/* ms a client may be silent; 0: any time */
extern int	dpipe_max_queue_kb;	/* of a client's records, not yet taken */
extern int	dpipe_load_path;	/* DpipeLoadPath */
extern bool dpipe_enabled;		/* false: nothing runs in the background */

/* Limits of the template engine; see src/jinja. */
extern int	dpipe_jinja_max_output_kb;
extern int	dpipe_jinja_max_steps;
extern int	dpipe_jinja_max_depth;
extern int	dpipe_jinja_max_memory_kb;
extern int	dpipe_jinja_cache_kb;

/* Limits of what a dbt project may hold; see src/project. */
extern int	dpipe_yaml_max_values;
extern int	dpipe_project_max_files;
extern int	dpipe_project_max_file_kb;
extern int	dpipe_project_max_size_kb;

extern void dpipe_settings_init(void);

#endif							/* DPIPE_SETTINGS_H */
