/*
 * hooks.c
 *		on-run-start and on-run-end of a project and its packages: each hook
 *		is a node of its own, as dbt has it.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/loading.h"

static void
add_hook(PjLoad *load, PjFile *file, const char *when, int index, const PdDoc *sql)
{
	const char *name = psprintf("%s-%s-%d", file->project->name, when, index);
	const char *path = psprintf("hooks/%s.sql", name);
	PdDoc	   *fqn = pj_fqn_prefix(file->project, path);
	PjNode	   *node;

	if (pd_text(sql) == NULL)
		pj_raise(file, sql, "\"%s\" must be a text or a list of texts", when);
	pd_append(fqn, pd_string(name));
	node = pj_make_node(load, "operation", file, name, path, fqn);
	node->original_path = "./dbt_project.yml";
	node->raw_code = pd_text(sql);
	node->checksum = file->checksum;
	pd_append(node->tags, pd_string(when));
	node->more = pd_dict();
	pd_put(node->more, "index", pd_int(index));
	pj_parse_reference(load, node);
	pj_update_config(load, node);
	pj_add_node(load, node);
}

/* The file that a project's hooks stand in; it is none of the project's files. */
static PjFile *
project_file(PjProject *project)
{
	PjFile	   *file = palloc0(sizeof(PjFile));

	file->kind = PJ_OTHER;
	file->project = project;
	file->checksum = project->checksum;
	file->original = file->relative = "dbt_project.yml";
	file->path = psprintf("%sdbt_project.yml", project->prefix);
	return file;
}

void
pj_load_hooks(PjLoad *load)
{
	static const char *const whens[] = {"on-run-start", "on-run-end"};
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		PjProject  *project = lfirst(lc);

		for (int w = 0; w < lengthof(whens); w++)
		{
			PdDoc	   *hooks = pd_get(project->doc, whens[w]);

			if (pd_is_null(hooks))
				continue;
			if (hooks->kind != PD_LIST)
				add_hook(load, project_file(project), whens[w], 0, hooks);
			for (int i = 0; hooks->kind == PD_LIST && i < hooks->n; i++)
				add_hook(load, project_file(project), whens[w], i, hooks->u.items[i]);
		}
	}
}
