/*
 * globals.c
 *		What every template can name: range, dict, namespace, cycler, joiner,
 *		lipsum.
 */
#include "base/compat.h"

#include "common/pg_prng.h"

#include "jinja/markup.h"

/* Jinja2's sandbox refuses longer ranges, too. */
#define MAX_RANGE 100000

static JinjaValue *
global_range(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	int64		n[3] = {0, 0, 1};
	JinjaValue *range;

	if (args->nkwargs > 0 || args->nargs < 1 || args->nargs > 3)
		jn_raise_type(env, "range takes one to three arguments");
	for (int i = 0; i < args->nargs; i++)
		n[i] = jn_int_arg(env, args->args[i], 0, "argument of range");
	if (args->nargs == 1)
	{
		n[1] = n[0];
		n[0] = 0;
	}
	if (n[2] == 0)
		jn_raise_type(env, "the step of range must not be zero");
	range = jn_range(env, n[0], n[1], n[2]);
	if (range->u.range.length > MAX_RANGE)
		jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					"range is longer than %d", MAX_RANGE);
	return range;
}

static JinjaValue *
global_dict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *dict = jinja_dict(env);

	jn_dict_update_args(env, dict, args);
	return dict;
}

/* ---------- namespace: a dict whose items are attributes ---------- */

static JinjaValue *
namespace_attribute(JinjaEnv *env, void *object, const char *name)
{
	JinjaValue *dict = (JinjaValue *) object;
	int			len = strlen(name);

	return jn_dict_lookup_text(dict->u.dict, name, len,
							   jn_hash_text(name, len));
}

static char *
namespace_to_string(JinjaEnv *env, void *object)
{
	return psprintf("<Namespace %s>",
					jn_repr_cstring(env, (JinjaValue *) object));
}

static bool
namespace_set(JinjaEnv *env, void *object, const char *name,
			  JinjaValue *value)
{
	jinja_dict_set(env, (JinjaValue *) object, name, value);
	return true;
}

static const JinjaObjectOps namespace_ops = {
	.type_name = "Namespace",
	.get_attribute = namespace_attribute,
	.to_string = namespace_to_string,
	.set_attribute = namespace_set,
};

static JinjaValue *
global_namespace(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_object(env, &namespace_ops, global_dict(env, NULL, args));
}

/* ---------- cycler ---------- */

typedef struct Cycler
{
	JinjaValue *items;			/* tuple, not empty */
	int			pos;
} Cycler;

static JinjaValue *
cycler_next(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Cycler	   *c = (Cycler *) arg;
	JinjaValue *v = c->items->u.list.items[c->pos];

	c->pos = (c->pos + 1) % c->items->u.list.n;
	return v;
}

static JinjaValue *
cycler_reset(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	((Cycler *) arg)->pos = 0;
	return env->none;
}

static JinjaValue *
cycler_attribute(JinjaEnv *env, void *object, const char *name)
{
	Cycler	   *c = (Cycler *) object;

	if (strcmp(name, "current") == 0)
		return c->items->u.list.items[c->pos];
	if (strcmp(name, "next") == 0)
		return jinja_function(env, "next", cycler_next, c);
	if (strcmp(name, "reset") == 0)
		return jinja_function(env, "reset", cycler_reset, c);
	return NULL;
}

static const JinjaObjectOps cycler_ops = {
	.type_name = "Cycler",
	.get_attribute = cycler_attribute,
};

static JinjaValue *
global_cycler(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Cycler	   *c = jn_alloc(env, sizeof(Cycler));

	if (args->nargs == 0 || args->nkwargs > 0)
		jn_raise_type(env, "at least one item has to be provided");
	c->items = jinja_tuple(env, args->nargs, args->args);
	c->pos = 0;
	return jinja_object(env, &cycler_ops, c);
}

/* ---------- joiner ---------- */

typedef struct Joiner
{
	JinjaValue *sep;
	bool		used;
} Joiner;

static JinjaValue *
joiner_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	Joiner	   *j = (Joiner *) object;

	if (j->used)
		return j->sep;
	j->used = true;
	return env->empty_string;
}

