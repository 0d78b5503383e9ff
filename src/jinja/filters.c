/*
 * filters.c
 *		The built-in filters.
 *
 * Those that are generators in Jinja2 (map, select, unique, ...) give an
 * iterator here as well: it can be read once, and has no length.
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "common/pg_prng.h"

#include "jinja/decimal.h"
#include "jinja/markup.h"

#define FILTER_ARGS JN_BUILTIN_ARGS

static JinjaValue *
collect(JinjaEnv *env, JinjaValue *v)
{
	return v->kind == JINJA_LIST ? v : jinja_to_list(env, v);
}

static JinjaValue *
fold_case(JinjaEnv *env, JinjaValue *v)
{
	return v->kind == JINJA_STRING ? jn_lower(env, v) : v;
}

/* Is there an argument that is not none? */
static bool
is_given(const JinjaValue *v)
{
	return v != NULL && v->kind != JINJA_NONE;
}

/* ---------- text ---------- */

static JinjaValue *
filter_upper(FILTER_ARGS)
{
	return jn_markup_like(env, v, jn_upper(env, jn_str_value(env, v)));
}

static JinjaValue *
filter_lower(FILTER_ARGS)
{
	return jn_markup_like(env, v, jn_lower(env, jn_str_value(env, v)));
}

static JinjaValue *
filter_capitalize(FILTER_ARGS)
{
	return jn_markup_like(env, v, jn_capitalize(env, jn_str_value(env, v)));
}

static JinjaValue *
filter_title(FILTER_ARGS)
{
	return jn_title(env, jn_str_value(env, v), "-({[<");
}

static JinjaValue *
filter_trim(FILTER_ARGS)
{
	return jn_markup_like(env, v, jn_strip(env, jn_str_value(env, v), argv[0],
										   true, true));
}

static JinjaValue *
filter_string(FILTER_ARGS)
{
	return jn_str_value(env, v);
}

static JinjaValue *
filter_safe(FILTER_ARGS)
{
	return jn_markup(env, jn_str_value(env, v));
}

static JinjaValue *
filter_escape(FILTER_ARGS)
{
	return jn_escape(env, v);
}

static JinjaValue *
filter_forceescape(FILTER_ARGS)
{
	return jn_force_escape(env, v);
}

static JinjaValue *
filter_replace(FILTER_ARGS)
{
	int64		count = is_given(argv[2]) ?
		jn_int_arg(env, argv[2], -1, "count") : -1;

	return jn_plain(env, jn_replace(env, jn_str_value(env, v),
									jn_str_value(env, argv[0]),
									jn_str_value(env, argv[1]), count));
}

static JinjaValue *
filter_center(FILTER_ARGS)
{
	int64		width = jn_int_arg(env, argv[0], 80, "width");

	return jn_markup_like(env, v, jn_pad(env, jn_str_value(env, v), width,
										 NULL, '^'));
}

static JinjaValue *
filter_join(FILTER_ARGS)
{
	JinjaValue *sep = argv[0] == NULL ? env->empty_string :
		jn_str_value(env, argv[0]);

	if (is_given(argv[1]))
	{
		JinjaValue *list = jinja_to_list(env, v);

		for (int i = 0; i < list->u.list.n; i++)
			list->u.list.items[i] = jn_attr_path(env, list->u.list.items[i],
												 argv[1], NULL);
		v = list;
	}
	return jn_join(env, sep, v, false);
}

static JinjaValue *
filter_format(FILTER_ARGS)
{
	JinjaValue *values;

	if (args->nargs > 0 && args->nkwargs > 0)
		jn_raise_type(env, "positional and keyword arguments cannot be mixed");
	if (args->nkwargs > 0)
	{
		values = jinja_dict(env);
		for (int i = 0; i < args->nkwargs; i++)
			jinja_dict_set(env, values, args->kwnames[i], args->kwvalues[i]);
	}
	else
		values = jinja_tuple(env, args->nargs, args->args);
	return jn_format_percent(env, jn_str_value(env, v), values);
}

