/*
 * macros.c
 *		Macros, generic tests, materializations and docs blocks by name.
 *
 * A name is looked for in the package of the node that is rendered, in the
 * root project, and among dbt's own; "package.name" in that package alone.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/host.h"
#include "project/loading.h"
#include "project/macros.h"
#include "project/scope.h"

JinjaTemplate *
pj_template(PjLoad *load, PjFile *file)
{
	if (file->tmpl == NULL)
		file->tmpl = jinja_parse_dialect(load->cxt, file->path, file->text, file->len,
										 file->kind == PJ_MACRO || file->kind == PJ_GENERIC_TEST
										 ? &dpipe_macro_dialect : &dpipe_dialect);
	return file->tmpl;
}

/* ---------- names ---------- */

static const char *
macro_key(const char *package, const char *name)
{
	return psprintf("%s.%s", package, name);
}

PjMacro *
pj_find_macro(const PjLoad *load, const char *package, const char *name)
{
	return pj_table_get(load->macros_by_name, macro_key(package, name));
}

PjMacro *
pj_macro_of_id(const PjLoad *load, const char *id)
{
	return pj_table_get(load->macros_by_name, id + strlen("macro."));
}

PjMacro *
pj_resolve_macro(const PjLoad *load, const PjProject *project, const char *name)
{
	PjMacro    *macro = pj_find_macro(load, project->name, name);

	if (macro == NULL && !project->is_root)
		macro = pj_find_macro(load, load->root->name, name);
	return macro != NULL ? macro : pj_find_macro(load, "dbt", name);
}

/* The same, and then in all packages, the last one first. */
PjMacro *
pj_any_macro(const PjLoad *load, const PjProject *project, const char *name)
{
	PjMacro    *macro = pj_resolve_macro(load, project, name);

	for (int i = list_length(load->projects); i > 0 && macro == NULL; i--)
		macro = pj_find_macro(load, ((PjProject *) list_nth(load->projects, i - 1))->name, name);
	return macro;
}

/* What one of dbt's own macros dispatches to in the project; NULL: to dbt's. */
PjMacro *
pj_dispatched_macro(const PjLoad *load, const char *name)
{
	static const char *const prefixes[] = {"postgres", "default"};
	ListCell   *lc;

	foreach(lc, pj_dispatch_order(load, "dbt"))
	{
		for (int i = 0; i < lengthof(prefixes); i++)
		{
			PjMacro    *macro = pj_find_macro(load, lfirst(lc),
											  psprintf("%s__%s", prefixes[i], name));

			if (macro != NULL)
				return macro;
		}
		if (strcmp(lfirst(lc), "dbt") == 0)
			break;
	}
	return NULL;
}

/* ---------- macros ---------- */

/* A materialization's name says for which adapter it is. */
static const char *
materialization_name(JinjaTemplate *tmpl, int i, const JinjaMacroInfo *info)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	JinjaValue *adapter = jinja_macro_option(env, NULL, tmpl, i, "adapter");
	const char *name = psprintf("materialization_%s_%s", info->name,
								adapter != NULL && jinja_kind(adapter) == JINJA_STRING
								? jinja_to_cstring(env, adapter) : "default");

	jinja_env_destroy(env);
	return name;
}

static const char *
macro_name(JinjaTemplate *tmpl, int i, const JinjaMacroInfo *info)
{
	if (strcmp(info->tag, "test") == 0 || strcmp(info->tag, "data_test") == 0)
		return psprintf("test_%s", info->name);
	if (strcmp(info->tag, "materialization") == 0)
		return materialization_name(tmpl, i, info);
	return pstrdup(info->name);
}

static void
add_macro(PjLoad *load, PjFile *file, int i)
{
	JinjaTemplate *tmpl = pj_template(load, file);
	const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);
	PjMacro    *macro;
	PjMacro    *other;

	if (strcmp(info->tag, "docs") == 0 || strcmp(info->tag, "snapshot") == 0)
		return;
	macro = palloc0(sizeof(PjMacro));
	macro->name = macro_name(tmpl, i, info);
	macro->tag = info->tag;
	macro->project = file->project;
	macro->file = file;
	macro->index = i;
	macro->unique_id = psprintf("macro.%s.%s", file->project->name, macro->name);
	other = pj_find_macro(load, file->project->name, macro->name);
	if (other != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("dbt found two macros named \"%s\" in the project \"%s\".", macro->name,
						file->project->name),
				 errdetail("They are in %s and %s.", other->file->path, file->path),
				 errhint("Rename or remove one of them.")));
	pj_table_put(load->macros_by_name, macro_key(file->project->name, macro->name), macro);
	load->macros = lappend(load->macros, macro);
}

