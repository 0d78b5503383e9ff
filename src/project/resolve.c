/*
 * resolve.c
 *		Names become nodes, and rules between nodes are checked: what is
 *		referred to exists, is enabled and may be referred to; no two nodes
 *		make one relation; nothing depends on itself.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/loading.h"
#include "project/node.h"

/* ---------- looking for a node ---------- */

static bool
is_kind(const PjNode *node, const char *resource_type)
{
	return strcmp(node->resource_type, resource_type) == 0;
}

static bool
can_be_referred_to(const PjNode *node)
{
	return is_kind(node, "model") || is_kind(node, "seed") || is_kind(node, "snapshot");
}

/* Without a version the latest is meant. */
static bool
has_version(const PjNode *node, const PdDoc *version)
{
	if (!pd_truth(version))
		return node->version == NULL || pd_equal(node->version, node->latest_version);
	return node->version != NULL &&
		strcmp(pd_scalar_text(node->version), pd_scalar_text(version)) == 0;
}

typedef bool (*NodeTest) (const PjNode *node, const void *arg);

static PjNode *
find_in(const PjLoad *load, const char *name, const char *package, NodeTest fits, const void *arg,
		bool *disabled)
{
	ListCell   *lc;

	foreach(lc, (List *) pj_table_get(load->by_name, name))
	{
		PjNode	   *node = lfirst(lc);

		if (package != NULL && strcmp(node->project->name, package) != 0)
			continue;
		if (!fits(pj_read_node(node), arg))
			continue;
		if (node->enabled)
			return node;
		*disabled = true;
	}
	return NULL;
}

/* In the root project, in that of the node that asks, anywhere. */
static PjNode *
search(const PjLoad *load, const char *name, const char *package, const PjProject *from,
	   NodeTest fits, const void *arg, bool *disabled)
{
	PjNode	   *node;

	*disabled = false;
	if (package != NULL)
		return find_in(load, name, package, fits, arg, disabled);
	node = find_in(load, name, load->root->name, fits, arg, disabled);
	if (node == NULL && !from->is_root)
		node = find_in(load, name, from->name, fits, arg, disabled);
	return node != NULL ? node : find_in(load, name, NULL, fits, arg, disabled);
}

static bool
fits_ref(const PjNode *node, const void *version)
{
	return can_be_referred_to(node) && has_version(node, version);
}

PjNode *
pj_find_ref(const PjLoad *load, const char *name, const char *package, const PdDoc *version,
			const PjProject *from, bool *disabled)
{
	return search(load, name, package, from, fits_ref, version, disabled);
}

static bool
fits_source(const PjNode *node, const void *source)
{
	return is_kind(node, "source") && pd_equals(pd_get(node->more, "source_name"), source);
}

PjNode *
pj_find_source(const PjLoad *load, const char *source, const char *table, const PjProject *from,
			   bool *disabled)
{
	return search(load, table, NULL, from, fits_source, source, disabled);
}

static bool
fits_kind(const PjNode *node, const void *resource_type)
{
	return is_kind(node, resource_type);
}

PjNode *
pj_find_function(const PjLoad *load, const char *name, const char *package,
				 const PjProject *from, bool *disabled)
{
	return search(load, name, package, from, fits_kind, "function", disabled);
}

/* ---------- references ---------- */

static void
depend(PjNode *node, PjNode *on)
{
	ListCell   *lc;

	foreach(lc, node->depends_on)
	{
		if (strcmp(lfirst(lc), on->unique_id) == 0)
			return;
	}
	node->depends_on = lappend(node->depends_on, (void *) on->unique_id);
}