static JinjaValue *
filter_indent(FILTER_ARGS)
{
	JinjaValue *by = argv[0];
	bool		first = jn_truth_arg(env, argv[1]);
	bool		blank = jn_truth_arg(env, argv[2]);
	bool		escape;
	JinjaValue *lines;
	StringInfoData buf;

	jn_string_arg(env, v, "text to indent");
	if (by == NULL || by->kind != JINJA_STRING)
		by = jn_pad(env, env->empty_string,
					jn_int_arg(env, by, 4, "width"), NULL, '<');
	by = jn_markup_like(env, v, by);
	/* A plain line that markup is put in front of is escaped for it. */
	escape = jn_is_markup(by) && !jn_is_markup(v);
	/* Jinja2 adds a newline, so that a trailing one is kept. */
	lines = jn_splitlines(env, jn_binary(env, JINJA_OP_ADD, v,
										 jinja_string(env, "\n")), false);
	jn_buffer_init(env, &buf);
	for (int i = 0; i < lines->u.list.n; i++)
	{
		JinjaValue *line = lines->u.list.items[i];
		bool		indented = i > 0 && (blank || line->u.string.len > 0);

		if (i > 0)
			jn_append(env, &buf, "\n", 1);
		if (indented)
			jn_append(env, &buf, by->u.string.data, by->u.string.len);
		if (escape && (indented || blank))
			line = jn_escape(env, line);
		jn_append(env, &buf, line->u.string.data, line->u.string.len);
	}
	v = jn_markup_like(env, escape && blank ? by : v,
					   jn_buffer_string(env, &buf));
	return first ? jn_binary(env, JINJA_OP_ADD, by, v) : v;
}

static JinjaValue *
filter_truncate(FILTER_ARGS)
{
	int64		length = jn_int_arg(env, argv[0], 255, "length");
	JinjaValue *end = argv[2] == NULL ? jinja_string(env, "...") :
		jn_string_arg(env, argv[2], "end");
	int64		leeway = is_given(argv[3]) ?
		jn_int_arg(env, argv[3], 5, "leeway") : 5;
	int64		keep = length - jn_length(env, end);
	JinjaValue *head;

	if (jn_length(env, v) < 0)
		jn_raise_type(env, "%s object has no length", jinja_type_name(v));
	if (keep < 0 || leeway < 0)
		jn_raise_type(env, "length and leeway of truncate are too small");
	if (leeway > PG_INT64_MAX - length ||
		jn_length(env, v) <= length + leeway)
		return v;
	jn_string_arg(env, v, "text to truncate");
	head = jn_slice(env, v, NULL, jinja_int(env, keep), NULL);
	if (!jn_truth_arg(env, argv[1]))
	{
		for (int i = head->u.string.len - 1; i >= 0; i--)
		{
			if (head->u.string.data[i] == ' ')
			{
				head = jn_markup_like(env, head,
									  jinja_string_len(env, head->u.string.data, i));
				break;
			}
		}
	}
	return jn_binary(env, JINJA_OP_ADD, head, end);
}

static JinjaValue *
filter_wordcount(FILTER_ARGS)
{
	const char *p;
	const char *end;
	int64		n = 0;
	bool		in_word = false;

	v = jn_str_value(env, v);
	p = v->u.string.data;
	end = p + v->u.string.len;
	jn_work_bytes(env, end - p);
	for (; p < end; p += jn_char_len(p, end))
	{
		bool		word = *p == '_' || jn_char_is(p, end, JN_CHAR_ALNUM);

		n += word && !in_word;
		in_word = word;
	}
	return jinja_int(env, n);
}

/* ---------- numbers ---------- */

/* int(d); NULL: it has no integer value. */
static JinjaValue *
float_to_int(JinjaEnv *env, double d)
{
	if (isnan(d) || isinf(d))
		return NULL;
	d = trunc(d);
	if (d < 9223372036854775808.0 && d >= -9223372036854775808.0)
		return jinja_int(env, (int64) d);
	return jn_big_value(env, jn_big_from_double(env, d));
}

static JinjaValue *
filter_int(FILTER_ARGS)
{
	JinjaValue *dflt = argv[0] == NULL ? jinja_int(env, 0) : argv[0];
	int64		base = jn_int_arg(env, argv[1], 10, "base");
	JinjaValue *result = NULL;
	double		d;
	int64		i;

	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (jn_is_int(v, &i))
		return jinja_int(env, i);
	if (v->kind == JINJA_BIGINT)
		return v;
	if (v->kind == JINJA_DECIMAL)
		return jn_big_value(env, jn_decimal_to_big(env, v->u.decimal));
	if (v->kind == JINJA_FLOAT)
		result = float_to_int(env, v->u.real);
	else if (v->kind == JINJA_STRING)
	{
		/* A base that int() refuses only sends it to float(). */
		if (base == 0 || (base >= 2 && base <= 36))
			result = jn_parse_integer(env, v->u.string.data, v->u.string.len,
									  base);
		if (result == NULL &&
			jn_parse_float(v->u.string.data, v->u.string.len, &d))
			result = float_to_int(env, d);
	}
	return result != NULL ? result : dflt;
}

