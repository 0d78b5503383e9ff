/*
 * itertools.c
 *		modules.itertools.
 *
 * Iterators without an end (count, cycle, repeat) give items as they are asked
 * for, and so do those that read from others (chain, islice, ...), so that
 * islice(count(), 3) ends. The combinatoric ones give theirs one by one, too:
 * there may be very many.
 */
#include "base/compat.h"

#include "jinja/modules.h"

typedef struct Iterator
{
	const char *name;
	JinjaValue *(*next) (JinjaEnv *env, struct Iterator *it);
	int			n;				/* sources, or items of the pool */
	JnIter	   *sources;
	JinjaValue **pool;
	int		   *indices;
	int			k;				/* items of a combination */
	int64		i;
	int64		limit;
	int64		step;
	bool		started;
	bool		ended;
	JinjaValue *value;
	JinjaValue *by;
} Iterator;

static JinjaValue *
iterator_next(JinjaEnv *env, void *object)
{
	Iterator   *it = object;

	return it->ended ? NULL : it->next(env, it);
}

static char *
iterator_to_string(JinjaEnv *env, void *object)
{
	return psprintf("<itertools.%s object>", ((Iterator *) object)->name);
}

static const JinjaObjectOps iterator_ops = {
	.type_name = "itertools",
	.to_string = iterator_to_string,
	.next = iterator_next,
};

static Iterator *
make(JinjaEnv *env, const char *name,
	 JinjaValue *(*next) (JinjaEnv *env, Iterator *it), int nsources)
{
	Iterator   *it = jn_alloc(env, sizeof(Iterator));

	memset(it, 0, sizeof(*it));
	it->name = name;
	it->next = next;
	it->n = nsources;
	it->limit = -1;
	it->sources = jn_alloc(env, ((uint64) nsources + 1) * sizeof(JnIter));
	return it;
}

static JinjaValue *
value(JinjaEnv *env, Iterator *it)
{
	return jinja_object(env, &iterator_ops, it);
}

static Iterator *
make_over(JinjaEnv *env, const char *name,
		  JinjaValue *(*next) (JinjaEnv *env, Iterator *it),
		  const JinjaArgs *args)
{
	Iterator   *it = make(env, name, next, args->nargs);

	for (int i = 0; i < args->nargs; i++)
		jn_iter_init(env, &it->sources[i], args->args[i]);
	return it;
}

/* The items of an iterable at once, as what combinations are made of. */
static void
set_pool(JinjaEnv *env, Iterator *it, JinjaValue *from)
{
	JinjaValue *list = jinja_to_list(env, from);

	it->pool = list->u.list.items;
	it->n = list->u.list.n;
}

/* ---------- without an end ---------- */

static JinjaValue *
next_count(JinjaEnv *env, Iterator *it)
{
	JinjaValue *v = it->value;

	it->value = jn_binary(env, JINJA_OP_ADD, v, it->by);
	return v;
}

static JinjaValue *
it_count(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "count", next_count, 0);

	it->value = jinja_arg(args, 0, "start");
	it->by = jinja_arg(args, 1, "step");
	if (it->value == NULL)
		it->value = jinja_int(env, 0);
	if (it->by == NULL)
		it->by = jinja_int(env, 1);
	if (!jn_is_numeric(it->value) || !jn_is_numeric(it->by))
		jn_raise_type(env, "a number is required");
	return value(env, it);
}

static JinjaValue *
next_cycle(JinjaEnv *env, Iterator *it)
{
	if (it->n == 0)
		return NULL;
	return it->pool[it->i++ % it->n];
}

static JinjaValue *
it_cycle(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "cycle", next_cycle, 0);

	set_pool(env, it, jn_need_arg(env, args, 0, "iterable"));
	return value(env, it);
}

static JinjaValue *
next_repeat(JinjaEnv *env, Iterator *it)
{
	if (it->limit >= 0 && it->i >= it->limit)
		return NULL;
	it->i++;
	return it->value;
}

static JinjaValue *
it_repeat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "repeat", next_repeat, 0);

	it->value = jn_need_arg(env, args, 0, "object");
	if (jinja_arg(args, 1, "times") != NULL)
		it->limit = Max(jn_optional_int(env, args, 1, "times", 0), 0);
	return value(env, it);
}

/* ---------- over other iterables ---------- */

static JinjaValue *
next_chain(JinjaEnv *env, Iterator *it)
{
	for (; it->i < it->n; it->i++)
	{
		JinjaValue *v;

		/* Each is looked at only when its turn comes. */
		if (!it->started)
			jn_iter_init(env, &it->sources[0], it->pool[it->i]);
		it->started = true;
		if ((v = jn_iter_next(env, &it->sources[0])) != NULL)
			return v;
		it->started = false;
	}
	return NULL;
}