/* A test of something that is not there is no error: it is left out. */
static void
not_found(PjNode *node, const char *kind, const char *name, const char *package,
		  const PdDoc *version, bool disabled)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%c%s '%s' (%s) depends on a %s named '%s'",
					 pg_toupper((unsigned char) node->resource_type[0]), node->resource_type + 1,
					 node->unique_id, node->original_path, kind, name);
	if (pd_truth(version))
		appendStringInfo(&buf, " with version '%s'", pd_scalar_text(version));
	if (package != NULL)
		appendStringInfo(&buf, " in package or project '%s'", package);
	appendStringInfo(&buf, " which %s", disabled ? "is disabled" : "was not found");
	if (!is_kind(node, "test"))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s", buf.data)));
	node->enabled = false;
	pd_put(node->config, "enabled", pd_bool(false));
	if (node->more == NULL)
		node->more = pd_dict();
	pd_put(node->more, "unresolved", pd_bool(true));
	if (!disabled)
		ereport(WARNING, (errmsg("%s", buf.data)));
}

static bool
restricts_access(const PjProject *project)
{
	return pd_truth(pd_get(project->doc, "restrict-access"));
}

static void
check_access(const PjNode *node, const PjNode *target)
{
	bool		foreign = node->project != target->project && restricts_access(target->project);
	bool		private_ref;
	bool		protected_ref;

	if (!is_kind(target, "model"))
		return;
	private_ref = strcmp(target->access, "private") == 0 &&
		(node->group == NULL || target->group == NULL || strcmp(node->group, target->group) != 0 ||
		 foreign);
	protected_ref = strcmp(target->access, "protected") == 0 && foreign;
	if (!private_ref && !protected_ref)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("Node %s attempted to reference node %s, which is not allowed because the referenced node is %s to the '%s' %s.",
					node->unique_id, target->unique_id, target->access,
					private_ref ? (target->group ? target->group : "") : target->project->name,
					private_ref ? "group" : "package")));
}

static void
resolve_refs(PjLoad *load, PjNode *node)
{
	for (int i = 0; i < node->refs->n; i++)
	{
		PdDoc	   *ref = node->refs->u.items[i];
		const char *name = pd_get_text(ref, "name");
		const char *package = pd_get_text(ref, "package");
		PdDoc	   *version = pd_get(ref, "version");
		bool		disabled;
		PjNode	   *target = pj_find_ref(load, name, package, version, node->project, &disabled);

		if (target == NULL && !disabled)
			target = pj_find_own(load, name, package, version, &disabled);
		if (target == NULL)
		{
			not_found(node, "node", name, package, version, disabled);
			continue;
		}
		check_access(node, target);
		depend(node, target);
	}
}

static void
resolve_sources(PjLoad *load, PjNode *node)
{
	for (int i = 0; i < node->sources->n; i++)
	{
		PdDoc	   *pair = node->sources->u.items[i];
		const char *source = pd_text(pair->u.items[0]);
		const char *table = pd_text(pair->u.items[1]);
		bool		disabled;
		PjNode	   *target = pj_find_source(load, source, table, node->project, &disabled);

		if (target == NULL)
			not_found(node, "source", psprintf("%s.%s", source, table), NULL, NULL, disabled);
		else
			depend(node, target);
	}
}

static PjNode *
find_metric(PjLoad *load, PjNode *node, const char *name, const char *package)
{
	bool		disabled;
	PjNode	   *target = search(load, name, package, node->project, fits_kind, "metric",
								&disabled);

	if (target == NULL)
		not_found(node, "metric", name, package, NULL, disabled);
	return target;
}

static void
resolve_metrics(PjLoad *load, PjNode *node)
{
	for (int i = 0; i < node->metrics->n; i++)
	{
		PdDoc	   *names = node->metrics->u.items[i];
		PjNode	   *target;

		if (names->n < 1 || pd_text(names->u.items[names->n - 1]) == NULL)
			continue;
		target = find_metric(load, node, pd_text(names->u.items[names->n - 1]),
							 names->n > 1 ? pd_text(names->u.items[0]) : NULL);
		if (target != NULL)
			depend(node, target);
	}
}