static JinjaValue *
filter_float(FILTER_ARGS)
{
	JinjaValue *dflt = argv[0] == NULL ? jinja_float(env, 0.0) : argv[0];
	double		d;

	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (jn_is_numeric(v))
		return jinja_float(env, jn_to_double(env, v));
	if (v->kind == JINJA_STRING &&
		jn_parse_float(v->u.string.data, v->u.string.len, &d))
		return jinja_float(env, d);
	return dflt;
}

static JinjaValue *
filter_abs(FILTER_ARGS)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (v->kind == JINJA_FLOAT)
		return jinja_float(env, fabs(v->u.real));
	if (v->kind == JINJA_DECIMAL)
		return jn_decimal_abs(env, v->u.decimal);
	if (v->kind == JINJA_OBJECT && jn_compare_op(env, JINJA_OP_LT, v,
												 jn_binary(env, JINJA_OP_SUB,
														   v, v)))
		return jn_negate(env, v);
	if (v->kind == JINJA_OBJECT)
		return v;
	if (!jn_is_numeric(v))
		jn_raise_type(env, "bad operand type for abs(): %s",
					  jinja_type_name(v));
	return jn_compare_op(env, JINJA_OP_LT, v, jinja_int(env, 0)) ?
		jn_negate(env, v) : jn_positive(env, v);
}

/*
 * Python's round(float, digits): the decimal number nearest to the exact
 * value, ties to even, which is what printf() prints.
 */
static double
round_float(double d, int64 digits)
{
	char		text[800];
	double		scale;

	if (isnan(d) || isinf(d) || digits > 323)
		return d;
	if (digits < -308)
		return copysign(0.0, d);
	if (digits >= 0)
	{
		snprintf(text, sizeof(text), "%.*f", (int) digits, d);
		return strtod(text, NULL);
	}
	scale = pow(10.0, (double) -digits);
	snprintf(text, sizeof(text), "%.0fe%d", rint(d / scale), (int) -digits);
	return strtod(text, NULL);
}

/* Python's round(int, digits): to tens, hundreds, ... if digits < 0. */
static JinjaValue *
round_int(JinjaEnv *env, JinjaValue *v, int64 digits)
{
	const JnBig *b = jn_big_of(env, v);
	JnBig	   *scale;
	JnBig	   *half;
	JnBig	   *rest;
	JnBig	   *q;
	int			c;

	if (digits >= 0 || b->n == 0)
		return jn_positive(env, v);
	if (-digits > jn_big_bits(b) / 3 + 2)
		return jinja_int(env, 0);
	scale = jn_big_power(env, jn_big_from_int64(env, 10), -digits);
	q = jn_big_divmod(env, b, scale, &rest);
	half = jn_big_shift(env, rest, 1);
	c = jn_big_compare(half, scale);
	if (c > 0 || (c == 0 && q->n > 0 && q->d[0] % 2 == 1))
		q = jn_big_add(env, q, jn_big_from_int64(env, 1));
	return jn_big_value(env, jn_big_multiply(env, q, scale));
}

static JinjaValue *
round_common(JinjaEnv *env, JinjaValue *v, int64 digits)
{
	if (v->kind == JINJA_FLOAT)
		return jinja_float(env, round_float(v->u.real, digits));
	if (v->kind == JINJA_DECIMAL)
		return jn_decimal_round(env, v->u.decimal, digits);
	return round_int(env, v, digits);
}

static JinjaValue *
filter_round(FILTER_ARGS)
{
	int64		digits = jn_int_arg(env, argv[0], 0, "precision");
	double		d;
	double		scale;

	if (argv[1] != NULL && !jn_string_is(argv[1], "common") &&
		!jn_string_is(argv[1], "ceil") && !jn_string_is(argv[1], "floor"))
		jn_raise_type(env, "method must be common, ceil or floor");
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (!jn_is_numeric(v))
		jn_raise_type(env, "%s cannot be rounded", jinja_type_name(v));
	if (argv[1] == NULL || jn_string_is(argv[1], "common"))
		return round_common(env, v, digits);
	d = jn_to_double(env, v);
	if (digits >= 0 && (v->kind == JINJA_INT || v->kind == JINJA_BIGINT))
		return jinja_float(env, d);	/* there is nothing to round */
	if (isnan(d) || isinf(d) || digits > 308 || digits < -308)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"number cannot be rounded");
	scale = pow(10.0, (double) digits);
	d = jn_string_is(argv[1], "ceil") ? ceil(d * scale) : floor(d * scale);
	return jinja_float(env, (d + 0.0) / scale); /* never -0.0 */
}