static JinjaValue *
it_chain(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "chain", next_chain, 1);

	set_pool(env, it, jinja_tuple(env, args->nargs, args->args));
	return value(env, it);
}

static JinjaValue *
it_from_iterable(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "chain", next_chain, 1);

	set_pool(env, it, jn_need_arg(env, args, 0, "iterable"));
	return value(env, it);
}

static JinjaValue *
next_islice(JinjaEnv *env, Iterator *it)
{
	JinjaValue *v = NULL;

	/* it->k counts what was read, it->i is the next to be given. */
	if (it->limit >= 0 && it->i >= it->limit)
	{
		it->ended = true;
		return NULL;
	}
	for (; it->k <= it->i; it->k++)
	{
		v = jn_iter_next(env, &it->sources[0]);
		if (v == NULL)
		{
			it->ended = true;
			return NULL;
		}
	}
	it->i += it->step;
	return v;
}

static int64
islice_bound(JinjaEnv *env, JinjaValue *v, int64 dflt)
{
	int64		i;

	if (v == NULL || v->kind == JINJA_NONE)
		return dflt;
	if (!jn_is_int(v, &i) || i < 0 || i > PG_INT32_MAX)
		jn_raise_type(env,
					  "indices of islice must be none or a small integer >= 0");
	return i;
}

static JinjaValue *
it_islice(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "islice", next_islice, 1);

	if (args->nargs < 2 || args->nargs > 4 || args->nkwargs > 0)
		jn_raise_type(env, "islice takes two to four arguments");
	jn_iter_init(env, &it->sources[0], args->args[0]);
	if (args->nargs == 2)
		it->limit = islice_bound(env, args->args[1], -1);
	else
	{
		it->i = islice_bound(env, args->args[1], 0);
		it->limit = islice_bound(env, args->args[2], -1);
	}
	it->step = islice_bound(env, jinja_arg(args, 3, NULL), 1);
	if (it->step == 0)
		jn_raise_type(env, "the step of islice must be positive");
	return value(env, it);
}

static JinjaValue *
next_zip_longest(JinjaEnv *env, Iterator *it)
{
	JinjaValue *tuple = jn_list_sized(env, JINJA_TUPLE, it->n);
	bool		some = false;

	for (int i = 0; i < it->n; i++)
	{
		JinjaValue *v = it->indices[i] ? NULL :
			jn_iter_next(env, &it->sources[i]);

		it->indices[i] = v == NULL;
		some |= v != NULL;
		jinja_list_append(env, tuple, v != NULL ? v : it->value);
	}
	it->ended = !some;
	return some ? tuple : NULL;
}

static JinjaValue *
it_zip_longest(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make_over(env, "zip_longest", next_zip_longest, args);

	it->value = jinja_arg(args, -1, "fillvalue");
	if (it->value == NULL)
		it->value = env->none;
	it->indices = jn_alloc(env, (it->n + 1) * sizeof(int));
	memset(it->indices, 0, (it->n + 1) * sizeof(int));
	return value(env, it);
}

static JinjaValue *
next_compress(JinjaEnv *env, Iterator *it)
{
	for (;;)
	{
		JinjaValue *v = jn_iter_next(env, &it->sources[0]);
		JinjaValue *selector = v == NULL ? NULL :
			jn_iter_next(env, &it->sources[1]);

		if (selector == NULL)
			return NULL;
		if (jinja_truth(env, selector))
			return v;
	}
}

static JinjaValue *
it_compress(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	if (args->nargs != 2)
		jn_raise_type(env, "compress takes two arguments");
	return value(env, make_over(env, "compress", next_compress, args));
}

static JinjaValue *
next_accumulate(JinjaEnv *env, Iterator *it)
{
	JinjaValue *v;
	JinjaValue *pair[2];
	JinjaArgs	args = {.nargs = 2, .args = pair};

	if (!it->started && it->value != NULL)
	{
		it->started = true;
		return it->value;
	}
	v = jn_iter_next(env, &it->sources[0]);
	if (v == NULL)
		return NULL;
	if (it->value == NULL)
		it->value = v;
	else
	{
		pair[0] = it->value;
		pair[1] = v;
		it->value = it->by == NULL ?
			jn_binary(env, JINJA_OP_ADD, pair[0], pair[1]) :
			jinja_call(env, it->by, &args);
	}
	it->started = true;
	return it->value;
}

