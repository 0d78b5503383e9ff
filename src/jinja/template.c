/*
 * template.c
 *		Parsed templates: the session's cache, and what a host can ask about
 *		one without running it.
 *
 * The cache is keyed by name, dialect and text; the text is compared in full
 * after its checksum. Templates are dropped, the longest unused first, only
 * while the session has no environment: whatever points into one lives in an
 * environment. So the limit can be passed while many are in use at once.
 */
#include "base/compat.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "jinja/jinja_internal.h"

/* ---------- the cache ---------- */

typedef struct CacheEntry
{
	JinjaTemplate *tmpl;		/* its memory holds the entry, too */
	uint64		checksum;
	const char *text;			/* as it was given */
	int			len;
	Size		size;
	dlist_node	lru;
	dlist_node	bucket;
} CacheEntry;

#define CACHE_BUCKETS 1024

static MemoryContext cache_cxt = NULL;
static dlist_head *cache_buckets;
static dlist_head cache_lru;	/* used last first */
static Size cache_size = 0;

static void
make_cache(void)
{
	MemoryContext cxt = AllocSetContextCreate(TopMemoryContext,
											  "dpipe templates",
											  ALLOCSET_DEFAULT_SIZES);

	cache_buckets = MemoryContextAlloc(cxt,
									   CACHE_BUCKETS * sizeof(dlist_head));
	for (int i = 0; i < CACHE_BUCKETS; i++)
		dlist_init(&cache_buckets[i]);
	dlist_init(&cache_lru);
	cache_cxt = cxt;
}

static void
drop_entry(CacheEntry *e)
{
	cache_size -= e->size;
	dlist_delete(&e->lru);
	dlist_delete(&e->bucket);
	jinja_template_free(e->tmpl);
}

/* Called when the last environment is gone. */
void
jn_trim_cache(void)
{
	Size		limit = (Size) dpipe_jinja_cache_kb * 1024;

	while (cache_cxt != NULL && cache_size > limit &&
		   !dlist_is_empty(&cache_lru))
		drop_entry(dlist_tail_element(CacheEntry, lru, &cache_lru));
}

static JinjaTemplate *
enter(uint64 checksum, const char *name, const char *text, int len,
	  const JinjaDialect *dialect)
{
	/* Under the caller's context until it is in the table. */
	JinjaTemplate *tmpl = jinja_parse_dialect(CurrentMemoryContext, name, text,
											  len, dialect);
	CacheEntry *e = MemoryContextAlloc(tmpl->cxt, sizeof(CacheEntry));
	char	   *kept = MemoryContextAllocExtended(tmpl->cxt, len + 1,
												  MCXT_ALLOC_HUGE);

	memcpy(kept, text, len);
	kept[len] = '\0';
	e->tmpl = tmpl;
	e->checksum = checksum;
	e->text = kept;
	e->len = len;
	e->size = MemoryContextMemAllocated(tmpl->cxt, true);
	cache_size += e->size;
	dlist_push_head(&cache_lru, &e->lru);
	dlist_push_head(&cache_buckets[checksum % CACHE_BUCKETS], &e->bucket);
	MemoryContextSetParent(tmpl->cxt, cache_cxt);
	return tmpl;
}

JinjaTemplate *
jinja_cached_template(const char *name, const char *text, int len,
					  const JinjaDialect *dialect)
{
	uint64		checksum = hash_bytes_extended((const unsigned char *) text,
											   len, 0);
	dlist_iter	it;

	if (cache_cxt == NULL)
		make_cache();
	dlist_foreach(it, &cache_buckets[checksum % CACHE_BUCKETS])
	{
		CacheEntry *e = dlist_container(CacheEntry, bucket, it.cur);

		if (e->checksum == checksum && e->len == len &&
			e->tmpl->dialect == dialect &&
			strcmp(e->tmpl->name, name) == 0 &&
			memcmp(e->text, text, len) == 0)
		{
			dlist_move_head(&cache_lru, &e->lru);
			return e->tmpl;
		}
	}
	return enter(checksum, name, text, len, dialect);
}