/* The number as a count of bytes that people read. */
static JinjaValue *
filter_filesizeformat(FILTER_ARGS)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB",
	"ZB", "YB"};
	bool		binary = jn_truth_arg(env, argv[0]);
	double		base = binary ? 1024 : 1000;
	double		unit = base;
	double		bytes;
	int			i = 0;

	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (jn_is_numeric(v))
		bytes = jn_to_double(env, v);
	else if (v->kind != JINJA_STRING ||
			 !jn_parse_float(v->u.string.data, v->u.string.len, &bytes))
		jn_raise_type(env, "%s is not a number", jn_repr_cstring(env, v));
	if (bytes == 1)
		return jinja_string(env, "1 Byte");
	if (bytes < base)
	{
		JinjaValue *whole = float_to_int(env, bytes);

		if (whole == NULL)
			jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
						"cannot convert infinity to an integer");
		return jn_binary(env, JINJA_OP_ADD, jn_str_value(env, whole),
						 jinja_string(env, " Bytes"));
	}
	/* Python multiplies before it divides, which decides about ties. */
	for (unit *= base; i < lengthof(units) - 1 && !(bytes < unit); i++)
		unit *= base;
	return jinja_string(env, psprintf("%.1f %c%s", base * bytes / unit,
									  binary ? toupper((unsigned char) units[i][0]) :
									  units[i][0], binary ? "iB" : "B"));
}

static JinjaValue *
filter_sum(FILTER_ARGS)
{
	JinjaValue *sum = argv[1] == NULL ? jinja_int(env, 0) : argv[1];
	JinjaValue *item;
	JnIter		it;

	if (sum->kind == JINJA_STRING)
		jn_raise_type(env, "strings cannot be summed; use join");
	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		if (is_given(argv[0]))
			item = jn_attr_path(env, item, argv[0], NULL);
		sum = jn_binary(env, JINJA_OP_ADD, sum, item);
	}
	return sum;
}

/* ---------- sequences ---------- */

static JinjaValue *
filter_length(FILTER_ARGS)
{
	int64		n = jn_length(env, v);

	if (n < 0)
		jn_raise_type(env, "%s object has no length", jinja_type_name(v));
	return jinja_int(env, n);
}

static JinjaValue *
filter_list(FILTER_ARGS)
{
	return jinja_to_list(env, v);
}

static JinjaValue *
filter_first(FILTER_ARGS)
{
	JnIter		it;

	jn_iter_init(env, &it, v);
	v = jn_iter_next(env, &it);
	return v != NULL ? v :
		jn_undefined_hint(env, "no first item, sequence was empty");
}

static JinjaValue *
filter_random(FILTER_ARGS)
{
	int64		n = jn_length(env, v);
	int64		i;

	if (n < 0 || v->kind == JINJA_SET || v->kind == JINJA_VIEW)
		jn_raise_type(env, "%s object is not a sequence", jinja_type_name(v));
	if (n == 0)
		return jn_undefined_hint(env, "no random item, sequence was empty");
	i = pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1);
	if (v->kind == JINJA_LIST || v->kind == JINJA_TUPLE)
		return v->u.list.items[i];	/* which may be undefined */
	v = jn_getitem(env, v, jinja_int(env, i));
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	return v;
}

static JinjaValue *
filter_last(FILTER_ARGS)
{
	if (!jn_iterable(v) || v->kind == JINJA_ITERATOR)
		jn_raise_type(env, "%s object is not reversible", jinja_type_name(v));
	if (v->kind == JINJA_STRING && v->u.string.len > 0)
		return jn_getitem(env, v, jinja_int(env, -1));
	v = collect(env, v);
	return v->u.list.n > 0 ? v->u.list.items[v->u.list.n - 1] :
		jn_undefined_hint(env, "no last item, sequence was empty");
}

/* Gives an iterator; but a list of what had to be read to be reversed. */
static JinjaValue *
filter_reverse(FILTER_ARGS)
{
	JinjaValue *list;

	if (v->kind == JINJA_STRING)
		return jn_slice(env, v, NULL, NULL, jinja_int(env, -1));
	if (!jn_iterable(v))
		jn_raise_type(env, "argument of reverse must be iterable");
	list = jinja_to_list(env, v);
	jn_list_reverse(list);
	return v->kind == JINJA_ITERATOR ? list : jn_iterator(env, list);
}

/*
 * The key that sort compares: a list of the value, or of its attributes
 * "a,b.c". A list even of one, because equal items of lists need no order.
 */
