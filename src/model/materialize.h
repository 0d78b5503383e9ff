/*
 * materialize.h
 *		Shared by the materializations.
 *
 * All run as the model's owner, connected to SPI, in the node's
 * subtransaction.
 */
#ifndef DPIPE_MATERIALIZE_H
#define DPIPE_MATERIALIZE_H

#include "postgres.h"

#include "access/tupdesc.h"

#include "model/model.h"

/* The model's relation as it is now. */
typedef struct ModelTarget
{
	char	   *name;			/* quoted and qualified */
	Oid			relid;			/* InvalidOid: there is none */
	char		relkind;
	bool		mine;			/* this model has made it */
} ModelTarget;

/* materialize.c */
extern void model_run_utility(const char *sql);

/* The statement that makes the contents: noted in the results. */
extern void model_run_main(DpipeBuild *build, const char *code, const char *sql);
extern TupleDesc model_relation_columns(Oid relid);
extern void model_build_table(DpipeBuild *build, const ModelTarget *target, const char *query,
							  TupleDesc columns);
extern void model_analyze(const ModelTarget *target);

/* incremental.c */
extern void model_build_incremental(DpipeBuild *build, const ModelTarget *target, const char *query,
									TupleDesc columns);
extern void model_index_unique_key(DpipeBuild *build, Oid relid, const char *name);

/* columns.c: how a query's columns differ from its table's */
typedef struct ColumnChanges
{
	List	   *common;			/* names that both have and can be written */
	List	   *added;			/* Form_pg_attribute, of the query */
	List	   *retyped;		/* Form_pg_attribute, of the query */
	List	   *removed;		/* names */
} ColumnChanges;

extern void columns_compare(TupleDesc query, Oid relid, ColumnChanges *changes);

/* "a, b"; with a prefix, "p.a, p.b" */
extern char *columns_list(List *names, const char *prefix);

/* The table is empty (or about to be): make its columns the query's. */
extern void columns_reshape(const ModelTarget *target, const ColumnChanges *changes);

/* By on_schema_change; the table keeps its rows. */
extern void columns_on_schema_change(DpipeBuild *build, const ModelTarget *target,
									 const ColumnChanges *changes);

#endif							/* DPIPE_MATERIALIZE_H */
