/*
 * table.c
 *		What a query gives, as templates see it: agate's table, its rows and
 *		its columns.
 *
 * Rows, columns and the lists of them are one kind of object, a sequence whose
 * elements may have names: table.rows[0]['id'], table.columns['id'].values(),
 * {% for row in table %}{{ row[0] }}. Nothing here changes a table: select(),
 * limit() and the like give another one over the same cells.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "project/column.h"
#include "project/host.h"
#include "project/table.h"

/* How many elements a sequence prints. */
#define SAMPLE 5

typedef struct Sequence
{
	const char *kind;			/* Row, Column, MappedSequence */
	int			n;
	JinjaValue **values;
	const char *const *keys;	/* as many; or NULL */
	const char *name;			/* of a column */
	DpipeCellType type;			/* of a column */
} Sequence;

static const JinjaObjectOps sequence_ops;
static const JinjaObjectOps table_ops;
static const JinjaObjectOps groups_ops;

/* ---------- sequences ---------- */

static JinjaValue *
sequence_value(JinjaEnv *env, const Sequence *sequence)
{
	Sequence   *copy = MemoryContextAlloc(jinja_env_context(env), sizeof(Sequence));

	*copy = *sequence;
	return jinja_object(env, &sequence_ops, copy);
}

static JinjaValue *
sequence_tuple(JinjaEnv *env, const Sequence *s)
{
	return jinja_tuple(env, s->n, s->values);
}

static JinjaValue *
sequence_find(const Sequence *s, const char *key)
{
	for (int i = 0; s->keys != NULL && i < s->n; i++)
		if (strcmp(s->keys[i], key) == 0)
			return s->values[i];
	return NULL;
}

static JinjaValue *
sequence_item(JinjaEnv *env, void *object, JinjaValue *index)
{
	Sequence   *s = object;
	int64		i;

	if (jinja_kind(index) == JINJA_STRING)
		return sequence_find(s, jinja_to_cstring(env, index));
	if (jinja_kind(index) != JINJA_INT)
		return NULL;
	i = jinja_to_int(env, index);
	if (i < 0)
		i += s->n;
	return i >= 0 && i < s->n ? s->values[i] : NULL;
}

static JinjaValue *
fn_values(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return sequence_tuple(env, arg);
}