/* ---------- macros ---------- */

static const char **
names(JinjaValue **values, int n)
{
	const char **result = palloc((n + 1) * sizeof(char *));

	for (int i = 0; i < n; i++)
		result[i] = values[i]->u.string.data;
	return result;
}

static void
describe(JinjaMacroInfo *info, const JnNode *node)
{
	const JnMacroDef *def = &node->u.macro;

	info->tag = def->tag;
	info->name = def->name->u.string.data;
	info->nparams = def->nparams;
	info->nrequired = def->nparams - def->defaults.n;
	info->params = names(def->params, def->nparams);
	info->types = def->types;
	info->uses_varargs = def->uses_varargs;
	info->uses_kwargs = def->uses_kwargs;
	info->line = node->line;
	info->column = node->col;
	info->text = def->start;
	info->text_len = def->end - def->start;
	info->body = def->body_start;
	info->body_len = def->body_end - def->body_start;
}

/* Called once, in the template's memory. */
void
jn_list_macros(JinjaTemplate *tmpl)
{
	int			n = 0;

	for (int i = 0; i < tmpl->body.n; i++)
		n += tmpl->body.items[i]->type == JN_MACRO ||
			tmpl->body.items[i]->type == JN_BLOCK;
	tmpl->macros = palloc((n + 1) * sizeof(JnNode *));
	tmpl->infos = palloc0((n + 1) * sizeof(JinjaMacroInfo));
	for (int i = 0; i < tmpl->body.n; i++)
	{
		JnNode	   *node = tmpl->body.items[i];

		if (node->type != JN_MACRO && node->type != JN_BLOCK)
			continue;
		tmpl->macros[tmpl->nmacros] = node;
		describe(&tmpl->infos[tmpl->nmacros], node);
		tmpl->nmacros++;
	}
}

const char *
jinja_template_stray(const JinjaTemplate *tmpl, int i, int *line)
{
	if (i >= tmpl->strays.n)
		return NULL;
	*line = tmpl->strays.items[i]->line;
	return tmpl->strays.items[i]->u.value->u.string.data;
}

int
jinja_template_macros(const JinjaTemplate *tmpl)
{
	return tmpl->nmacros;
}

const JinjaMacroInfo *
jinja_template_macro(const JinjaTemplate *tmpl, int i)
{
	Assert(i >= 0 && i < tmpl->nmacros);
	return &tmpl->infos[i];
}

/* ---------- calls ---------- */

typedef struct CallWalk
{
	void		(*visit) (const JinjaCallInfo *call, void *arg);
	void	   *arg;
} CallWalk;

static void walk(CallWalk *w, const JnNode *node);

static void
walk_list(CallWalk *w, const JnNodeList *list)
{
	for (int i = 0; i < list->n; i++)
		walk(w, list->items[i]);
}

static void
walk_args(CallWalk *w, const JnCallArgs *args)
{
	walk_list(w, &args->args);
	walk_list(w, &args->kwvalues);
	walk(w, args->star);
	walk(w, args->starstar);
}

static void
walk_macro(CallWalk *w, const JnMacroDef *def)
{
	walk_list(w, &def->defaults);
	walk_list(w, &def->options);
	walk_list(w, &def->body);
}

/* The texts of string constants, NULL for other expressions. */
static const char **
constants(const JnNodeList *list)
{
	const char **result = palloc0((list->n + 1) * sizeof(char *));

	for (int i = 0; i < list->n; i++)
	{
		const JnNode *node = list->items[i];

		if (node->type == JN_CONST && node->u.value->kind == JINJA_STRING)
			result[i] = node->u.value->u.string.data;
	}
	return result;
}