static void
resolve_functions(PjLoad *load, PjNode *node)
{
	for (int i = 0; node->functions != NULL && i < node->functions->n; i++)
	{
		PdDoc	   *names = node->functions->u.items[i];
		const char *name = pd_text(names->u.items[names->n - 1]);
		const char *package = names->n > 1 ? pd_text(names->u.items[0]) : NULL;
		bool		disabled;
		PjNode	   *target = pj_find_function(load, name, package, node->project, &disabled);

		if (target == NULL)
			not_found(node, "function", name, package, NULL, disabled);
		else
			depend(node, target);
	}
}

/* ---------- metrics ---------- */

static const char *
name_in(const PdDoc *value)
{
	return pd_text(value) != NULL ? pd_text(value) : pd_get_text(value, "name");
}

static void
depend_on_measure(PjLoad *load, PjNode *metric, const char *measure)
{
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		PdDoc	   *measures = is_kind(node, "semantic_model") ? pd_get(node->more, "measures") : NULL;

		for (int i = 0; pd_is(measures, PD_LIST) && i < measures->n; i++)
			if (node->enabled && pd_equals(pd_get(measures->u.items[i], "name"), measure))
			{
				depend(metric, node);
				return;
			}
	}
	pj_raise(metric->file, NULL,
			 "A semantic model having a measure `%s` does not exist but was referenced by metric `%s`.",
			 measure, metric->name);
}

static void
depend_on_measure_of(PjLoad *load, PjNode *metric, const PdDoc *params, const char *key)
{
	const char *measure = name_in(pd_get(params, key));

	if (measure != NULL)
		depend_on_measure(load, metric, measure);
}

static void
depend_on_metric_of(PjLoad *load, PjNode *metric, const PdDoc *value)
{
	const char *name = name_in(value);
	PjNode	   *target = name != NULL ? find_metric(load, metric, name, NULL) : NULL;

	if (target != NULL)
		depend(metric, target);
}

static void
check_metric(const PjNode *metric, const char *type, const PdDoc *params)
{
	if ((strcmp(type, "simple") == 0 || strcmp(type, "cumulative") == 0) &&
		pd_is_null(pd_get(params, "measure")))
		pj_raise(metric->file, NULL, "metric '%s' should have a measure defined, but it does not.",
				 metric->name);
	if (strcmp(type, "conversion") == 0 && pd_is_null(pd_get(params, "conversion_type_params")))
		pj_raise(metric->file, NULL,
				 "%s is a conversion metric and must have conversion_type_params defined.",
				 metric->name);
	if (strcmp(type, "ratio") == 0 && (pd_is_null(pd_get(params, "numerator")) ||
									   pd_is_null(pd_get(params, "denominator"))))
		pj_raise(metric->file, NULL,
				 "Invalid ratio metric '%s'. Both a numerator and denominator must be specified",
				 metric->name);
}

static void
resolve_metric(PjLoad *load, PjNode *metric)
{
	PdDoc	   *params = pd_get(metric->more, "type_params");
	PdDoc	   *conversion = pd_get(params, "conversion_type_params");
	PdDoc	   *inputs = pd_get(params, "metrics");

	check_metric(metric, pd_get_text(metric->more, "type"), params);
	depend_on_measure_of(load, metric, params, "measure");
	depend_on_measure_of(load, metric, conversion, "base_measure");
	depend_on_measure_of(load, metric, conversion, "conversion_measure");
	depend_on_metric_of(load, metric, pd_get(params, "numerator"));
	depend_on_metric_of(load, metric, pd_get(params, "denominator"));
	for (int i = 0; pd_is(inputs, PD_LIST) && i < inputs->n; i++)
		depend_on_metric_of(load, metric, inputs->u.items[i]);
}

/* ---------- unit tests ---------- */

static bool
is_listed(const PdDoc *list, const PdDoc *version)
{
	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		if (pd_equal(list->u.items[i], version))
			return true;
	return false;
}