static JinjaValue *
names_tuple(JinjaEnv *env, int n, const char *const *names)
{
	JinjaValue **items = palloc(sizeof(JinjaValue *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		items[i] = jinja_string(env, names[i]);
	return jinja_tuple(env, n, items);
}

static JinjaValue *
fn_keys(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Sequence   *s = arg;

	return s->keys == NULL ? jinja_none(env) : names_tuple(env, s->n, s->keys);
}

static JinjaValue *
fn_items(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Sequence   *s = arg;
	JinjaValue *list = jinja_list(env);

	for (int i = 0; s->keys != NULL && i < s->n; i++)
	{
		JinjaValue *pair[2] = {jinja_string(env, s->keys[i]), s->values[i]};

		jinja_list_append(env, list, jinja_tuple(env, 2, pair));
	}
	return list;
}

static JinjaValue *
fn_dict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Sequence   *s = arg;
	JinjaValue *dict = jinja_dict(env);

	for (int i = 0; s->keys != NULL && i < s->n; i++)
		jinja_dict_set(env, dict, s->keys[i], s->values[i]);
	return dict;
}

static JinjaValue *
fn_get(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = sequence_item(env, arg, dpipe_arg(env, args, 0, "key", "get"));

	if (v == NULL)
		v = jinja_arg(args, 1, "default");
	return v != NULL ? v : jinja_none(env);
}

/* The values of a column once each, or those that are not NULL. */
static JinjaValue *
filtered_values(JinjaEnv *env, const Sequence *s, bool distinct)
{
	JinjaValue *kept = jinja_list(env);
	JinjaValue *seen = jinja_set(env);

	for (int i = 0; i < s->n; i++)
	{
		if (!distinct && jinja_kind(s->values[i]) == JINJA_NONE)
			continue;
		if (distinct)
		{
			int			before = jinja_length(seen);

			jinja_set_add(env, seen, s->values[i]);
			if (jinja_length(seen) == before)
				continue;
		}
		jinja_list_append(env, kept, s->values[i]);
	}
	return kept;
}

static JinjaValue *
fn_values_distinct(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return filtered_values(env, arg, true);
}

static JinjaValue *
fn_values_without_nulls(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return filtered_values(env, arg, false);
}

static const DpipeMember sequence_members[] = {
	{"dict", fn_dict},
	{"get", fn_get},
	{"items", fn_items},
	{"keys", fn_keys},
	{"values", fn_values},
	{NULL}
};

static const DpipeMember column_members[] = {
	{"values_distinct", fn_values_distinct},
	{"values_without_nulls", fn_values_without_nulls},
	{NULL}
};

static JinjaValue *
sequence_attribute(JinjaEnv *env, void *object, const char *name)
{
	Sequence   *s = object;
	JinjaValue *v = dpipe_member(env, sequence_members, name, s);

	if (v == NULL && s->name != NULL)
	{
		if (strcmp(name, "name") == 0)
			return jinja_string(env, s->name);
		if (strcmp(name, "data_type") == 0)
			return dpipe_cell_type_value(env, s->type);
		v = dpipe_member(env, column_members, name, s);
	}
	return v != NULL ? v : sequence_find(s, name);
}

static char *
sequence_to_string(JinjaEnv *env, void *object)
{
	Sequence   *s = object;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "<agate.%s: (", s->kind);
	for (int i = 0; i < Min(s->n, SAMPLE); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", jinja_repr(env, s->values[i]));
	appendStringInfoString(&buf, s->n > SAMPLE ? ", ...)>" : ")>");
	return buf.data;
}

static int64
sequence_length(JinjaEnv *env, void *object)
{
	return ((Sequence *) object)->n;
}

static JinjaValue *
sequence_iterate(JinjaEnv *env, void *object)
{
	return sequence_tuple(env, object);
}

/* Equal to whatever holds equal elements; "in" asks for an element. */
static JinjaValue *
sequence_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other, bool reflected)
{
	Sequence   *s = object;
	Sequence   *o;

	if (op == JINJA_OP_EQ)
	{
		o = jinja_object_get(other, &sequence_ops);
		if (o != NULL)
			other = sequence_tuple(env, o);
		else if (jinja_kind(other) == JINJA_LIST)
		{
			other = jinja_to_list(env, other);
			if (jinja_length(other) != s->n)
				return jinja_bool(env, false);
			for (int i = 0; i < s->n; i++)
				if (!jinja_equal(env, s->values[i], jinja_list_get(other, i)))
					return jinja_bool(env, false);
			return jinja_bool(env, true);
		}
		return jinja_bool(env, jinja_equal(env, sequence_tuple(env, s), other));
	}
	if ((op == JINJA_OP_IN || op == JINJA_OP_NOT_IN) && reflected)
	{
		bool		found = false;

		for (int i = 0; i < s->n && !found; i++)
			found = jinja_equal(env, s->values[i], other);
		return jinja_bool(env, found == (op == JINJA_OP_IN));
	}
	return NULL;
}

static JinjaValue *
sequence_to_json(JinjaEnv *env, void *object)
{
	return sequence_tuple(env, object);
}

static const JinjaObjectOps sequence_ops = {
	.type_name = "MappedSequence",
	.get_attribute = sequence_attribute,
	.to_string = sequence_to_string,
	.get_item = sequence_item,
	.length = sequence_length,
	.iterate = sequence_iterate,
	.binary = sequence_binary,
	.to_json = sequence_to_json,
	.is_sequence = true,
};

