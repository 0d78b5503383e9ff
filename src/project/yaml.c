/*
 * yaml.c
 *		YAML files as documents: libyaml's events, composed.
 *
 * libyaml allocates by malloc: the parser, and the one event that is held at
 * a time, are freed on every way out. Text goes through UTF-8, which is all
 * that libyaml knows. An alias is the same value again, so a small file can
 * stand for a tree of any size: a value knows how many it stands for, and that
 * number is limited, as whatever walks the tree later meets each of them.
 */
#include "base/compat.h"

#include <yaml.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/hsearch.h"

#include "base/settings.h"
#include "project/yaml.h"
#include "project/yaml_scalar.h"

/* Deepest nesting of lists and mappings. */
#define MAX_DEPTH 500

/* Duplicate keys that are warned of, a file. */
#define MAX_WARNINGS 10

typedef struct YamlNode
{
	PdDoc	   *doc;
	int64		weight;			/* values that it stands for */
	YamlType	type;			/* of a scalar */
} YamlNode;

typedef struct Anchor
{
	char	   *name;
	YamlNode		node;
	bool		complete;
} Anchor;

typedef struct Composer
{
	const char *name;
	yaml_parser_t parser;
	yaml_event_t event;
	bool		has_event;
	List	   *anchors;		/* Anchor * */
	int			depth;
	int			warnings;
} Composer;

static YamlNode compose_node(Composer *c);

/* ---------- errors ---------- */

static char *
to_server(const char *s, int len)
{
	char	   *text = pg_any_to_server(s, len, PG_UTF8);

	return text == s ? pnstrdup(s, len) : text;
}

static void
pg_attribute_noreturn() raise_at(const Composer *c, const yaml_mark_t *mark, const char *problem,
								 const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("%s: %s", c->name, problem),
			 errdetail("Line %d, column %d.", (int) mark->line + 1, (int) mark->column + 1),
			 hint != NULL ? errhint("%s", hint) : 0));
}

static void
pg_attribute_noreturn() raise_parser_error(Composer *c)
{
	const yaml_parser_t *p = &c->parser;
	const char *problem = p->problem != NULL ? p->problem : "invalid YAML";
	yaml_mark_t mark = p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (p->error == YAML_READER_ERROR)
		mark = p->mark;
	if (p->context != NULL)
		problem = psprintf("%s, %s", p->context, problem);
	raise_at(c, &mark, problem,
			 p->error == YAML_SCANNER_ERROR
			 ? "A text that holds \": \", \" #\" or begins with a special character must be in quotes."
			 : NULL);
}

/* ---------- events ---------- */

static void
next_event(Composer *c)
{
	CHECK_FOR_INTERRUPTS();
	if (c->has_event)
		yaml_event_delete(&c->event);
	c->has_event = false;
	if (!yaml_parser_parse(&c->parser, &c->event))
		raise_parser_error(c);
	c->has_event = true;
}

static void
enter(Composer *c)
{
	check_stack_depth();
	if (++c->depth > MAX_DEPTH)
		raise_at(c, &c->event.start_mark, "nested too deeply", NULL);
}

/* ---------- anchors ---------- */