static const JinjaObjectOps joiner_ops = {
	.type_name = "Joiner",
	.call = joiner_call,
};

static JinjaValue *
global_joiner(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Joiner	   *j = jn_alloc(env, sizeof(Joiner));

	j->sep = jinja_arg(args, 0, "sep");
	if (j->sep == NULL)
		j->sep = jinja_string(env, ", ");
	j->used = false;
	return jinja_object(env, &joiner_ops, j);
}

/* ---------- lipsum: paragraphs that mean nothing ---------- */

static int64
pick(int64 from, int64 below)
{
	return from + pg_prng_uint64_range(&pg_global_prng_state, 0,
									   below - from - 1);
}

/* One paragraph of so many words. */
static void
append_lipsum(JinjaEnv *env, StringInfo buf, int64 words)
{
	static const char *const lipsum[] = {
		"lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing",
		"elit", "sed", "do", "eiusmod", "tempor", "incididunt", "ut", "labore",
		"et", "dolore", "magna", "aliqua", "enim", "ad", "minim", "veniam",
		"quis", "nostrud", "exercitation", "ullamco", "laboris", "nisi",
		"aliquip", "ex", "ea", "commodo", "consequat",
	};
	int			last = -1;
	int64		stop = 0;

	for (int64 i = 0; i < words; i++)
	{
		int			word = pick(0, lengthof(lipsum));
		bool		first = i == stop;

		jn_step(env);
		if (word == last)
			word = (word + 1) % lengthof(lipsum);
		last = word;
		if (i > 0)
			jn_append(env, buf, first ? ". " : " ", first ? 2 : 1);
		if (first)
		{
			char		c = pg_toupper((unsigned char) lipsum[word][0]);

			jn_append(env, buf, &c, 1);
			stop = i + pick(6, 18);
		}
		jn_append_cstring(env, buf, lipsum[word] + (first ? 1 : 0));
	}
	jn_append(env, buf, ".", 1);
}

static JinjaValue *
global_lipsum(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *as_html = jinja_arg(args, 1, "html");
	bool		html = as_html == NULL || jinja_truth(env, as_html);
	int64		n = jn_int_arg(env, jinja_arg(args, 0, "n"), 5, "n");
	int64		min = jn_int_arg(env, jinja_arg(args, 2, "min"), 20, "min");
	int64		max = jn_int_arg(env, jinja_arg(args, 3, "max"), 100, "max");
	StringInfoData buf;

	if (min >= max || min < 0)
		jn_raise_type(env, "lipsum needs min < max");
	jn_buffer_init(env, &buf);
	for (int64 i = 0; i < n; i++)
	{
		if (i > 0)
			jn_append_cstring(env, &buf, html ? "\n" : "\n\n");
		jn_append_cstring(env, &buf, html ? "<p>" : "");
		append_lipsum(env, &buf, pick(min, max));
		jn_append_cstring(env, &buf, html ? "</p>" : "");
	}
	return html ? jn_markup(env, jn_buffer_string(env, &buf)) :
		jn_buffer_string(env, &buf);
}

/* What Python calls a class: it is printed as one. */
bool
jn_is_class(const JinjaValue *v)
{
	return v->u.function.fn == global_dict || v->u.function.fn == global_range;
}

/* Made when first asked for; NULL: there is no such global. */
JinjaValue *
jn_global(JinjaEnv *env, const char *name)
{
	static const struct
	{
		const char *name;
		JinjaFunction fn;
	}			globals[] =
	{
		{"range", global_range},
		{"dict", global_dict},
		{"namespace", global_namespace},
		{"cycler", global_cycler},
		{"joiner", global_joiner},
		{"lipsum", global_lipsum},
	};

	for (int i = 0; i < lengthof(globals); i++)
	{
		if (strcmp(globals[i].name, name) == 0)
		{
			JinjaValue *v = jinja_function(env, name, globals[i].fn, NULL);

			jinja_env_set(env, name, v);
			return v;
		}
	}
	return NULL;
}
