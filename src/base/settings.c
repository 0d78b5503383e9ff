/*
 * settings.c
 *		dpipe.* configuration parameters.
 *
 * All are PGC_SIGHUP unless a reason stands beside the definition.
 */
#include "base/compat.h"

#include <limits.h>

#include "utils/guc.h"

#include "base/fault.h"
#include "base/settings.h"

int			dpipe_max_workers = 4;
int			dpipe_worker_quantum = 10000;
int			dpipe_restart_delay_min = 1000;
int			dpipe_restart_delay_max = 60000;
int			dpipe_discovery_interval = 30000;
int			dpipe_stall_timeout = 60000;
int			dpipe_load_path = DPIPE_LOAD_AUTO;
int			dpipe_max_queue_kb = 512 * 1024;
bool		dpipe_enabled = true;
int			dpipe_jinja_max_output_kb = 16 * 1024;
int			dpipe_jinja_max_steps = 10 * 1000 * 1000;
int			dpipe_jinja_max_depth = 200;
int			dpipe_jinja_max_memory_kb = 256 * 1024;
int			dpipe_yaml_max_values = 1000 * 1000;
int			dpipe_project_max_files = 20000;
int			dpipe_project_max_file_kb = 16 * 1024;
int			dpipe_project_max_size_kb = 256 * 1024;
int			dpipe_jinja_cache_kb = 32 * 1024;

static const struct config_enum_entry load_path_options[] = {
	{"auto", DPIPE_LOAD_AUTO, false},
	{"sql", DPIPE_LOAD_SQL, false},
	{NULL, 0, false}
};

static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("dpipe.enabled",
							 "Runs sources and pipelines in the background.",
							 "Set it to off in a physical copy that must not consume.",
							 &dpipe_enabled, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.max_workers",
							"Maximum number of source and task workers in the cluster.",
							"The launcher and one scheduler per database come on top.",
							&dpipe_max_workers, 4, 0, 1024, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.worker_quantum",
							"How long a busy source keeps its worker while others wait.",
							NULL, &dpipe_worker_quantum, 10000, 100, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.restart_delay_min",
							"Delay before a failed worker is started again.",
							"Doubles with each failure up to dpipe.restart_delay_max.",
							&dpipe_restart_delay_min, 1000, 10, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.restart_delay_max",
							"Longest delay before a failed worker is started again.",
							NULL, &dpipe_restart_delay_max, 60000, 10, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.discovery_interval",
							"How often a running source looks for new partitions.",
							NULL, &dpipe_discovery_interval, 30000, 100,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.stall_timeout",
							"How long a Kafka client may be silent before it is looked after.",
							"One that has delivered nothing for twice as long, though there are records, is replaced. 0 turns this off.",
							&dpipe_stall_timeout, 60000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.max_queue_bytes",
							"Most memory for records that the Kafka client of a worker holds ahead.",
							"Caps what librdkafka is told by servers and sources; taken by clients made after a change.",
							&dpipe_max_queue_kb, 512 * 1024, 16 * 1024,
							64 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("dpipe.load_path",
							 "How batches are written: auto, or always by SQL.",
							 NULL, &dpipe_load_path, DPIPE_LOAD_AUTO,
							 load_path_options, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
}

/*
 * Limits are PGC_SUSET: a model's owner must not be able to lift them, an
 * administrator may for one session.
 */
static void
define_template_settings(void)
{
	DefineCustomIntVariable("dpipe.template_max_output",
							"Largest text that one template may render.",
							NULL, &dpipe_jinja_max_output_kb, 16 * 1024, 1,
							1024 * 1024 - 1, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.template_max_steps",
							"Most evaluation steps that one rendering may take.",
							NULL, &dpipe_jinja_max_steps, 10 * 1000 * 1000,
							1000, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.template_max_depth",
							"Deepest nesting of expressions, blocks and calls in a template.",
							NULL, &dpipe_jinja_max_depth, 200, 10, 10000,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.template_max_memory",
							"Most memory that one rendering may use.",
							NULL, &dpipe_jinja_max_memory_kb, 256 * 1024, 1024,
							INT_MAX, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.template_cache_size",
							"Memory for parsed templates that a session keeps.",
							NULL, &dpipe_jinja_cache_kb, 32 * 1024, 0,
							INT_MAX, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
}

/* Whoever may load a project may not lift these either. */
static void
define_project_settings(void)
{
	DefineCustomIntVariable("dpipe.yaml_max_values",
							"Most values that a YAML file may hold.",
							"An alias counts as all that it stands for.",
							&dpipe_yaml_max_values, 1000 * 1000, 1000,
							INT_MAX / 2, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.project_max_files",
							"Most files that a dbt project may hold.",
							NULL, &dpipe_project_max_files, 20000, 1,
							INT_MAX / 2, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.project_max_file_size",
							"Largest file of a dbt project.",
							NULL, &dpipe_project_max_file_kb, 16 * 1024, 1,
							512 * 1024, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("dpipe.project_max_size",
							"Most bytes that all files of a dbt project may hold.",
							NULL, &dpipe_project_max_size_kb, 256 * 1024, 1,
							INT_MAX, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
}

void
dpipe_settings_init(void)
{
	define_worker_settings();
	define_template_settings();
	define_project_settings();
#ifdef DPIPE_FAULT_POINTS
	DefineCustomStringVariable("dpipe.fault_point",
							   "Makes one step fail, for tests.",
							   NULL, &dpipe_fault_point_setting, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
#endif
}
