/*
 * enforce.c
 *		Contracts and constraints of a model, once a YAML file has said what
 *		it has to say of it: what dbt refuses of them, and what foreign keys
 *		refer to.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"

#include "project/loading.h"
#include "project/node.h"

/* ---------- what is refused ---------- */

static void
check_contract(const PjFile *file, const PdDoc *entry, const PjNode *node)
{
	if (!pd_truth(pd_get(pd_get(node->config, "contract"), "enforced")) || node->columns->n > 0)
		return;
	pj_raise(file, entry,
			 "Contract enforcement failed for: (%s). Constraints must be defined in a `yml` schema configuration file like `schema.yml`: name the columns of '%s' there, or do not enforce its contract.",
			 node->original_path, node->name);
}

static bool
is_primary_key(const PdDoc *constraint)
{
	return pd_equals(pd_get(constraint, "type"), "primary_key");
}

static bool
has_primary_key(const PdDoc *constraints)
{
	for (int i = 0; i < constraints->n; i++)
		if (is_primary_key(constraints->u.items[i]))
			return true;
	return false;
}

static void
check_primary_keys(const PjFile *file, const PdDoc *entry, const PjNode *node)
{
	StringInfoData names;
	int			n = 0;

	initStringInfo(&names);
	for (int i = 0; i < node->columns->n; i++)
	{
		const PdDoc *column = node->columns->u.entries[i].value;
		const PdDoc *constraints = pd_get(column, "constraints");

		for (int k = 0; k < constraints->n; k++)
			if (is_primary_key(constraints->u.items[k]))
				appendStringInfo(&names, "%s'%s'", n++ > 0 ? ", " : "", pd_get_text(column, "name"));
	}
	if (n > 1)
		pj_raise(file, entry,
				 "Primary key constraint error: (%s). Found %d columns ([%s]) with primary key constraints defined. Primary keys for multiple columns must be defined as a model level constraint.",
				 node->original_path, n, names.data);
	if (n > 0 && has_primary_key(pd_get(node->more, "constraints")))
		pj_raise(file, entry,
				 "Primary key constraint error: (%s). Primary key constraints defined at the model level and the columns level. Primary keys can be defined at the model level or the column level, not both.",
				 node->original_path);
}

/* ---------- foreign keys ---------- */

typedef void (*ForConstraint) (const PdDoc *constraint, void *arg);

static void
each_foreign_key(const PdDoc *constraints, ForConstraint use, void *arg)
{
	for (int i = 0; pd_is(constraints, PD_LIST) && i < constraints->n; i++)
		if (pd_equals(pd_get(constraints->u.items[i], "type"), "foreign_key") &&
			pd_truth(pd_get(constraints->u.items[i], "to")))
			use(constraints->u.items[i], arg);
}

/* Those of the model, then those of its columns. */
static void
each_foreign_key_of(const PdDoc *of_model, const PdDoc *columns, ForConstraint use, void *arg)
{
	each_foreign_key(of_model, use, arg);
	for (int i = 0; columns != NULL && i < columns->n; i++)
		each_foreign_key(pd_get(columns->u.entries[i].value, "constraints"), use, arg);
}

typedef struct Referring
{
	const PjFile *file;
	PjNode	   *node;
} Referring;

static void
refer(const PdDoc *constraint, void *arg)
{
	Referring  *r = arg;
	const PdDoc *to = pd_get(constraint, "to");
	bool		is_source;
	PdDoc	   *reference = pj_static_reference(pd_scalar_text(to), &is_source);

	if (reference == NULL)
		pj_raise(r->file, to->line > 0 ? to : constraint,
				 "Invalid 'ref' or 'source' syntax on foreign key constraint 'to' on model %s: %s. It must be ref('...') or source('...', '...') with names that need no rendering; another table goes into `expression`.",
				 r->node->name, pd_scalar_text(to));
	pd_append(is_source ? r->node->sources : r->node->refs, reference);
}

typedef struct Naming
{
	const PjLoad *load;
	const PjNode *node;
} Naming;

static const char *
relation_meant(const Naming *n, const char *to)
{
	bool		is_source;
	bool		disabled;
	PdDoc	   *reference = pj_static_reference(to, &is_source);
	PjNode	   *node;

	if (reference == NULL)
		return NULL;
	if (is_source)
		node = pj_find_source(n->load, pd_text(reference->u.items[0]),
							  pd_text(reference->u.items[1]), n->node->project, &disabled);
	else
		node = pj_find_ref(n->load, pd_get_text(reference, "name"),
						   pd_get_text(reference, "package"), pd_get(reference, "version"),
						   n->node->project, &disabled);
	return node != NULL ? pj_relation_text(pj_read_node(node)) : NULL;
}

static PdDoc *
named(const Naming *n, const PdDoc *constraints)
{
	PdDoc	   *result = pd_copy_top(constraints);

	for (int i = 0; i < result->n; i++)
	{
		PdDoc	   *constraint = result->u.items[i];
		const char *to = pd_get_text(constraint, "to");
		const char *relation = to != NULL ? relation_meant(n, to) : NULL;

		if (relation == NULL)
			continue;
		result->u.items[i] = constraint = pd_copy_top(constraint);
		pd_put(constraint, "to", pd_string(relation));
	}
	return result;
}

void
pj_name_foreign_keys(const PjLoad *load, const PjNode *node, PdDoc *doc)
{
	Naming		n = {load, node};
	PdDoc	   *constraints = pd_get(doc, "constraints");
	PdDoc	   *columns = pd_get(doc, "columns");

	if (pd_is(constraints, PD_LIST))
		pd_put(doc, "constraints", named(&n, constraints));
	if (!pd_is(columns, PD_DICT))
		return;
	columns = pd_copy_top(columns);
	for (int i = 0; i < columns->n; i++)
	{
		PdDoc	   *column = pd_copy_top(columns->u.entries[i].value);

		if (!pd_truth(pd_get(column, "constraints")))
			continue;
		pd_put(column, "constraints", named(&n, pd_get(column, "constraints")));
		columns->u.entries[i].value = column;
	}
	pd_put(doc, "columns", columns);
}

/* ---------- the door ---------- */

void
pj_apply_constraints(const PjFile *file, const PdDoc *entry, PjNode *node)
{
	Referring	r = {file, node};

	check_contract(file, entry, node);
	check_primary_keys(file, entry, node);
	each_foreign_key_of(pd_get(node->more, "constraints"), node->columns, refer, &r);
}
