/*
 * node.c
 *		A node as a manifest shows it.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/node.h"
#include "project/project.h"

static bool
is_kind(const PjNode *node, const char *resource_type)
{
	return strcmp(node->resource_type, resource_type) == 0;
}

/* Nodes that have a text of their own and may become a relation. */
static bool
has_code(const PjNode *node)
{
	return is_kind(node, "model") || is_kind(node, "seed") || is_kind(node, "snapshot") ||
		is_kind(node, "test") || is_kind(node, "analysis") || is_kind(node, "function") ||
		is_kind(node, "operation") || is_kind(node, "sql_operation");
}

static bool
makes_relation(const PjNode *node)
{
	const char *materialized = pd_get_text(node->config, "materialized");

	if (is_kind(node, "test"))
		return pd_truth(pd_get(node->config, "store_failures"));
	if (is_kind(node, "model"))
		return materialized == NULL || strcmp(materialized, "ephemeral") != 0;
	return is_kind(node, "seed") || is_kind(node, "snapshot") || is_kind(node, "source");
}

/* What the node itself says of this part, or NULL. */
static PdDoc *
own_quoting(const PjNode *node, const char *part)
{
	PdDoc	   *own = pd_get(pd_get(node->config, "quoting"), part);

	if (pd_is_null(own) && is_kind(node, "source"))
		own = pd_get(pd_get(node->more, "quoting"), part);
	return pd_is_null(own) ? NULL : own;
}

/* As relation_name has it: dbt_project.yml is asked, too. */
static bool
is_named_quoted(const PjNode *node, const char *part)
{
	PdDoc	   *own = own_quoting(node, part);

	if (own == NULL)
		own = pd_get(node->project->quoting, part);
	return pd_is_null(own) || pd_truth(own);
}

/* As templates print it: source() does not ask dbt_project.yml. */
bool
pj_is_quoted(const PjNode *node, const char *part)
{
	PdDoc	   *own = own_quoting(node, part);

	return is_kind(node, "source") ? own == NULL || pd_truth(own) : is_named_quoted(node, part);
}

static void
append_part(StringInfo buf, const PjNode *node, const char *part, const char *name)
{
	if (name == NULL)
		return;
	if (buf->len > 0)
		appendStringInfoChar(buf, '.');
	if (!is_named_quoted(node, part))
	{
		appendStringInfoString(buf, name);
		return;
	}
	/* As it stands, as dbt does. */
	appendStringInfo(buf, "\"%s\"", name);
}

char *
pj_relation_text(const PjNode *node)
{
	StringInfoData buf;

	if (!makes_relation(node))
		return NULL;
	initStringInfo(&buf);
	append_part(&buf, node, "database", node->database);
	append_part(&buf, node, "schema", node->schema);
	append_part(&buf, node, "identifier", node->alias);
	return buf.data;
}

static PdDoc *
checksum_doc(const PjNode *node)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "name", pd_string(node->checksum != NULL ? "sha256" : "none"));
	pd_put(doc, "checksum", pd_string(node->checksum != NULL ? node->checksum : ""));
	return doc;
}

static PdDoc *
or_empty(PdDoc *doc, bool list)
{
	return doc != NULL ? doc : list ? pd_list() : pd_dict();
}

static void
put_code(PdDoc *doc, const PjNode *node)
{
	pd_put(doc, "alias", pd_string(node->alias));
	pd_put(doc, "checksum", checksum_doc(node));
	pd_put(doc, "docs", or_empty(node->docs, false));
	pd_put(doc, "raw_code", pd_string(node->raw_code));
	if (!is_kind(node, "seed"))
	{
		pd_put(doc, "language", pd_string("sql"));
		pd_put(doc, "functions", or_empty(node->functions, true));
	}
	pd_put(doc, "contract", or_empty(pd_get(node->config, "contract"), false));
}

static void
put_special(PdDoc *doc, const PjNode *node)
{
	if (is_kind(node, "model"))
	{
		pd_put(doc, "access", pd_string(node->access ? node->access : "protected"));
		pd_put(doc, "version", node->version ? node->version : pd_null());
		pd_put(doc, "latest_version", node->latest_version ? node->latest_version : pd_null());
	}
	if (node->test_metadata != NULL)
	{
		pd_put(doc, "test_metadata", node->test_metadata);
		pd_put(doc, "column_name", pd_string(node->column_name));
		pd_put(doc, "attached_node", pd_string(node->attached));
	}
	if (node->more != NULL)
		pd_update(doc, node->more);
}

PdDoc *
pj_node_doc(const PjNode *node)
{
	PdDoc	   *doc = pd_dict();
	PdDoc	   *depends = pd_dict();

	pd_put(doc, "database", pd_string(node->database));
	pd_put(doc, "schema", pd_string(node->schema));
	pd_put(doc, "name", pd_string(node->name));
	pd_put(doc, "resource_type", pd_string(node->resource_type));
	pd_put(doc, "package_name", pd_string(node->project->name));
	pd_put(doc, "path", pd_string(node->path));
	pd_put(doc, "original_file_path", pd_string(node->original_path));
	pd_put(doc, "unique_id", pd_string(node->unique_id));
	pd_put(doc, "fqn", or_empty(node->fqn, true));
	pd_put(doc, "config", or_empty(node->config, false));
	if (node->unrendered != NULL)
		pd_put(doc, "unrendered_config", node->unrendered);
	pd_put(doc, "tags", or_empty(node->tags, true));
	pd_put(doc, "description", pd_string(node->description ? node->description : ""));
	if (node->doc_blocks != NULL)
		pd_put(doc, "doc_blocks", node->doc_blocks);
	pd_put(doc, "columns", or_empty(node->columns, false));
	pd_put(doc, "meta", or_empty(node->meta, false));
	pd_put(doc, "group", pd_string(node->group));
	pd_put(doc, "patch_path", pd_string(node->patch_path));
	pd_put(doc, "relation_name", pd_string(pj_relation_text(node)));
	if (has_code(node))
		put_code(doc, node);
	pd_put(doc, "refs", or_empty(node->refs, true));
	pd_put(doc, "sources", or_empty(node->sources, true));
	pd_put(doc, "metrics", or_empty(node->metrics, true));
	pd_put(depends, "macros", pd_strings(node->macros));
	pd_put(depends, "nodes", pd_strings(node->depends_on));
	pd_put(doc, "depends_on", depends);
	put_special(doc, node);
	return doc;
}