static Anchor *
find_anchor(const Composer *c, const char *name)
{
	ListCell   *lc;

	foreach(lc, c->anchors)
	{
		if (strcmp(((Anchor *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	}
	return NULL;
}

static Anchor *
add_anchor(Composer *c, const yaml_char_t *name)
{
	Anchor	   *anchor;

	if (name == NULL)
		return NULL;
	if (find_anchor(c, (const char *) name) != NULL)
		raise_at(c, &c->event.start_mark,
				 psprintf("anchor \"%s\" occurs twice", to_server((const char *) name,
																 strlen((const char *) name))),
				 NULL);
	anchor = palloc0(sizeof(Anchor));
	anchor->name = pstrdup((const char *) name);
	c->anchors = lappend(c->anchors, anchor);
	return anchor;
}

static YamlNode
compose_alias(Composer *c)
{
	const char *name = (const char *) c->event.data.alias.anchor;
	Anchor	   *anchor = find_anchor(c, name);

	if (anchor == NULL)
		raise_at(c, &c->event.start_mark,
				 psprintf("alias \"%s\" has no anchor", to_server(name, strlen(name))),
				 "An anchor stands before its aliases, in the same file.");
	if (!anchor->complete)
		raise_at(c, &c->event.start_mark,
				 psprintf("alias \"%s\" is a part of what it stands for",
						  to_server(name, strlen(name))), NULL);
	return anchor->node;
}

/* Adds to the weight of "node" that of a part. */
static void
add_weight(const Composer *c, YamlNode *node, const YamlNode *part)
{
	node->weight += part->weight;
	if (node->weight > dpipe_yaml_max_values)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s: too many values", c->name),
				 errdetail("Line %d: aliases counted as what they stand for, the limit is dpipe.yaml_max_values (%d).",
						   (int) c->event.start_mark.line + 1, dpipe_yaml_max_values)));
}

/* ---------- scalars ---------- */

#define TAG_PREFIX "tag:yaml.org,2002:"

static YamlType
scalar_type(Composer *c, const yaml_char_t *tag, bool plain, const char *s, int len)
{
	static const struct
	{
		const char *tag;
		YamlType	type;
	}			tags[] = {
		{TAG_PREFIX "str", YAML_TYPE_STR},
		{TAG_PREFIX "null", YAML_TYPE_NULL},
		{TAG_PREFIX "bool", YAML_TYPE_BOOL},
		{TAG_PREFIX "int", YAML_TYPE_INT},
		{TAG_PREFIX "float", YAML_TYPE_FLOAT},
		{TAG_PREFIX "timestamp", YAML_TYPE_TIMESTAMP},
	};

	if (tag == NULL || strcmp((const char *) tag, "!") == 0)
		return plain ? dpipe_yaml_resolve(s, len) : YAML_TYPE_STR;
	for (int i = 0; i < lengthof(tags); i++)
		if (strcmp(tags[i].tag, (const char *) tag) == 0)
			return tags[i].type;
	raise_at(c, &c->event.start_mark,
			 psprintf("tag \"%s\" is not known", to_server((const char *) tag,
														  strlen((const char *) tag))), NULL);
}

static void
check_collection_tag(Composer *c, const yaml_char_t *tag, const char *wanted)
{
	if (tag != NULL && strcmp((const char *) tag, "!") != 0 &&
		strcmp((const char *) tag, wanted) != 0)
		raise_at(c, &c->event.start_mark,
				 psprintf("tag \"%s\" is not known", to_server((const char *) tag,
															  strlen((const char *) tag))), NULL);
}

static YamlNode
compose_scalar(Composer *c)
{
	YamlNode		node = {NULL, 1, YAML_TYPE_STR};
	const char *value = (const char *) c->event.data.scalar.value;
	int			len = c->event.data.scalar.length;
	const char *reason = NULL;
	char	   *text;
	Anchor	   *anchor = add_anchor(c, c->event.data.scalar.anchor);

	if (memchr(value, '\0', len) != NULL)
		raise_at(c, &c->event.start_mark, "a text holds the character 0", NULL);
	node.type = scalar_type(c, c->event.data.scalar.tag, c->event.data.scalar.plain_implicit != 0,
							value, len);
	text = to_server(value, len);
	node.doc = dpipe_yaml_scalar(node.type, text, strlen(text), &reason);
	if (node.doc == NULL && node.type == YAML_TYPE_VALUE)
		node.doc = pd_string(text); /* the key may have it; see compose_entry */
	else if (node.doc == NULL)
		raise_at(c, &c->event.start_mark, psprintf("\"%s\" %s", text, reason), NULL);
	if (anchor != NULL)
	{
		anchor->node = node;
		anchor->complete = true;
	}
	return node;
}

/* Only a key may be plain << or =. */
static void
refuse_key_types(Composer *c, const YamlNode *node)
{
	if (node->type == YAML_TYPE_VALUE || node->type == YAML_TYPE_MERGE)
		raise_at(c, &c->event.start_mark,
				 psprintf("\"%s\" has a meaning of its own in YAML 1.1", node->doc->u.text),
				 "Put it in quotes.");
}

/* ---------- collections ---------- */

static YamlNode
compose_sequence(Composer *c)
{
	YamlNode		node = {pd_list(), 1, YAML_TYPE_STR};
	Anchor	   *anchor = add_anchor(c, c->event.data.sequence_start.anchor);

	check_collection_tag(c, c->event.data.sequence_start.tag, TAG_PREFIX "seq");
	enter(c);
	for (next_event(c); c->event.type != YAML_SEQUENCE_END_EVENT; next_event(c))
	{
		YamlNode		item = compose_node(c);

		refuse_key_types(c, &item);
		add_weight(c, &node, &item);
		pd_append(node.doc, item.doc);
	}
	c->depth--;
	if (anchor != NULL)
	{
		anchor->node = node;
		anchor->complete = true;
	}
	return node;
}

static void
warn_of_duplicate(Composer *c, const PdDoc *key, int line, int column)
{
	if (c->warnings++ >= MAX_WARNINGS)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("%s: duplicate key '%s'", c->name,
					key->kind == PD_STRING || key->kind == PD_INT ? key->u.text : pd_to_json(key)),
			 errdetail("Line %d, column %d: the last one counts.", line, column)));
}