/* ---------- docs blocks ---------- */

static void
add_doc(PjLoad *load, PjFile *file, const JinjaMacroInfo *info)
{
	PjDoc	   *doc = palloc0(sizeof(PjDoc));
	int			len;
	char	   *text;

	doc->name = pstrdup(info->name);
	doc->unique_id = psprintf("doc.%s.%s", file->project->name, info->name);
	doc->file = file;
	text = pj_render_description(load, file->project, pnstrdup(info->body, info->body_len), file);
	len = strlen(text);
	text = (char *) pj_strip(text, &len);
	doc->text = pnstrdup(text, len);
	load->docs = lappend(load->docs, doc);
}

/* Is this a tag of the name: {% docs ... or {%- docs ... */
static bool
is_tag(const char *p, const char *name)
{
	int			len = strlen(name);

	if (strncmp(p, "{%", 2) != 0)
		return false;
	p += 2;
	p += *p == '-' || *p == '+' ? 1 : 0;
	p += strspn(p, " \t\r\n");
	return strncmp(p, name, len) == 0 && !isalnum((unsigned char) p[len]) && p[len] != '_';
}

/*
 * Behind what begins here and is no block: a comment, or what is raw. "open" is
 * set when one is never closed: the same then holds for all that come, and a
 * file of nothing else is not searched again and again.
 */
static const char *
behind_text(const char *p, bool *open)
{
	const char *end = NULL;

	if (*open)
		return p + 1;
	if (strncmp(p, "{#", 2) == 0)
	{
		end = strstr(p + 2, "#}");
		*open = end == NULL;
		return end != NULL ? end + 2 : p + 1;
	}
	if (!is_tag(p, "raw"))
		return p + 1;
	for (end = p + 2; *end && !is_tag(end, "endraw"); end++)
		;
	*open = *end == '\0';
	return *end ? end : p + 1;
}

/* A file's docs blocks, each at its line: what is around them may be anything. */
static char *
docs_alone(const char *text)
{
	char	   *result = pstrdup(text);
	const char *p = text;
	bool		open[2] = {false, false};	/* comments, what is raw */

	while (*p)
	{
		const char *start = p;

		CHECK_FOR_INTERRUPTS();
		if (is_tag(p, "docs"))
		{
			while (*p && !is_tag(p, "enddocs"))
				p++;
			if (*p && strstr(p, "%}") != NULL)
				p = strstr(p, "%}") + 2;
			continue;
		}
		for (p = behind_text(p, &open[p[1] == '#' ? 0 : 1]); start < p; start++)
			if (result[start - text] != '\n')
				result[start - text] = ' ';
	}
	return result;
}

static void
load_docs(PjLoad *load, PjFile *file)
{
	JinjaTemplate *tmpl;
	char	   *text;

	if (strstr(file->text, "{%") == NULL)
		return;
	text = docs_alone(file->text);
	tmpl = jinja_parse_dialect(load->cxt, file->path, text, strlen(text), &dpipe_dialect);
	file->tmpl = tmpl;
	for (int i = 0; i < jinja_template_macros(tmpl); i++)
	{
		const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);

		if (strcmp(info->tag, "docs") == 0)
			add_doc(load, file, info);
	}
}

void
pj_load_macros(PjLoad *load)
{
	ListCell   *lc;

	load->macros_by_name = pj_table("dpipe macros");
	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (file->kind == PJ_DOCS)
			load_docs(load, file);
		if (file->kind != PJ_MACRO && file->kind != PJ_GENERIC_TEST)
			continue;
		for (int i = 0; i < jinja_template_macros(pj_template(load, file)); i++)
			add_macro(load, file, i);
	}
}

/* End tags that end nothing, which dbt skips too. */
void
pj_warn_strays(const PjLoad *load)
{
	ListCell   *lc;

	foreach(lc, load->files)
	{
		const PjFile *file = lfirst(lc);
		const char *tag;
		int			line;

		for (int i = 0; file->tmpl != NULL &&
			 (tag = jinja_template_stray(file->tmpl, i, &line)) != NULL; i++)
			ereport(WARNING,
					(errmsg("%s: Found unexpected '%s' block tag.", file->path, tag),
					 errdetail("Line %d.", line)));
	}
}