static JinjaValue *
sort_key(JinjaEnv *env, JinjaValue *v, JinjaValue *attribute, bool fold)
{
	JinjaValue *key = jn_list_sized(env, JINJA_LIST, 1);
	const char *p;

	if (!is_given(attribute) || attribute->kind != JINJA_STRING)
	{
		if (is_given(attribute))
			v = jn_attr_path(env, v, attribute, NULL);
		jinja_list_append(env, key, fold ? fold_case(env, v) : v);
		return key;
	}
	p = attribute->u.string.data;
	for (;;)
	{
		const char *comma = strchr(p, ',');
		int			len = comma == NULL ? strlen(p) : comma - p;
		JinjaValue *item = jn_attr_path(env, v, jinja_string_len(env, p, len),
										NULL);

		jinja_list_append(env, key, fold ? fold_case(env, item) : item);
		if (comma == NULL)
			return key;
		p = comma + 1;
	}
}

static JinjaValue *
filter_sort(FILTER_ARGS)
{
	bool		fold = !jn_truth_arg(env, argv[1]);
	JinjaValue *list = jinja_to_list(env, v);
	int			n = list->u.list.n;
	JinjaValue **keys = jn_palloc(env, (n + 1) * sizeof(JinjaValue *));

	for (int i = 0; i < n; i++)
		keys[i] = sort_key(env, list->u.list.items[i], argv[2], fold);
	jn_sort(env, keys, list->u.list.items, n, jn_truth_arg(env, argv[0]));
	pfree(keys);
	return list;
}

/* The value or its attribute, folded unless "case_sensitive". */
static JinjaValue *
plain_key(JinjaEnv *env, JinjaValue *v, JinjaValue *attribute,
		  JinjaValue *case_sensitive)
{
	if (is_given(attribute))
		v = jn_attr_path(env, v, attribute, NULL);
	return jn_truth_arg(env, case_sensitive) ? v : fold_case(env, v);
}

static JinjaValue *
filter_unique(FILTER_ARGS)
{
	JinjaValue *result = jinja_list(env);
	JinjaValue *item;
	JnDict		seen;
	JnIter		it;

	jn_dict_init(&seen);
	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		JinjaValue *key = plain_key(env, item, argv[1], argv[0]);

		if (jn_dict_find(env, &seen, key) != NULL)
			continue;
		jn_dict_put(env, &seen, key, env->none);
		jinja_list_append(env, result, item);
	}
	return jn_iterator(env, result);
}

static JinjaValue *
min_or_max(JinjaEnv *env, JinjaValue *v, JinjaValue **argv, JinjaOp better)
{
	JinjaValue *best = NULL;
	JinjaValue *best_key = NULL;
	JinjaValue *item;
	JnIter		it;

	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		JinjaValue *key = plain_key(env, item, argv[1], argv[0]);

		if (best == NULL || jn_compare_op(env, better, key, best_key))
		{
			best = item;
			best_key = key;
		}
	}
	return best != NULL ? best :
		jn_undefined_hint(env, "no aggregated item, sequence was empty");
}

static JinjaValue *
filter_min(FILTER_ARGS)
{
	return min_or_max(env, v, argv, JINJA_OP_LT);
}

static JinjaValue *
filter_max(FILTER_ARGS)
{
	return min_or_max(env, v, argv, JINJA_OP_GT);
}

static JinjaValue *
filter_batch(FILTER_ARGS)
{
	int64		count = jn_int_arg(env, argv[0], 0, "linecount");
	JinjaValue *result = jinja_list(env);
	JinjaValue *batch = NULL;
	JinjaValue *item;
	JnIter		it;

	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		if (batch == NULL || batch->u.list.n == count)
		{
			/* A first batch of none, when none are asked for. */
			if (batch == NULL && count == 0)
				jinja_list_append(env, result, jinja_list(env));
			batch = jinja_list(env);
			jinja_list_append(env, result, batch);
		}
		jinja_list_append(env, batch, item);
	}
	if (batch != NULL && is_given(argv[1]))
		while (batch->u.list.n < count)
		{
			jn_work(env, 1);
			jinja_list_append(env, batch, argv[1]);
		}
	return jn_iterator(env, result);
}

static JinjaValue *
filter_slice(FILTER_ARGS)
{
	int64		slices = jn_int_arg(env, argv[0], 0, "slices");
	JinjaValue *list = jinja_to_list(env, v);
	JinjaValue *result = jinja_list(env);
	int64		n = list->u.list.n;
	int64		from = 0;

	if (slices == 0)
		jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
	for (int64 i = 0; i < slices; i++)
	{
		int64		size = n / slices + (i < n % slices);
		JinjaValue *part = jn_list_sized(env, JINJA_LIST, size);

		jn_step(env);
		if (size > 0)
			memcpy(part->u.list.items, list->u.list.items + from,
				   size * sizeof(JinjaValue *));
		part->u.list.n = size;
		from += size;
		if (is_given(argv[1]) && i >= n % slices)
			jinja_list_append(env, part, argv[1]);
		jinja_list_append(env, result, part);
	}
	return jn_iterator(env, result);
}