/* The mappings that a merge key names, the one that counts last at the end. */
static void
collect_merged(Composer *c, const PdDoc *value, PdDoc *merged)
{
	if (value->kind == PD_DICT)
	{
		pd_update(merged, value);
		return;
	}
	if (value->kind == PD_LIST)
	{
		for (int i = value->n - 1; i >= 0; i--)
		{
			if (value->u.items[i]->kind != PD_DICT)
				break;
			pd_update(merged, value->u.items[i]);
			if (i == 0)
				return;
		}
		if (value->n == 0)
			return;
	}
	raise_at(c, &c->event.start_mark, "\"<<\" takes a mapping or a list of mappings", NULL);
}

typedef struct Mapping
{
	PdDoc	   *own;			/* its own entries */
	PdDoc	   *merged;			/* those that << brought, or NULL */
	bool		first_merges;	/* duplicates are meant then */
} Mapping;

static void
compose_entry(Composer *c, YamlNode *node, Mapping *m)
{
	YamlNode		key = compose_node(c);
	int			line = c->event.start_mark.line + 1;
	int			column = c->event.start_mark.column + 1;
	YamlNode		value;

	if (key.doc->kind == PD_LIST || key.doc->kind == PD_DICT)
		raise_at(c, &c->event.start_mark, "a key is a list or a mapping",
				 "A text that begins with { or [ must be in quotes.");
	next_event(c);
	value = compose_node(c);
	refuse_key_types(c, &value);
	add_weight(c, node, &key);
	add_weight(c, node, &value);
	if (key.type == YAML_TYPE_MERGE)
	{
		if (m->merged == NULL)
			m->merged = pd_dict();
		m->first_merges |= m->own->n == 0;
		collect_merged(c, value.doc, m->merged);
	}
	else if (pd_put_key(m->own, key.doc, value.doc) && !m->first_merges)
		warn_of_duplicate(c, key.doc, line, column);
}

/* What was merged comes first, and gives way to what the mapping says. */
static YamlNode
compose_mapping(Composer *c)
{
	Mapping		m = {pd_dict(), NULL, false};
	YamlNode		node = {m.own, 1, YAML_TYPE_STR};
	int			line = c->event.start_mark.line + 1;
	int			column = c->event.start_mark.column + 1;
	Anchor	   *anchor = add_anchor(c, c->event.data.mapping_start.anchor);

	check_collection_tag(c, c->event.data.mapping_start.tag, TAG_PREFIX "map");
	enter(c);
	for (next_event(c); c->event.type != YAML_MAPPING_END_EVENT; next_event(c))
		compose_entry(c, &node, &m);
	c->depth--;
	if (m.merged != NULL)
	{
		pd_update(m.merged, m.own);
		node.doc = m.merged;
	}
	node.doc->line = line;
	node.doc->column = column;
	if (anchor != NULL)
	{
		anchor->node = node;
		anchor->complete = true;
	}
	return node;
}

/* The node that begins with the current event; its last event is current then. */
static YamlNode
compose_node(Composer *c)
{
	YamlNode		node;
	int			line = c->event.start_mark.line + 1;
	int			column = c->event.start_mark.column + 1;

	switch (c->event.type)
	{
		case YAML_ALIAS_EVENT:
			return compose_alias(c);
		case YAML_SEQUENCE_START_EVENT:
			node = compose_sequence(c);
			break;
		case YAML_MAPPING_START_EVENT:
			return compose_mapping(c);
		default:
			Assert(c->event.type == YAML_SCALAR_EVENT);
			node = compose_scalar(c);
			break;
	}
	node.doc->line = line;
	node.doc->column = column;
	return node;
}

static PdDoc *
compose_stream(Composer *c)
{
	YamlNode		node;

	next_event(c);				/* the stream's start */
	next_event(c);
	if (c->event.type == YAML_STREAM_END_EVENT)
		return pd_null();
	next_event(c);
	node = compose_node(c);
	refuse_key_types(c, &node);
	next_event(c);				/* the document's end */
	next_event(c);
	if (c->event.type != YAML_STREAM_END_EVENT)
		raise_at(c, &c->event.start_mark, "a second document begins", "A file holds one document.");
	return node.doc;
}

PdDoc *
dpipe_yaml_parse(const char *name, const char *text, int len)
{
	Composer   *c = palloc0(sizeof(Composer));
	char	   *utf8 = pg_server_to_any(text, len, PG_UTF8);
	volatile	PdDoc *doc = NULL;

	c->name = name;
	if (!yaml_parser_initialize(&c->parser))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PG_TRY();
	{
		/*
		 * Not told the encoding, libyaml takes a byte order mark for what it
		 * is, not for a column of the first line. The marks of other encodings
		 * are no UTF-8.
		 */
		yaml_parser_set_input_string(&c->parser, (const unsigned char *) utf8,
									 utf8 == text ? len : strlen(utf8));
		doc = compose_stream(c);
	}
	PG_FINALLY();
	{
		if (c->has_event)
			yaml_event_delete(&c->event);
		yaml_parser_delete(&c->parser);
	}
	PG_END_TRY();
	return (PdDoc *) doc;
}
