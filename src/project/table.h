/*
 * table.h
 *		What a query gives, as templates see it: agate's table.
 */
#ifndef DPIPE_PROJECT_TABLE_H
#define DPIPE_PROJECT_TABLE_H

#include "postgres.h"

#include "jinja/jinja.h"

/* agate's types, as far as a column of a result can have one */
typedef enum DpipeCellType
{
	DPIPE_CELL_INTEGER,
	DPIPE_CELL_NUMBER,
	DPIPE_CELL_BOOLEAN,
	DPIPE_CELL_DATE,
	DPIPE_CELL_DATETIME,
	DPIPE_CELL_TEXT,
} DpipeCellType;

/* agatetype.c */
extern const char *dpipe_cell_type_name(DpipeCellType type);
extern JinjaValue *dpipe_cell_type_value(JinjaEnv *env, DpipeCellType type);

typedef struct DpipeTable
{
	int			ncols;
	const char **names;
	DpipeCellType *types;
	int			nrows;
	int			capacity;
	JinjaValue ***rows;			/* each with ncols values */
} DpipeTable;

/* Empty; it lives as long as "env". Names are copied. */
extern DpipeTable *dpipe_table_create(JinjaEnv *env, int ncols, const char *const *names,
									  const DpipeCellType *types);
/* A row of ncols NULLs, to be filled. */
extern JinjaValue **dpipe_table_add_row(JinjaEnv *env, DpipeTable *table);

extern JinjaValue *dpipe_table_value(JinjaEnv *env, DpipeTable *table);
/* NULL when the value is no table. */
extern DpipeTable *dpipe_table_of(const JinjaValue *value);
/* The rows as a list of tuples: load_result(…).data */
extern JinjaValue *dpipe_table_matrix(JinjaEnv *env, const DpipeTable *table);
/* As print_table() prints it; max_rows 0: all. */
extern char *dpipe_table_text(JinjaEnv *env, const DpipeTable *table, int max_rows,
							  int max_columns, int max_column_width);

#endif							/* DPIPE_PROJECT_TABLE_H */