/* ---------- tables ---------- */

DpipeTable *
dpipe_table_create(JinjaEnv *env, int ncols, const char *const *names, const DpipeCellType *types)
{
	MemoryContext old = MemoryContextSwitchTo(jinja_env_context(env));
	DpipeTable *table = palloc0(sizeof(DpipeTable));

	table->ncols = ncols;
	table->names = palloc(sizeof(char *) * Max(ncols, 1));
	table->types = palloc(sizeof(DpipeCellType) * Max(ncols, 1));
	for (int i = 0; i < ncols; i++)
	{
		table->names[i] = pstrdup(names[i]);
		table->types[i] = types[i];
	}
	table->capacity = 16;
	table->rows = palloc(sizeof(JinjaValue **) * table->capacity);
	MemoryContextSwitchTo(old);
	return table;
}

static void
append_row(DpipeTable *table, JinjaValue **row)
{
	if (table->nrows == table->capacity)
	{
		table->capacity *= 2;
		table->rows = repalloc_huge(table->rows, sizeof(JinjaValue **) * table->capacity);
	}
	table->rows[table->nrows++] = row;
}

JinjaValue **
dpipe_table_add_row(JinjaEnv *env, DpipeTable *table)
{
	JinjaValue **row = MemoryContextAlloc(jinja_env_context(env),
										  sizeof(JinjaValue *) * Max(table->ncols, 1));

	for (int i = 0; i < table->ncols; i++)
		row[i] = jinja_none(env);
	append_row(table, row);
	return row;
}

JinjaValue *
dpipe_table_value(JinjaEnv *env, DpipeTable *table)
{
	return jinja_object(env, &table_ops, table);
}

DpipeTable *
dpipe_table_of(const JinjaValue *value)
{
	return jinja_object_get(value, &table_ops);
}

JinjaValue *
dpipe_table_matrix(JinjaEnv *env, const DpipeTable *table)
{
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < table->nrows; i++)
		jinja_list_append(env, list, jinja_tuple(env, table->ncols, table->rows[i]));
	return list;
}

static JinjaValue *
row_value(JinjaEnv *env, const DpipeTable *table, int i)
{
	Sequence	s = {"Row", table->ncols, table->rows[i], table->names};

	return sequence_value(env, &s);
}

static JinjaValue *
column_value(JinjaEnv *env, const DpipeTable *table, int col)
{
	Sequence	s = {"Column", table->nrows, NULL, NULL, table->names[col], table->types[col]};

	s.values = MemoryContextAllocHuge(jinja_env_context(env),
									  sizeof(JinjaValue *) * Max(table->nrows, 1));
	for (int i = 0; i < table->nrows; i++)
		s.values[i] = table->rows[i][col];
	return sequence_value(env, &s);
}

static JinjaValue *
rows_value(JinjaEnv *env, const DpipeTable *table)
{
	Sequence	s = {"MappedSequence", table->nrows};

	s.values = MemoryContextAllocHuge(jinja_env_context(env),
									  sizeof(JinjaValue *) * Max(table->nrows, 1));
	for (int i = 0; i < table->nrows; i++)
		s.values[i] = row_value(env, table, i);
	return sequence_value(env, &s);
}

static JinjaValue *
columns_value(JinjaEnv *env, const DpipeTable *table)
{
	Sequence	s = {"MappedSequence", table->ncols, NULL, table->names};

	s.values = MemoryContextAlloc(jinja_env_context(env),
								  sizeof(JinjaValue *) * Max(table->ncols, 1));
	for (int i = 0; i < table->ncols; i++)
		s.values[i] = column_value(env, table, i);
	return sequence_value(env, &s);
}

/* ---------- tables made of tables ---------- */