/* Is it meant by {include: a list} or {exclude: a list}? Nothing at all means all. */
static bool
is_version_tested(const PdDoc *versions, const PdDoc *version)
{
	if (pd_is_null(versions))
		return true;
	if (pd_truth(pd_get(versions, "exclude")))
		return !is_listed(pd_get(versions, "exclude"), version);
	return is_listed(pd_get(versions, "include"), version);
}

static PjNode *
copy_for_version(PjLoad *load, const PjNode *test, const PjNode *model)
{
	PjNode	   *copy = palloc(sizeof(PjNode));
	const char *v = pd_scalar_text(model->version);

	*copy = *test;
	copy->unique_id = psprintf("%s_v%s", test->unique_id, v);
	copy->version = model->version;
	copy->fqn = pd_copy_top(test->fqn);
	copy->depends_on = NIL;
	copy->more = pd_copy_top(test->more);
	pd_put(copy->more, "version", model->version);
	return copy;
}

/* "name", or "name version"; one that is disabled if there is no other. */
static PjNode *
tested_model(const PjLoad *load, const PjNode *test)
{
	char	   *name = pstrdup(pd_get_text(test->more, "model"));
	char	   *space = strchr(name, ' ');
	PdDoc	   *version = space != NULL ? pd_string(space + 1) : NULL;
	PjNode	   *found = NULL;
	ListCell   *lc;

	if (space != NULL)
		*space = '\0';
	foreach(lc, (List *) pj_table_get(load->by_name, name))
	{
		PjNode	   *node = lfirst(lc);

		if (node->project == test->project && fits_ref(node, version) &&
			(found == NULL || node->enabled))
			found = node;
	}
	if (found == NULL || !is_kind(found, "model"))
		pj_raise(test->file, NULL,
				 "Unable to find model '%s.%s' for unit test '%s' in %s", test->project->name,
				 pd_get_text(test->more, "model"), test->name, test->original_path);
	return found;
}

static bool
has_input_this(const PjNode *test)
{
	const PdDoc *given = pd_get(test->more, "given");

	for (int i = 0; i < given->n; i++)
		if (pd_equals(pd_get(given->u.items[i], "input"), "this"))
			return true;
	return false;
}

static void
check_incremental(const PjNode *test, const PjNode *model)
{
	const PdDoc *override = pd_get(pd_get(pd_get(test->more, "overrides"), "macros"),
								   "is_incremental");
	ListCell   *lc;

	foreach(lc, model->macros)
	{
		if (strcmp(lfirst(lc), "macro.dbt.is_incremental") != 0)
			continue;
		if (!pd_is(override, PD_BOOL))
			pj_raise(test->file, NULL,
					 "Boolean override for 'is_incremental' must be provided for unit test '%s' in model '%s': overrides: {macros: {is_incremental: true}}, or false",
					 test->name, model->name);
		if (override->u.boolean && !has_input_this(test))
			pj_raise(test->file, NULL,
					 "Unit test '%s' for incremental model '%s' must have a 'this' input", test->name,
					 model->name);
	}
}

/* A unit test of a model with versions is one for each that it is for. */
static void
test_versions(PjLoad *load, PjNode *test, const PjNode *model)
{
	const PdDoc *versions = pd_get(test->more, "versions");
	const PjNode whole = *test;
	ListCell   *lc;

	foreach(lc, list_copy(pj_table_get(load->by_name, model->name)))
	{
		PjNode	   *one = lfirst(lc);
		PjNode	   *own;

		if (!is_kind(one, "model") || one->project != test->project || !one->enabled ||
			one->version == NULL || !is_version_tested(versions, one->version))
			continue;
		own = copy_for_version(load, &whole, one);
		own->schema = one->schema;
		own->group = one->group;
		depend(own, one);
		load->nodes = lappend(load->nodes, own);
		test->enabled = false;
		test->unique_id = NULL;
	}
	if (test->unique_id != NULL)
		pj_raise(test->file, NULL,
				 "Unit test '%s' referenced a version of '%s' which was not found.", test->name,
				 model->name);
}