/* (grouper, list), in the order of the groupers. */
static JinjaValue *
filter_groupby(FILTER_ARGS)
{
	bool		fold = !jn_truth_arg(env, argv[2]);
	JinjaValue *dflt = is_given(argv[1]) ? argv[1] : NULL;
	JinjaValue *list = jinja_to_list(env, v);
	JinjaValue *result = jinja_list(env);
	JinjaValue *group = NULL;
	int			n = list->u.list.n;
	JinjaValue **keys = jn_alloc(env, (n + 1) * sizeof(JinjaValue *));

	for (int i = 0; i < n; i++)
	{
		keys[i] = jn_attr_path(env, list->u.list.items[i], argv[0], dflt);
		if (fold)
			keys[i] = fold_case(env, keys[i]);
	}
	jn_sort(env, keys, list->u.list.items, n, false);
	for (int i = 0; i < n; i++)
	{
		JinjaValue *item = list->u.list.items[i];

		if (i == 0 || !jinja_equal(env, keys[i - 1], keys[i]))
		{
			JinjaValue *pair[2];

			group = jinja_list(env);
			pair[0] = jn_attr_path(env, item, argv[0], dflt);
			pair[1] = group;
			jinja_list_append(env, result, jinja_tuple(env, 2, pair));
			result->u.list.items[result->u.list.n - 1]->u.list.group = true;
		}
		jinja_list_append(env, group, item);
	}
	return result;
}

/* ---------- mappings ---------- */

static void
need_dict(JinjaEnv *env, const JinjaValue *v)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (v->kind != JINJA_DICT)
		jn_raise_type(env, "a mapping is required, not %s", jinja_type_name(v));
}

static JinjaValue *
filter_items(FILTER_ARGS)
{
	if (v->kind == JINJA_UNDEFINED)
		return jn_iterator(env, jinja_list(env));
	need_dict(env, v);
	return jn_iterator(env, jinja_to_list(env,
										  jn_view(env, v, JN_VIEW_ITEMS)));
}

static JinjaValue *
filter_dictsort(FILTER_ARGS)
{
	bool		fold = !jn_truth_arg(env, argv[0]);
	bool		by_value = argv[1] != NULL && jn_string_is(argv[1], "value");
	JinjaValue *list;
	JinjaValue **keys;
	int			n;

	need_dict(env, v);
	if (argv[1] != NULL && !by_value && !jn_string_is(argv[1], "key"))
		jn_raise_type(env, "dictsort is by \"key\" or by \"value\"");
	list = jinja_to_list(env, jn_view(env, v, JN_VIEW_ITEMS));
	n = list->u.list.n;
	keys = jn_palloc(env, (n + 1) * sizeof(JinjaValue *));
	for (int i = 0; i < n; i++)
	{
		keys[i] = list->u.list.items[i]->u.list.items[by_value];
		if (fold)
			keys[i] = fold_case(env, keys[i]);
	}
	jn_sort(env, keys, list->u.list.items, n, jn_truth_arg(env, argv[2]));
	pfree(keys);
	return list;
}

/* ---------- filters and tests as arguments ---------- */

static JinjaValue *
map_attribute(JinjaEnv *env, JinjaValue *v, const JinjaArgs *args)
{
	JinjaValue *attribute = jinja_arg(args, -1, "attribute");
	JinjaValue *dflt = jinja_arg(args, -1, "default");
	JinjaValue *result = jinja_list(env);
	JinjaValue *item;
	JnIter		it;

	if (dflt != NULL && dflt->kind == JINJA_NONE)
		dflt = NULL;
	for (int i = 0; i < args->nkwargs; i++)
		if (strcmp(args->kwnames[i], "attribute") != 0 &&
			strcmp(args->kwnames[i], "default") != 0)
			jn_raise_type(env, "unexpected keyword argument \"%s\"",
						  args->kwnames[i]);
	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		if (attribute->kind != JINJA_NONE)
			item = jn_attr_path(env, item, attribute, dflt);
		jinja_list_append(env, result, item);
	}
	return jn_iterator(env, result);
}