static JinjaValue *
it_accumulate(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "accumulate", next_accumulate, 1);

	jn_iter_init(env, &it->sources[0], jn_need_arg(env, args, 0, "iterable"));
	it->by = jinja_arg(args, 1, "func");
	it->value = jinja_arg(args, -1, "initial");
	if (it->by != NULL && it->by->kind == JINJA_NONE)
		it->by = NULL;
	if (it->value != NULL && it->value->kind == JINJA_NONE)
		it->value = NULL;
	return value(env, it);
}

static JinjaValue *
next_starmap(JinjaEnv *env, Iterator *it)
{
	JinjaValue *v = jn_iter_next(env, &it->sources[0]);
	JinjaArgs	args = {0};

	if (v == NULL)
		return NULL;
	v = jinja_to_list(env, v);
	args.nargs = v->u.list.n;
	args.args = v->u.list.items;
	return jinja_call(env, it->by, &args);
}

static JinjaValue *
it_starmap(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "starmap", next_starmap, 1);

	it->by = jn_need_arg(env, args, 0, "function");
	jn_iter_init(env, &it->sources[0], jn_need_arg(env, args, 1, "iterable"));
	return value(env, it);
}

/* The items are read at once, which only an endless iterable can tell. */
static JinjaValue *
it_tee(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *list = jn_need_arg(env, args, 0, "iterable");
	int64		n = jn_optional_int(env, args, 1, "n", 2);
	JinjaValue *result;

	if (n < 0)
		jn_raise_type(env, "n must be >= 0");
	/* For none, Python does not even look at it. */
	if (n > 0)
		list = jinja_to_list(env, list);
	result = jn_list_sized(env, JINJA_TUPLE, n);
	for (int64 i = 0; i < n; i++)
	{
		jn_step(env);
		jinja_list_append(env, result,
						  jn_iterator(env, jinja_to_list(env, list)));
	}
	return result;
}

/* ---------- combinations ---------- */

static JinjaValue *
chosen(JinjaEnv *env, Iterator *it)
{
	JinjaValue *tuple = jn_list_sized(env, JINJA_TUPLE, it->k);

	jn_work(env, it->k);
	for (int i = 0; i < it->k; i++)
		jinja_list_append(env, tuple, it->pool[it->indices[i]]);
	return tuple;
}

static void
set_indices(JinjaEnv *env, Iterator *it, int n, bool counting)
{
	it->indices = jn_alloc(env, ((uint64) n + 1) * sizeof(int));
	for (int i = 0; i < n; i++)
		it->indices[i] = counting ? i : 0;
}

/* it->pool has a list for each place. */
static JinjaValue *
next_product(JinjaEnv *env, Iterator *it)
{
	JinjaValue *tuple;
	int			i = it->k - 1;

	if (it->started)
	{
		while (i >= 0 && ++it->indices[i] >= it->pool[i]->u.list.n)
			it->indices[i--] = 0;
		it->ended = i < 0;
	}
	it->started = true;
	for (i = 0; i < it->k && !it->ended; i++)
		it->ended = it->pool[i]->u.list.n == 0;
	if (it->ended)
		return NULL;
	jn_work(env, it->k);
	tuple = jn_list_sized(env, JINJA_TUPLE, it->k);
	for (i = 0; i < it->k; i++)
		jinja_list_append(env, tuple, it->pool[i]->u.list.items[it->indices[i]]);
	return tuple;
}

static JinjaValue *
it_product(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "product", next_product, 0);
	JinjaValue *repeat = jinja_arg(args, -1, "repeat");
	int64		times = jn_int_arg(env, repeat, 1, "repeat");

	if (times < 0 || times * (int64) args->nargs > 1000)
		jn_raise_type(env, "repeat is out of range");
	it->k = times * args->nargs;
	it->pool = jn_alloc(env, ((uint64) it->k + 1) * sizeof(JinjaValue *));
	for (int i = 0; i < it->k; i++)
		it->pool[i] = i < args->nargs ? jinja_to_list(env, args->args[i]) :
			it->pool[i - args->nargs];
	set_indices(env, it, it->k, false);
	return value(env, it);
}

/* Subsets in order; "again" allows an item more than once. */
static JinjaValue *
next_combination_of(JinjaEnv *env, Iterator *it, bool again)
{
	int			i = it->k - 1;

	if (!it->started)
	{
		it->started = true;
		it->ended = again ? it->n == 0 && it->k > 0 : it->k > it->n;
		return it->ended ? NULL : chosen(env, it);
	}
	while (i >= 0 &&
		   it->indices[i] == (again ? it->n - 1 : i + it->n - it->k))
		i--;
	if (i < 0)
	{
		it->ended = true;
		return NULL;
	}
	it->indices[i]++;
	for (int j = i + 1; j < it->k; j++)
		it->indices[j] = it->indices[j - 1] + (again ? 0 : 1);
	return chosen(env, it);
}