static void
resolve_unit_test(PjLoad *load, PjNode *test)
{
	const PdDoc *versions = pd_get(test->more, "versions");
	PjNode	   *model = tested_model(load, test);

	if (!model->enabled)
	{
		test->enabled = false;
		test->config = pd_copy_top(test->config);
		pd_put(test->config, "enabled", pd_bool(false));
		return;
	}
	check_incremental(test, model);
	if (model->version != NULL)
	{
		test_versions(load, test, model);
		return;
	}
	if (pd_truth(pd_get(versions, "include")) || pd_truth(pd_get(versions, "exclude")))
		pj_raise(test->file, NULL,
				 "Unit test '%s' should not have a versions include or exclude when referencing non-versioned model '%s'",
				 test->name, model->name);
	test->schema = model->schema;
	test->group = model->group;
	depend(test, model);
}

/* ---------- rules ---------- */

/* A source is known by both of its names. */
static const char *
shown_name(const PjNode *node)
{
	if (is_kind(node, "source"))
		return psprintf("%s_%s", pd_get_text(node->more, "source_name"), node->name);
	return node->name;
}

static void
index_nodes(PjLoad *load)
{
	ListCell   *lc;

	load->by_id = pj_table("dpipe nodes");
	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		PjNode	   *other;

		if (!node->enabled || node->unique_id == NULL)
			continue;
		other = pj_table_get(load->by_id, node->unique_id);
		if (other != NULL)
			pj_raise_twice(node->resource_type, shown_name(node), other->unique_id, other->file,
						   node->unique_id, node->file);
		pj_table_put(load->by_id, node->unique_id, node);
	}
}

static void
check_groups(PjLoad *load)
{
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		bool		known = node->group == NULL || is_kind(node, "exposure") ||
			is_kind(node, "function");

		for (int i = 0; !known && i < load->groups->n; i++)
			known = pd_equals(pd_get(load->groups->u.entries[i].value, "name"), node->group);
		if (!known && node->enabled)
			pj_raise(node->file, NULL, "Invalid group '%s' of %s", node->group, node->unique_id);
	}
}

/* Both a text and columns; an ephemeral model cannot be public. */
static void
check_node(const PjNode *node)
{
	const char *materialized = pd_get_text(node->config, "materialized");

	if (is_kind(node, "model") && strcmp(node->access, "public") == 0 && materialized != NULL &&
		strcmp(materialized, "ephemeral") == 0)
		pj_raise(node->file, NULL,
				 "Node %s with 'ephemeral' materialization has an invalid value (public) for the access field",
				 node->unique_id);
}

/* Unless a flag says otherwise, names have no spaces. */
static void
check_spaces(const PjLoad *load)
{
	PdDoc	   *flag = pd_get(load->flags, "require_resource_names_without_spaces");
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if (node->enabled && node->unique_id != NULL && strchr(node->name, ' ') != NULL &&
			(can_be_referred_to(node) || is_kind(node, "test") || is_kind(node, "analysis")))
			appendStringInfo(&names, "%s'%s' (%s)", names.len > 0 ? ", " : "", node->unique_id,
							 node->original_path);
	}
	if (names.len > 0 && (flag == NULL || pd_truth(flag)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("Resource names cannot contain spaces."),
				 errdetail("They are %s.", names.data),
				 errhint("Rename them so that their names do not contain any spaces.")));
}

/* ---------- cycles ---------- */