static int
column_number(JinjaEnv *env, const DpipeTable *table, JinjaValue *key)
{
	int64		i = -1;

	if (jinja_kind(key) == JINJA_INT)
	{
		i = jinja_to_int(env, key);
		if (i >= 0 && i < table->ncols)
			return i;
	}
	for (int c = 0; c < table->ncols; c++)
		if (strcmp(table->names[c], jinja_to_cstring(env, key)) == 0)
			return c;
	jinja_raise(env, ERRCODE_UNDEFINED_COLUMN, "the table has no column %s", jinja_repr(env, key));
}

static DpipeTable *
like(JinjaEnv *env, const DpipeTable *table)
{
	return dpipe_table_create(env, table->ncols, table->names, table->types);
}

/* A list of columns, given as a list or as one name. */
static List *
wanted_columns(JinjaEnv *env, const DpipeTable *table, const JinjaArgs *args, const char *function)
{
	JinjaValue *v = dpipe_arg(env, args, 0, "key", function);
	List	   *wanted = NIL;

	if (jinja_kind(v) == JINJA_STRING || jinja_kind(v) == JINJA_INT)
		return list_make1_int(column_number(env, table, v));
	v = jinja_to_list(env, v);
	for (int i = 0; i < jinja_length(v); i++)
		wanted = lappend_int(wanted, column_number(env, table, jinja_list_get(v, i)));
	return wanted;
}

static JinjaValue *
project_columns(JinjaEnv *env, const DpipeTable *table, List *wanted)
{
	int			n = list_length(wanted);
	const char **names = palloc(sizeof(char *) * Max(n, 1));
	DpipeCellType *types = palloc(sizeof(DpipeCellType) * Max(n, 1));
	DpipeTable *result;

	for (int c = 0; c < n; c++)
	{
		names[c] = table->names[list_nth_int(wanted, c)];
		types[c] = table->types[list_nth_int(wanted, c)];
	}
	result = dpipe_table_create(env, n, names, types);
	for (int i = 0; i < table->nrows; i++)
	{
		JinjaValue **row = dpipe_table_add_row(env, result);

		for (int c = 0; c < n; c++)
			row[c] = table->rows[i][list_nth_int(wanted, c)];
	}
	return dpipe_table_value(env, result);
}

static JinjaValue *
table_select(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return project_columns(env, arg, wanted_columns(env, arg, args, "select"));
}

static JinjaValue *
table_exclude(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = arg;
	List	   *excluded = wanted_columns(env, table, args, "exclude");
	List	   *wanted = NIL;

	for (int c = 0; c < table->ncols; c++)
		if (!list_member_int(excluded, c))
			wanted = lappend_int(wanted, c);
	return project_columns(env, table, wanted);
}

/* limit(stop), limit(start, stop, step) */
static JinjaValue *
table_limit(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = arg;
	DpipeTable *result = like(env, table);
	JinjaValue *first = dpipe_arg(env, args, 0, "start_or_stop", "limit");
	JinjaValue *second = dpipe_arg_given(args, 1, "stop");
	JinjaValue *third = dpipe_arg_given(args, 2, "step");
	int64		start = second != NULL || third != NULL ? jinja_to_int(env, first) : 0;
	int64		stop = second != NULL ? jinja_to_int(env, second) :
		third != NULL ? table->nrows : jinja_to_int(env, first);
	int64		step = third != NULL ? jinja_to_int(env, third) : 1;

	if (step < 1)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "limit() takes a step of at least 1");
	for (int64 i = Max(start, 0); i < Min(stop, table->nrows); i += step)
		append_row(result, table->rows[i]);
	return dpipe_table_value(env, result);
}