static void
report_call(CallWalk *w, const JnNode *node)
{
	const JnNode *callee = node->u.call.callee;
	const JnCallArgs *args = &node->u.call.args;
	JinjaCallInfo info = {0};

	if (callee->type == JN_GETATTR &&
		callee->u.attr.object->type == JN_NAME)
	{
		info.object = callee->u.attr.object->u.value->u.string.data;
		info.name = callee->u.attr.name->u.string.data;
	}
	else if (callee->type == JN_NAME)
		info.name = callee->u.value->u.string.data;
	else
		return;
	info.nargs = args->args.n;
	info.args = constants(&args->args);
	info.nkwargs = args->kwvalues.n;
	info.kwnames = names(args->kwnames, args->kwvalues.n);
	info.kwvalues = constants(&args->kwvalues);
	info.line = node->line;
	info.column = node->col;
	w->visit(&info, w->arg);
}

static void
walk_statement(CallWalk *w, const JnNode *node)
{
	switch (node->type)
	{
		case JN_OUTPUT:
			walk_list(w, &node->u.list);
			break;
		case JN_DO:
			walk(w, node->u.operand);
			break;
		case JN_IF:
			walk_list(w, &node->u.branch.tests);
			for (int i = 0; i < node->u.branch.tests.n; i++)
				walk_list(w, &node->u.branch.bodies[i]);
			walk_list(w, &node->u.branch.orelse);
			break;
		case JN_FOR:
			walk(w, node->u.loop.iter);
			walk(w, node->u.loop.test);
			walk_list(w, &node->u.loop.body);
			walk_list(w, &node->u.loop.orelse);
			break;
		case JN_SET:
		case JN_SET_BLOCK:
			walk(w, node->u.assign.value);
			walk_list(w, &node->u.assign.body);
			break;
		case JN_MACRO:
		case JN_BLOCK:
			walk_macro(w, &node->u.macro);
			break;
		case JN_CALL_BLOCK:
			walk(w, node->u.callblock.call);
			walk_macro(w, &node->u.callblock.caller);
			break;
		case JN_FILTER_BLOCK:
			walk(w, node->u.filterblock.filter);
			walk_list(w, &node->u.filterblock.body);
			break;
		case JN_WITH:
			walk_list(w, &node->u.with.values);
			walk_list(w, &node->u.with.body);
			break;
		default:
			break;				/* text, names, constants, break, continue */
	}
}

/* "node" may be NULL. */
static void
walk(CallWalk *w, const JnNode *node)
{
	if (node == NULL)
		return;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	switch (node->type)
	{
		case JN_TUPLE:
		case JN_LIST:
		case JN_CONCAT:
			walk_list(w, &node->u.list);
			break;
		case JN_DICT:
			walk_list(w, &node->u.dict.keys);
			walk_list(w, &node->u.dict.values);
			break;
		case JN_GETATTR:
			walk(w, node->u.attr.object);
			break;
		case JN_GETITEM:
			walk(w, node->u.item.object);
			walk(w, node->u.item.index);
			break;
		case JN_SLICE:
			walk(w, node->u.slice.start);
			walk(w, node->u.slice.stop);
			walk(w, node->u.slice.step);
			break;
		case JN_CALL:
			report_call(w, node);
			walk(w, node->u.call.callee);
			walk_args(w, &node->u.call.args);
			break;
		case JN_FILTER:
		case JN_TEST:
			walk(w, node->u.apply.input);
			walk_args(w, &node->u.apply.args);
			break;
		case JN_NOT:
		case JN_NEG:
		case JN_POS:
			walk(w, node->u.operand);
			break;
		case JN_AND:
		case JN_OR:
		case JN_BINARY:
			walk(w, node->u.binary.left);
			walk(w, node->u.binary.right);
			break;
		case JN_COMPARE:
			walk(w, node->u.compare.first);
			walk_list(w, &node->u.compare.operands);
			break;
		case JN_COND:
			walk(w, node->u.cond.test);
			walk(w, node->u.cond.yes);
			walk(w, node->u.cond.no);
			break;
		default:
			walk_statement(w, node);
	}
}

void
jinja_template_calls(const JinjaTemplate *tmpl, int i,
					 void (*visit) (const JinjaCallInfo *call, void *arg),
					 void *arg)
{
	CallWalk	w = {visit, arg};

	if (i < 0)
		walk_list(&w, &tmpl->body);
	else
		walk_macro(&w, &tmpl->macros[i]->u.macro);
}