static JinjaValue *
next_combination(JinjaEnv *env, Iterator *it)
{
	return next_combination_of(env, it, false);
}

static JinjaValue *
next_combination_again(JinjaEnv *env, Iterator *it)
{
	return next_combination_of(env, it, true);
}

/* Items of a choice. */
static int
choice_arg(JinjaEnv *env, JinjaValue *r, int64 dflt)
{
	int64		k = r == NULL || r->kind == JINJA_NONE ? dflt :
		jn_int_arg(env, r, 0, "r");

	if (k < 0)
		jn_raise_type(env, "r must be non-negative");
	jn_check_size(env, k * sizeof(int));
	return Min(k, PG_INT32_MAX / 2);
}

static JinjaValue *
it_combinations(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "combinations", next_combination, 0);

	set_pool(env, it, jn_need_arg(env, args, 0, "iterable"));
	it->k = choice_arg(env, jn_need_arg(env, args, 1, "r"), 0);
	set_indices(env, it, it->k, true);
	return value(env, it);
}

static JinjaValue *
it_combinations_again(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "combinations_with_replacement",
						  next_combination_again, 0);

	set_pool(env, it, jn_need_arg(env, args, 0, "iterable"));
	it->k = choice_arg(env, jn_need_arg(env, args, 1, "r"), 0);
	set_indices(env, it, it->k, false);
	return value(env, it);
}

/* indices[0 .. n) is a permutation, the first k of which are chosen. */
static JinjaValue *
next_permutation(JinjaEnv *env, Iterator *it)
{
	int		   *cycles = it->indices + it->n;

	if (!it->started)
	{
		it->started = true;
		it->ended = it->k > it->n;
		return it->ended ? NULL : chosen(env, it);
	}
	for (int i = it->k - 1; i >= 0; i--)
	{
		jn_work(env, 1 + (it->n - i) / 16);
		if (--cycles[i] == 0)
		{
			int			first = it->indices[i];

			memmove(it->indices + i, it->indices + i + 1,
					(it->n - 1 - i) * sizeof(int));
			it->indices[it->n - 1] = first;
			cycles[i] = it->n - i;
		}
		else
		{
			int			j = it->n - cycles[i];
			int			t = it->indices[i];

			it->indices[i] = it->indices[j];
			it->indices[j] = t;
			return chosen(env, it);
		}
	}
	it->ended = true;
	return NULL;
}

static JinjaValue *
it_permutations(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Iterator   *it = make(env, "permutations", next_permutation, 0);

	set_pool(env, it, jn_need_arg(env, args, 0, "iterable"));
	it->k = choice_arg(env, jinja_arg(args, 1, "r"), it->n);
	set_indices(env, it, it->n + Min(it->k, it->n), true);
	for (int i = 0; i < Min(it->k, it->n); i++)
		it->indices[it->n + i] = it->n - i;
	return value(env, it);
}

/* ---------- the module ---------- */

static JinjaValue *
chain_attribute(JinjaEnv *env, void *object, const char *name)
{
	return strcmp(name, "from_iterable") == 0 ?
		jinja_function(env, name, it_from_iterable, NULL) : NULL;
}

static JinjaValue *
chain_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return it_chain(env, NULL, args);
}

static const JinjaObjectOps chain_ops = {
	.type_name = "type",
	.get_attribute = chain_attribute,
	.call = chain_call,
};

static const JnModuleFunction functions[] = {
	{"accumulate", it_accumulate},
	{"combinations", it_combinations},
	{"combinations_with_replacement", it_combinations_again},
	{"compress", it_compress},
	{"count", it_count},
	{"cycle", it_cycle},
	{"islice", it_islice},
	{"permutations", it_permutations},
	{"product", it_product},
	{"repeat", it_repeat},
	{"starmap", it_starmap},
	{"tee", it_tee},
	{"zip_longest", it_zip_longest},
	{NULL},
};

static JinjaValue *
itertools_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "chain") == 0)
		return jinja_object(env, &chain_ops, NULL);
	return jn_find_function(env, functions, name, NULL);
}

static const JinjaObjectOps itertools_ops = {
	.type_name = "module",
	.get_attribute = itertools_attribute,
};

JinjaValue *
jn_itertools_module(JinjaEnv *env)
{
	return jinja_object(env, &itertools_ops, NULL);
}