/* rename(column_names=[…] or {old: new}) */
static JinjaValue *
table_rename(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = arg;
	JinjaValue *names = dpipe_arg(env, args, 0, "column_names", "rename");
	bool		dict = jinja_kind(names) == JINJA_DICT;
	DpipeTable *result = like(env, table);

	if (!dict)
		names = jinja_to_list(env, names);
	for (int c = 0; c < table->ncols; c++)
	{
		JinjaValue *v = dict ? jinja_dict_get(env, names, table->names[c])
			: c < jinja_length(names) ? jinja_list_get(names, c) : NULL;

		if (v != NULL)
			result->names[c] = MemoryContextStrdup(jinja_env_context(env),
												   jinja_to_cstring(env, v));
	}
	for (int i = 0; i < table->nrows; i++)
		append_row(result, table->rows[i]);
	return dpipe_table_value(env, result);
}

/* ---------- groups ---------- */

/* group_by(column): a table for each value, in the order of the first ones */
typedef struct Groups
{
	JinjaValue *tables;			/* dict of tables by value */
} Groups;

static JinjaValue *
table_group_by(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = arg;
	int			col = column_number(env, table, dpipe_arg(env, args, 0, "key", "group_by"));
	JinjaValue *numbers = jinja_dict(env);	/* of the groups, by value */
	DpipeTable **groups = palloc(sizeof(DpipeTable *) * Max(table->nrows, 1));
	int			ngroups = 0;
	Groups	   *result = MemoryContextAlloc(jinja_env_context(env), sizeof(Groups));

	result->tables = jinja_dict(env);
	for (int i = 0; i < table->nrows; i++)
	{
		JinjaValue *key = table->rows[i][col];
		JinjaValue *v = jinja_kind(key) == JINJA_STRING
			? jinja_dict_get(env, numbers, jinja_to_cstring(env, key)) : NULL;
		int			g = v != NULL ? jinja_to_int(env, v) : -1;

		/* A key that is no string is looked for among the groups so far. */
		for (int k = 0; v == NULL && k < ngroups && g < 0; k++)
			if (jinja_equal(env, groups[k]->rows[0][col], key))
				g = k;
		if (g < 0)
		{
			g = ngroups++;
			groups[g] = like(env, table);
			jinja_dict_set_value(env, numbers, key, jinja_int(env, g));
			jinja_dict_set_value(env, result->tables, key, dpipe_table_value(env, groups[g]));
		}
		append_row(groups[g], table->rows[i]);
	}
	return jinja_object(env, &groups_ops, result);
}

/* keys(), values(), items() and the rest are those of the dict. */
static JinjaValue *
groups_call(JinjaEnv *env, void *arg, const JinjaArgs *args, int which)
{
	Groups	   *groups = arg;
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < jinja_length(groups->tables); i++)
	{
		JinjaValue *pair[2];

		jinja_dict_entry(groups->tables, i, &pair[0], &pair[1]);
		jinja_list_append(env, list, which == 2 ? jinja_tuple(env, 2, pair) : pair[which]);
	}
	return list;
}

static JinjaValue *
groups_keys(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return groups_call(env, arg, args, 0);
}

static JinjaValue *
groups_values(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return groups_call(env, arg, args, 1);
}

static JinjaValue *
groups_items(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return groups_call(env, arg, args, 2);
}

static const DpipeMember groups_members[] = {
	{"items", groups_items},
	{"keys", groups_keys},
	{"values", groups_values},
	{NULL}
};

static JinjaValue *
groups_attribute(JinjaEnv *env, void *object, const char *name)
{
	return dpipe_member(env, groups_members, name, object);
}

static JinjaValue *
groups_item(JinjaEnv *env, void *object, JinjaValue *index)
{
	Groups	   *groups = object;

	for (int i = 0; i < jinja_length(groups->tables); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(groups->tables, i, &key, &value);
		if (jinja_equal(env, key, index))
			return value;
	}
	return NULL;
}

static int64
groups_length(JinjaEnv *env, void *object)
{
	return jinja_length(((Groups *) object)->tables);
}

static JinjaValue *
groups_iterate(JinjaEnv *env, void *object)
{
	return groups_values(env, object, NULL);
}