static JinjaValue *
filter_map(FILTER_ARGS)
{
	JinjaValue *result;
	JinjaValue *item;
	const JnBuiltin *b;
	JinjaArgs	rest = *args;
	JnIter		it;

	/* Nothing is looked at when there is nothing to map. */
	if (v->kind != JINJA_ITERATOR && !jinja_truth(env, v))
		return jn_iterator(env, jinja_list(env));
	if (args->nargs == 0 && jinja_arg(args, -1, "attribute") != NULL)
		return map_attribute(env, v, args);
	if (args->nargs == 0)
		jn_raise_type(env, "map requires a filter argument");
	jn_iter_init(env, &it, v);
	b = args->args[0]->kind == JINJA_STRING ?
		jn_find_filter(args->args[0]->u.string.data) : NULL;
	if (b == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_FUNCTION, "no filter named %s",
					jn_repr_cstring(env, args->args[0]));
	rest.args++;
	rest.nargs--;
	result = jinja_list(env);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		jn_enter(env);
		jinja_list_append(env, result, jn_call_builtin(env, b, item, &rest));
		jn_leave(env);
	}
	return jn_iterator(env, result);
}

/* select, reject, and the two that look at an attribute */
static JinjaValue *
select_or_reject(JinjaEnv *env, JinjaValue *v, const JinjaArgs *args,
				 bool by_attribute, bool keep)
{
	JinjaValue *result = jinja_list(env);
	JinjaArgs	rest = *args;
	const JnBuiltin *test = NULL;
	JinjaValue *item;
	JnIter		it;

	if (v->kind != JINJA_ITERATOR && !jinja_truth(env, v))
		return jn_iterator(env, result);
	if (by_attribute && args->nargs == 0)
		jn_raise_type(env, "missing parameter for attribute name");
	if (by_attribute)
	{
		rest.args++;
		rest.nargs--;
	}
	if (rest.nargs > 0)
	{
		test = rest.args[0]->kind == JINJA_STRING ?
			jn_find_test(rest.args[0]->u.string.data) : NULL;
		if (test == NULL)
			jinja_raise(env, ERRCODE_UNDEFINED_FUNCTION, "no test named %s",
						jn_repr_cstring(env, rest.args[0]));
		rest.args++;
		rest.nargs--;
	}
	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		JinjaValue *tested = by_attribute ?
			jn_attr_path(env, item, args->args[0], NULL) : item;

		if (test != NULL)
			tested = jn_call_builtin(env, test, tested, &rest);
		if (jinja_truth(env, tested) == keep)
			jinja_list_append(env, result, item);
	}
	return jn_iterator(env, result);
}

static JinjaValue *
filter_select(FILTER_ARGS)
{
	return select_or_reject(env, v, args, false, true);
}

static JinjaValue *
filter_reject(FILTER_ARGS)
{
	return select_or_reject(env, v, args, false, false);
}

static JinjaValue *
filter_selectattr(FILTER_ARGS)
{
	return select_or_reject(env, v, args, true, true);
}

static JinjaValue *
filter_rejectattr(FILTER_ARGS)
{
	return select_or_reject(env, v, args, true, false);
}

/* ---------- the rest ---------- */

static JinjaValue *
filter_default(FILTER_ARGS)
{
	if (v->kind != JINJA_UNDEFINED &&
		!(jn_truth_arg(env, argv[1]) && !jinja_truth(env, v)))
		return v;
	return argv[0] == NULL ? env->empty_string : argv[0];
}

/* ---------- marks for jinja_render_native() ---------- */

static JinjaValue *
mark(JinjaEnv *env, JinjaValue *v, char marker)
{
	return env->native == NULL ? v : jn_mark(env, v, marker);
}

static JinjaValue *
filter_as_text(FILTER_ARGS)
{
	return mark(env, v, 't');
}

static JinjaValue *
filter_as_bool(FILTER_ARGS)
{
	return mark(env, v, 'b');
}

static JinjaValue *
filter_as_native(FILTER_ARGS)
{
	return mark(env, v, 'n');
}

static JinjaValue *
filter_as_number(FILTER_ARGS)
{
	return mark(env, v, '#');
}

static JinjaValue *
filter_is_list(FILTER_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_LIST);
}

/* ---------- the rest ---------- */

static JinjaValue *
filter_attr(FILTER_ARGS)
{
	JinjaValue *name = jn_str_value(env, argv[0]);

	/* Attributes only: an item of a dict is not one. */
	if (v->kind == JINJA_DICT &&
		jn_find_method(v, name) == NULL)
		return jn_missing(env, v, name);
	return jn_getattr(env, v, name);
}

static JinjaValue *
filter_tojson(FILTER_ARGS)
{
	int64		indent = is_given(argv[0]) ?
		jn_int_arg(env, argv[0], -1, "indent") : -1;

	return jn_markup(env, jn_to_json(env, v, Max(Min(indent, 1000), -1), true,
									 true));
}

