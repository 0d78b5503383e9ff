/*
 * define.h
 *		Definition verbs: what every kind of source has in common.
 *
 * A kind's own verb (dpipe_create_kafka_source) checks its arguments, calls
 * dpipe_source_lock, resolves the target as the owner, then calls
 * dpipe_source_define.
 */
#ifndef DPIPE_DEFINE_H
#define DPIPE_DEFINE_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/jsonb.h"

#include "catalog/catalog.h"

typedef struct DpipeDefinition
{
	const char *name;
	const char *kind;
	const char *server;
	ArrayType  *topics;			/* text[] */
	const char *target_schema;
	const char *target_table;
	const char *format;
	const char *envelope;
	ArrayType  *key;			/* text[], or NULL */
	Jsonb	   *start;
	Jsonb	   *options;		/* as given */
	int			workers;
	bool		enabled;		/* of a new source; one that exists keeps its own */
} DpipeDefinition;

/* Limits of options that every kind of source has. */
#define DPIPE_MAX_SOURCE_WORKERS 256

/*
 * Check the options of a source: 22023 with a hint that lists the valid ones,
 * or tells the type and range. Values of librdkafka and stop_at are the
 * caller's to check.
 */
extern void dpipe_source_options_check(const Jsonb *options);

/*
 * Lock the definition until the end of the transaction and check that the
 * current user may change it (42501). InvalidOid when there is none yet; else
 * the role that owns it.
 */
extern Oid	dpipe_source_lock(const char *name);

/*
 * Insert the definition, or replace it and keep owner, positions and
 * enabled-or-not. Positions are laid out for the topics and workers: partition
 * p of a topic belongs to slot p % workers.
 */
extern void dpipe_source_define(const DpipeDefinition *def);

/*
 * Move the positions of a source, under a new epoch. Either to "offsets", an
 * object {topic: {partition: offset}} that leaves other partitions where they
 * are, or all of them to "start", which replaces the definition's.
 */
extern void dpipe_source_seek(const char *name, const char *kind,
							  const Jsonb *offsets, const Jsonb *start);

/* 22023 unless the name can be one; "what" begins the message. */
extern void dpipe_check_name(const char *name, const char *what);

#endif							/* DPIPE_DEFINE_H */