static const JinjaObjectOps groups_ops = {
	.type_name = "TableSet",
	.get_attribute = groups_attribute,
	.get_item = groups_item,
	.length = groups_length,
	.iterate = groups_iterate,
};

/* ---------- printing ---------- */

/* A text of at most "width" characters. */
static char *
cut(const char *text, int width)
{
	if (width <= 0 || pg_mbstrlen(text) <= width)
		return pstrdup(text);
	return psprintf("%s...", pnstrdup(text, pg_mbcharcliplen(text, strlen(text),
															 Max(width - 3, 0))));
}

static void
write_cell(StringInfo buf, const char *text, int width, bool left)
{
	int			fill = width - pg_mbstrlen(text);

	appendStringInfo(buf, " %*s%s%*s ", left ? 0 : fill, "", text, left ? fill : 0, "");
}

static void
write_rule(StringInfo buf, int ncols, const int *widths)
{
	for (int c = 0; c < ncols; c++)
	{
		appendStringInfoString(buf, "| ");
		for (int i = 0; i < widths[c]; i++)
			appendStringInfoChar(buf, '-');
		appendStringInfoChar(buf, ' ');
	}
	appendStringInfoString(buf, "|\n");
}

/* The text of a cell; a column beyond the last one shown is "...". */
static char *
cell_text(JinjaEnv *env, const DpipeTable *table, int row, int col, int max_columns, int width)
{
	JinjaValue *v;

	if (col >= max_columns)
		return pstrdup("...");
	if (row < 0)
		return cut(table->names[col], width);
	v = table->rows[row][col];
	return jinja_kind(v) == JINJA_NONE ? pstrdup("") : cut(jinja_to_cstring(env, v), width);
}

char *
dpipe_table_text(JinjaEnv *env, const DpipeTable *table, int max_rows, int max_columns,
				 int max_column_width)
{
	int			shown = max_columns > 0 ? Min(max_columns, table->ncols) : table->ncols;
	int			ncols = shown < table->ncols ? shown + 1 : shown;
	int			nrows = max_rows > 0 ? Min(max_rows, table->nrows) : table->nrows;
	int		   *widths = palloc0(sizeof(int) * Max(ncols, 1));
	StringInfoData buf;

	initStringInfo(&buf);
	for (int r = -1; r < nrows; r++)
		for (int c = 0; c < ncols; c++)
			widths[c] = Max(widths[c],
							pg_mbstrlen(cell_text(env, table, r, c, shown, max_column_width)));
	for (int r = -1; r < nrows; r++)
	{
		for (int c = 0; c < ncols; c++)
		{
			appendStringInfoChar(&buf, '|');
			write_cell(&buf, cell_text(env, table, r, c, shown, max_column_width), widths[c],
					   c < shown && table->types[c] == DPIPE_CELL_TEXT);
		}
		appendStringInfoString(&buf, "|\n");
		if (r < 0)
			write_rule(&buf, ncols, widths);
	}
	if (nrows < table->nrows)
	{
		for (int c = 0; c < ncols; c++)
		{
			appendStringInfoChar(&buf, '|');
			write_cell(&buf, "...", Max(widths[c], 3), false);
		}
		appendStringInfoString(&buf, "|\n");
	}
	return buf.data;
}

static int
int_or(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, int deflt)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	return v == NULL ? deflt : dpipe_is_nothing(v) ? 0 : (int) jinja_to_int(env, v);
}

static JinjaValue *
table_print_table(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	ereport(NOTICE, (errmsg("%s", dpipe_table_text(env, arg,
												   int_or(env, args, 0, "max_rows", 20),
												   int_or(env, args, 1, "max_columns", 6),
												   int_or(env, args, 3, "max_column_width", 20)))));
	return jinja_none(env);
}

static void
append_csv(StringInfo buf, const char *text)
{
	if (strpbrk(text, ",\"\r\n") == NULL)
	{
		appendStringInfoString(buf, text);
		return;
	}
	appendStringInfoString(buf, dpipe_quoted(text));
}