static const JnBuiltin filters[] = {
	{"abs", filter_abs, 0, 0, {NULL}},
	{"as_bool", filter_as_bool, 0, 0, {NULL}},
	{"as_native", filter_as_native, 0, 0, {NULL}},
	{"as_number", filter_as_number, 0, 0, {NULL}},
	{"as_text", filter_as_text, 0, 0, {NULL}},
	{"attr", filter_attr, 1, 1, {"name"}},
	{"batch", filter_batch, 1, 2, {"linecount", "fill_with"}},
	{"capitalize", filter_capitalize, 0, 0, {NULL}},
	{"center", filter_center, 0, 1, {"width"}},
	{"count", filter_length, 0, 0, {NULL}},
	{"d", filter_default, 0, 2, {"default_value", "boolean"}},
	{"default", filter_default, 0, 2, {"default_value", "boolean"}},
	{"dictsort", filter_dictsort, 0, 3, {"case_sensitive", "by", "reverse"}},
	{"e", filter_escape, 0, 0, {NULL}},
	{"escape", filter_escape, 0, 0, {NULL}},
	{"filesizeformat", filter_filesizeformat, 0, 1, {"binary"}},
	{"first", filter_first, 0, 0, {NULL}},
	{"float", filter_float, 0, 1, {"default"}},
	{"forceescape", filter_forceescape, 0, 0, {NULL}},
	{"format", filter_format, 0, JN_RAW, {NULL}},
	{"groupby", filter_groupby, 1, 3, {"attribute", "default", "case_sensitive"}},
	{"indent", filter_indent, 0, 3, {"width", "first", "blank"}},
	{"int", filter_int, 0, 2, {"default", "base"}},
	{"is_list", filter_is_list, 0, 0, {NULL}},
	{"items", filter_items, 0, 0, {NULL}},
	{"join", filter_join, 0, 2, {"d", "attribute"}},
	{"last", filter_last, 0, 0, {NULL}},
	{"length", filter_length, 0, 0, {NULL}},
	{"list", filter_list, 0, 0, {NULL}},
	{"lower", filter_lower, 0, 0, {NULL}},
	{"map", filter_map, 0, JN_RAW, {NULL}},
	{"max", filter_max, 0, 2, {"case_sensitive", "attribute"}},
	{"min", filter_min, 0, 2, {"case_sensitive", "attribute"}},
	{"pprint", jn_filter_pprint, 0, 0, {NULL}},
	{"random", filter_random, 0, 0, {NULL}},
	{"reject", filter_reject, 0, JN_RAW, {NULL}},
	{"rejectattr", filter_rejectattr, 0, JN_RAW, {NULL}},
	{"replace", filter_replace, 2, 3, {"old", "new", "count"}},
	{"reverse", filter_reverse, 0, 0, {NULL}},
	{"round", filter_round, 0, 2, {"precision", "method"}},
	{"safe", filter_safe, 0, 0, {NULL}},
	{"select", filter_select, 0, JN_RAW, {NULL}},
	{"selectattr", filter_selectattr, 0, JN_RAW, {NULL}},
	{"slice", filter_slice, 1, 2, {"slices", "fill_with"}},
	{"sort", filter_sort, 0, 3, {"reverse", "case_sensitive", "attribute"}},
	{"string", filter_string, 0, 0, {NULL}},
	{"striptags", jn_filter_striptags, 0, 0, {NULL}},
	{"sum", filter_sum, 0, 2, {"attribute", "start"}},
	{"title", filter_title, 0, 0, {NULL}},
	{"tojson", filter_tojson, 0, 1, {"indent"}},
	{"trim", filter_trim, 0, 1, {"chars"}},
	{"truncate", filter_truncate, 0, 4, {"length", "killwords", "end", "leeway"}},
	{"unique", filter_unique, 0, 2, {"case_sensitive", "attribute"}},
	{"upper", filter_upper, 0, 0, {NULL}},
	{"urlencode", jn_filter_urlencode, 0, 0, {NULL}},
	{"urlize", jn_filter_urlize, 0, 5, {"trim_url_limit", "nofollow", "target",
	"rel", "extra_schemes"}},
	{"wordcount", filter_wordcount, 0, 0, {NULL}},
	{"wordwrap", jn_filter_wordwrap, 0, 4, {"width", "break_long_words",
	"wrapstring", "break_on_hyphens"}},
	{"xmlattr", jn_filter_xmlattr, 0, 1, {"autospace"}},
};

const JnBuiltin *
jn_find_filter(const char *name)
{
	for (int i = 0; i < lengthof(filters); i++)
		if (strcmp(filters[i].name, name) == 0)
			return &filters[i];
	return NULL;
}