static void
walk(PjLoad *load, PjNode *node, HTAB *state, List *path)
{
	void	   *mark = pj_table_get(state, node->unique_id);
	ListCell   *lc;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (mark == node)
		return;
	if (mark != NULL)
	{
		StringInfoData buf;
		bool		inside = false;

		initStringInfo(&buf);
		foreach(lc, path)
		{
			inside |= lfirst(lc) == node;
			if (inside)
				appendStringInfo(&buf, "%s --> ", ((PjNode *) lfirst(lc))->unique_id);
		}
		ereport(ERROR, (errcode(ERRCODE_INVALID_RECURSION),
						errmsg("Found a cycle: %s%s", buf.data, node->unique_id)));
	}
	pj_table_put(state, node->unique_id, state);
	path = lappend(path, node);
	foreach(lc, node->depends_on)
	{
		PjNode	   *parent = pj_table_get(load->by_id, lfirst(lc));

		if (parent != NULL)
			walk(load, parent, state, path);
	}
	path = list_delete_last(path);
	pj_table_put(state, node->unique_id, node);
}

static void
check_cycles(PjLoad *load)
{
	HTAB	   *state = pj_table("dpipe walk");
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);

		if (node->enabled && node->unique_id != NULL)
			walk(load, node, state, NIL);
	}
}

/* ---------- descriptions ---------- */

/* Of what a semantic model is made of. */
static void
render_elements(PjLoad *load, PjNode *node)
{
	static const char *const keys[] = {"dimensions", "measures", "entities"};

	for (int k = 0; k < lengthof(keys); k++)
	{
		PdDoc	   *elements = pd_get(node->more, keys[k]);

		for (int i = 0; pd_is(elements, PD_LIST) && i < elements->n; i++)
		{
			const char *description = pd_get_text(elements->u.items[i], "description");

			if (description != NULL && strchr(description, '{') != NULL)
				pd_put(elements->u.items[i], "description",
					   pd_string(pj_render_description(load, node->project, description,
													   node->file)));
		}
	}
}

static void
render_descriptions(PjLoad *load, PjNode *node)
{
	if (node->description != NULL)
	{
		if (strchr(node->description, '{') != NULL)
			node->doc_blocks = pj_doc_blocks(load, node->project, node->description);
		node->description = pj_render_description(load, node->project, node->description,
												  node->file);
	}
	for (int i = 0; node->columns != NULL && i < node->columns->n; i++)
	{
		PdDoc	   *column = node->columns->u.entries[i].value;
		const char *description = pd_get_text(column, "description");

		if (description == NULL || strchr(description, '{') == NULL)
			continue;
		pd_put(column, "doc_blocks", pj_doc_blocks(load, node->project, description));
		pd_put(column, "description",
			   pd_string(pj_render_description(load, node->project, description, node->file)));
	}
	if (is_kind(node, "source") && pd_get_text(node->more, "source_description") != NULL)
		pd_put(node->more, "source_description",
			   pd_string(pj_render_description(load, node->project,
											   pd_get_text(node->more, "source_description"),
											   node->file)));
	if (is_kind(node, "semantic_model"))
		render_elements(load, node);
}

/* ---------- the door ---------- */

void
pj_resolve(PjLoad *load)
{
	List	   *nodes = list_copy(load->nodes);
	ListCell   *lc;

	foreach(lc, nodes)
	{
		PjNode	   *node = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (node->unnamed)
			pj_name_relation(load, node);
	}
	foreach(lc, nodes)
	{
		PjNode	   *node = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		node->unrendered = pj_unrendered_config(load, node);
		pj_check_config(node);
		if (is_kind(node, "unit_test"))
			pj_fill_fixtures(load, node);
		pj_parse_hooks(load, node);
		if (!node->enabled)
			continue;
		check_node(node);
		if (is_kind(node, "snapshot"))
			pj_check_snapshot(node);
		resolve_refs(load, node);
		resolve_sources(load, node);
		resolve_metrics(load, node);
		resolve_functions(load, node);
		if (is_kind(node, "metric"))
			resolve_metric(load, node);
		else if (is_kind(node, "unit_test"))
			resolve_unit_test(load, node);
		render_descriptions(load, node);
	}
	index_nodes(load);
	check_groups(load);
	check_spaces(load);
	pj_check_microbatch(load);
	pj_check_unique(load);
	pj_check_own(load);
	check_cycles(load);
}