static JinjaValue *
table_print_csv(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = arg;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int r = -1; r < table->nrows; r++)
		for (int c = 0; c < table->ncols; c++)
		{
			append_csv(&buf, cell_text(env, table, r, c, table->ncols, 0));
			appendStringInfoChar(&buf, c + 1 < table->ncols ? ',' : '\n');
		}
	ereport(NOTICE, (errmsg("%s", buf.data)));
	return jinja_none(env);
}

/* ---------- the table as a value ---------- */

static const DpipeMember table_members[] = {
	{"exclude", table_exclude},
	{"group_by", table_group_by},
	{"limit", table_limit},
	{"print_csv", table_print_csv},
	{"print_table", table_print_table},
	{"rename", table_rename},
	{"select", table_select},
	{NULL}
};

static JinjaValue *
column_types(JinjaEnv *env, const DpipeTable *table)
{
	const char **names = palloc(sizeof(char *) * Max(table->ncols, 1));

	for (int c = 0; c < table->ncols; c++)
		names[c] = dpipe_cell_type_name(table->types[c]);
	return names_tuple(env, table->ncols, names);
}

static JinjaValue *
table_attribute(JinjaEnv *env, void *object, const char *name)
{
	DpipeTable *table = object;

	if (strcmp(name, "rows") == 0)
		return rows_value(env, table);
	if (strcmp(name, "columns") == 0)
		return columns_value(env, table);
	if (strcmp(name, "column_names") == 0)
		return names_tuple(env, table->ncols, table->names);
	if (strcmp(name, "column_types") == 0)
		return column_types(env, table);
	return dpipe_member(env, table_members, name, table);
}

static JinjaValue *
table_item(JinjaEnv *env, void *object, JinjaValue *index)
{
	DpipeTable *table = object;
	int64		i;

	if (jinja_kind(index) != JINJA_INT)
		return NULL;
	i = jinja_to_int(env, index);
	if (i < 0)
		i += table->nrows;
	return i >= 0 && i < table->nrows ? row_value(env, table, i) : NULL;
}

static int64
table_length(JinjaEnv *env, void *object)
{
	return ((DpipeTable *) object)->nrows;
}

static JinjaValue *
table_iterate(JinjaEnv *env, void *object)
{
	DpipeTable *table = object;
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < table->nrows; i++)
		jinja_list_append(env, list, row_value(env, table, i));
	return list;
}

/* str() of agate's table is its structure. */
static char *
table_to_string(JinjaEnv *env, void *object)
{
	DpipeTable *table = object;
	const DpipeCellType text[2] = {DPIPE_CELL_TEXT, DPIPE_CELL_TEXT};
	const char *const names[2] = {"column", "data_type"};
	DpipeTable *structure = dpipe_table_create(env, 2, names, text);

	for (int c = 0; c < table->ncols; c++)
	{
		JinjaValue **row = dpipe_table_add_row(env, structure);

		row[0] = jinja_string(env, table->names[c]);
		row[1] = jinja_string(env, dpipe_cell_type_name(table->types[c]));
	}
	return dpipe_table_text(env, structure, 0, 0, 0);
}

static JinjaValue *
table_to_json(JinjaEnv *env, void *object)
{
	DpipeTable *table = object;
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < table->nrows; i++)
	{
		JinjaValue *dict = jinja_dict(env);

		for (int c = 0; c < table->ncols; c++)
			jinja_dict_set(env, dict, table->names[c], table->rows[i][c]);
		jinja_list_append(env, list, dict);
	}
	return list;
}

static const JinjaObjectOps table_ops = {
	.type_name = "Table",
	.get_attribute = table_attribute,
	.to_string = table_to_string,
	.get_item = table_item,
	.length = table_length,
	.iterate = table_iterate,
	.to_json = table_to_json,
};
