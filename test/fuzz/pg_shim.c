/*
 * pg_shim.c
 *		What the template engine needs of a server, without a server.
 *
 * Memory contexts, ereport, StringInfo, lists and UTF-8, just enough for
 * src/jinja to be linked into a program: for fuzzers and for comparisons that
 * would be slow through SQL. Every chunk is a malloc, so that a sanitizer sees
 * what a memory context would hide.
 */
#include "postgres.h"

#include <time.h>
#include <unistd.h>
#include <wctype.h>

#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg_shim.h"

/* ---------- settings of base/settings.c ---------- */

int			dpipe_jinja_max_output_kb = 16 * 1024;
int			dpipe_jinja_max_steps = 10 * 1000 * 1000;
int			dpipe_jinja_max_depth = 200;
int			dpipe_jinja_max_memory_kb = 256 * 1024;
int			dpipe_jinja_cache_kb = 1024;

/* ---------- memory ---------- */

typedef struct ShimChunk
{
	struct ShimChunk *next;
	struct ShimChunk *prev;
	MemoryContext cxt;
	Size		size;
} ShimChunk;

/* What MemoryContext points to here. */
typedef struct ShimContext
{
	struct ShimContext *parent;
	struct ShimContext *first_child;
	struct ShimContext *next;
	struct ShimContext *prev;
	ShimChunk  *chunks;
	Size		allocated;
	MemoryContextCallback *callbacks;
} ShimContext;

MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;
MemoryContext ErrorContext = NULL;

static ShimContext *
shim(MemoryContext cxt)
{
	return (ShimContext *) cxt;
}

static void
link_context(ShimContext *c, ShimContext *parent)
{
	c->parent = parent;
	c->prev = NULL;
	c->next = parent == NULL ? NULL : parent->first_child;
	if (c->next != NULL)
		c->next->prev = c;
	if (parent != NULL)
		parent->first_child = c;
}

static void
unlink_context(ShimContext *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else if (c->parent != NULL)
		c->parent->first_child = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size minContextSize, Size initBlockSize,
							  Size maxBlockSize)
{
	ShimContext *c = calloc(1, sizeof(ShimContext));

	link_context(c, shim(parent));
	return (MemoryContext) c;
}

void
MemoryContextSetParent(MemoryContext cxt, MemoryContext parent)
{
	unlink_context(shim(cxt));
	link_context(shim(cxt), shim(parent));
}

void
MemoryContextRegisterResetCallback(MemoryContext cxt, MemoryContextCallback *cb)
{
	cb->next = shim(cxt)->callbacks;
	shim(cxt)->callbacks = cb;
}

static void
free_chunks(ShimContext *c)
{
	MemoryContextCallback *cb;

	while ((cb = c->callbacks) != NULL)
	{
		c->callbacks = cb->next;
		cb->func(cb->arg);
	}
	while (c->first_child != NULL)
		MemoryContextDelete((MemoryContext) c->first_child);
	while (c->chunks != NULL)
	{
		ShimChunk  *chunk = c->chunks;

		c->chunks = chunk->next;
		free(chunk);
	}
	c->allocated = 0;
}

void
MemoryContextReset(MemoryContext cxt)
{
	free_chunks(shim(cxt));
}

void
MemoryContextDelete(MemoryContext cxt)
{
	free_chunks(shim(cxt));
	unlink_context(shim(cxt));
	free(cxt);
}

Size
MemoryContextMemAllocated(MemoryContext cxt, bool recurse)
{
	Size		total = shim(cxt)->allocated;

	for (ShimContext *c = shim(cxt)->first_child; recurse && c != NULL;
		 c = c->next)
		total += MemoryContextMemAllocated((MemoryContext) c, true);
	return total;
}

static void
link_chunk(ShimChunk *chunk, ShimContext *c)
{
	chunk->prev = NULL;
	chunk->next = c->chunks;
	if (chunk->next != NULL)
		chunk->next->prev = chunk;
	c->chunks = chunk;
	chunk->cxt = (MemoryContext) c;
	c->allocated += chunk->size;
}

static void
unlink_chunk(ShimChunk *chunk)
{
	ShimContext *c = shim(chunk->cxt);

	if (chunk->prev != NULL)
		chunk->prev->next = chunk->next;
	else
		c->chunks = chunk->next;
	if (chunk->next != NULL)
		chunk->next->prev = chunk->prev;
	c->allocated -= chunk->size;
}

void *
MemoryContextAllocExtended(MemoryContext cxt, Size size, int flags)
{
	ShimChunk  *chunk;

	if (!AllocHugeSizeIsValid(size) ||
		((flags & MCXT_ALLOC_HUGE) == 0 && !AllocSizeIsValid(size)))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	chunk = malloc(sizeof(ShimChunk) + size);
	if (chunk == NULL)
		abort();
	chunk->size = size;
	link_chunk(chunk, shim(cxt));
	/* What is not initialized must not be zero by accident. */
	memset(chunk + 1, (flags & MCXT_ALLOC_ZERO) != 0 ? 0 : 0x7f, Min(size, 4096));
	if ((flags & MCXT_ALLOC_ZERO) != 0)
		memset(chunk + 1, 0, size);
	return chunk + 1;
}

void *
MemoryContextAlloc(MemoryContext cxt, Size size)
{
	return MemoryContextAllocExtended(cxt, size, 0);
}

void *
MemoryContextAllocZero(MemoryContext cxt, Size size)
{
	return MemoryContextAllocExtended(cxt, size, MCXT_ALLOC_ZERO);
}

void *
MemoryContextAllocZeroAligned(MemoryContext cxt, Size size)
{
	return MemoryContextAllocZero(cxt, size);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void *
palloc_extended(Size size, int flags)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, flags);
}

void
pfree(void *p)
{
	ShimChunk  *chunk = (ShimChunk *) p - 1;

	unlink_chunk(chunk);
	free(chunk);
}

/* Exactly what was asked for. */
Size
GetMemoryChunkSpace(void *p)
{
	return ((ShimChunk *) p - 1)->size;
}

void *
repalloc(void *p, Size size)
{
	ShimChunk  *old = (ShimChunk *) p - 1;
	void	   *new = MemoryContextAlloc(old->cxt, size);

	memcpy(new, p, Min(size, old->size));
	pfree(p);
	return new;
}

char *
MemoryContextStrdup(MemoryContext cxt, const char *s)
{
	Size		n = strlen(s) + 1;

	return memcpy(MemoryContextAlloc(cxt, n), s, n);
}

char *
pstrdup(const char *s)
{
	return MemoryContextStrdup(CurrentMemoryContext, s);
}

char *
pnstrdup(const char *s, Size len)
{
	Size		n = strnlen(s, len);
	char	   *copy = palloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

/* ---------- errors ---------- */

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
volatile sig_atomic_t InterruptPending = false;
ShimError	shim_error;

static char *stack_base = NULL;
static Size stack_limit = 4 * 1024 * 1024;

static void
format_into(char *to, Size size, const char *fmt, va_list args)
{
	pg_vsnprintf(to, size, fmt, args);
}

bool
errstart(int elevel, const char *domain)
{
	if (elevel < ERROR)
		return false;
	memset(&shim_error, 0, sizeof(shim_error));
	shim_error.sqlstate = ERRCODE_INTERNAL_ERROR;
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL)
		abort();
	siglongjmp(*PG_exception_stack, 1);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	for (ErrorContextCallback *c = error_context_stack; c != NULL;
		 c = c->previous)
		c->callback(c->arg);
	pg_re_throw();
}

int
errcode(int sqlerrcode)
{
	shim_error.sqlstate = sqlerrcode;
	return 0;
}

int
errmsg(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	format_into(shim_error.message, sizeof(shim_error.message), fmt, args);
	va_end(args);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	format_into(shim_error.message, sizeof(shim_error.message), fmt, args);
	va_end(args);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	return 0;
}

int
errhint(const char *fmt,...)
{
	return 0;
}

int
errcontext_msg(const char *fmt,...)
{
	va_list		args;
	Size		n = strlen(shim_error.context);

	va_start(args, fmt);
	format_into(shim_error.context + n, sizeof(shim_error.context) - n, fmt, args);
	va_end(args);
	n = strlen(shim_error.context);
	if (n + 1 < sizeof(shim_error.context))
		strcpy(shim_error.context + n, "\n");
	return 0;
}

int
set_errcontext_domain(const char *domain)
{
	return 0;
}

void
#if PG_VERSION_NUM >= 160000
ExceptionalCondition(const char *condition, const char *file, int line)
#else
ExceptionalCondition(const char *condition, const char *type,
					 const char *file, int line)
#endif
{
	fprintf(stderr, "assertion failed: %s, %s:%d\n", condition, file, line);
	abort();
}

void
ProcessInterrupts(void)
{
	InterruptPending = false;
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceled")));
}

void
check_stack_depth(void)
{
	char		here;

	if (stack_base - &here > (long) stack_limit)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("stack depth limit exceeded")));
}

char *
unpack_sql_state(int sql_state)
{
	static char text[6];

	for (int i = 0; i < 5; i++, sql_state >>= 6)
		text[i] = PGUNSIXBIT(sql_state);
	return text;
}

void
shim_init(void)
{
	static char base;

	stack_base = (char *) __builtin_frame_address(0);
	(void) base;
	TopMemoryContext = AllocSetContextCreateInternal(NULL, "top", 0, 0, 0);
	ErrorContext = AllocSetContextCreateInternal(TopMemoryContext, "error", 0, 0, 0);
	CurrentMemoryContext = TopMemoryContext;
	pg_prng_seed(&pg_global_prng_state, 1);
}

/* ---------- texts ---------- */

void
resetStringInfo(StringInfo str)
{
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

void
initStringInfo(StringInfo str)
{
	str->maxlen = 1024;
	str->data = palloc(str->maxlen);
	resetStringInfo(str);
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	Size		size = str->maxlen;

	if (needed < 0 || (Size) needed >= MaxAllocSize - str->len)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("out of memory")));
	needed += str->len + 1;
	if (needed <= str->maxlen)
		return;
	while (size < (Size) needed)
		size *= 2;
	str->data = repalloc(str->data, Min(size, MaxAllocSize));
	str->maxlen = Min(size, MaxAllocSize);
}

void
#if PG_VERSION_NUM >= 160000
appendBinaryStringInfo(StringInfo str, const void *data, int len)
#else
appendBinaryStringInfo(StringInfo str, const char *data, int len)
#endif
{
	enlargeStringInfo(str, len);
	memcpy(str->data + str->len, data, len);
	str->len += len;
	str->data[str->len] = '\0';
}

void
appendStringInfoString(StringInfo str, const char *s)
{
	appendBinaryStringInfo(str, s, strlen(s));
}

void
appendStringInfoChar(StringInfo str, char c)
{
	appendBinaryStringInfo(str, &c, 1);
}

int
appendStringInfoVA(StringInfo str, const char *fmt, va_list args)
{
	int			room = str->maxlen - str->len;
	int			n = pg_vsnprintf(str->data + str->len, room, fmt, args);

	if (n < room)
	{
		str->len += n;
		return 0;
	}
	str->data[str->len] = '\0';
	return n + 1;
}

void
appendStringInfo(StringInfo str, const char *fmt,...)
{
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(str, fmt, args);
		va_end(args);
		if (needed == 0)
			return;
		enlargeStringInfo(str, needed);
	}
}

char *
psprintf(const char *fmt,...)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			return buf.data;
		enlargeStringInfo(&buf, needed);
	}
}

/* ---------- UTF-8 ---------- */

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

int
pg_database_encoding_max_length(void)
{
	return 4;
}

/* Like the server's, this trusts the text to be valid. */
int
pg_mblen(const char *s)
{
	unsigned char c = (unsigned char) *s;

	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

int
pg_mbstrlen_with_len(const char *s, int limit)
{
	int			n = 0;

	while (limit > 0 && *s != '\0')
	{
		int			len = pg_mblen(s);

		limit -= len;
		s += len;
		n++;
	}
	return n;
}

int
pg_mbcliplen(const char *s, int len, int limit)
{
	int			n = 0;

	while (n < len && n + pg_mblen(s + n) <= limit)
		n += pg_mblen(s + n);
	return n;
}

void
pg_unicode_to_server(pg_wchar c, unsigned char *s)
{
	unicode_to_utf8(c, s);
	s[c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4] = '\0';
}

char *
pg_server_to_any(const char *s, int len, int encoding)
{
	return (char *) s;
}

static char *
change_case(const char *s, size_t n, wint_t (*change) (wint_t))
{
	StringInfoData buf;
	const char *end = s + n;

	initStringInfo(&buf);
	while (s < end)
	{
		unsigned char text[8];
		pg_wchar	c = utf8_to_unicode((const unsigned char *) s);

		pg_unicode_to_server(change(c), text);
		appendStringInfoString(&buf, (char *) text);
		s += Min(pg_mblen(s), end - s);
	}
	return buf.data;
}

char *
str_toupper(const char *s, size_t n, Oid collation)
{
	return change_case(s, n, towupper);
}

char *
str_tolower(const char *s, size_t n, Oid collation)
{
	return change_case(s, n, towlower);
}

/* ---------- time zones, as the C library has them ---------- */

struct pg_tz
{
	char		name[128];
	struct pg_tz *next;
};

static pg_tz shim_utc = {"UTC"};
pg_tz	   *session_timezone = &shim_utc;

pg_tz *
pg_tzset(const char *name)
{
	char		path[256];
	static pg_tz *known = NULL;
	pg_tz	   *tz;

	for (tz = known; tz != NULL; tz = tz->next)
		if (strcmp(tz->name, name) == 0)
			return tz;
	pg_snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	if (strlen(name) >= sizeof(tz->name) || strstr(name, "..") != NULL ||
		name[0] == '/' || name[0] == '\0' || access(path, R_OK) != 0)
		return NULL;
	tz = calloc(1, sizeof(pg_tz));
	strcpy(tz->name, name);
	tz->next = known;
	known = tz;
	return tz;
}

const char *
pg_get_timezone_name(pg_tz *tz)
{
	return tz->name;
}

struct pg_tm *
pg_localtime(const pg_time_t *t, const pg_tz *tz)
{
	static struct pg_tm result;
	time_t		seconds = *t;
	struct tm	tm;

	setenv("TZ", tz->name, 1);
	tzset();
	if (localtime_r(&seconds, &tm) == NULL)
		return NULL;
	result.tm_gmtoff = tm.tm_gmtoff;
	result.tm_isdst = tm.tm_isdst;
	result.tm_zone = tm.tm_zone;
	return &result;
}

/* Has the zone always had one offset? Looked at once a month. */
bool
pg_get_timezone_offset(const pg_tz *tz, long *gmtoff)
{
	pg_time_t	t = PG_INT32_MIN;

	*gmtoff = pg_localtime(&t, tz)->tm_gmtoff;
	for (; t < PG_INT32_MAX; t += 30 * 86400)
		if (pg_localtime(&t, tz)->tm_gmtoff != *gmtoff)
			return false;
	return true;
}

TimestampTz
GetCurrentTimestamp(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (ts.tv_sec - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
			86400) * 1000000 + ts.tv_nsec / 1000;
}

/* ---------- lists ---------- */

static List *
reserve(List *list, int n)
{
	if (list == NIL)
	{
		list = palloc0(sizeof(List));
		list->type = T_List;
		list->max_length = Max(n, 8);
		list->elements = palloc(list->max_length * sizeof(ListCell));
	}
	else if (n > list->max_length)
	{
		list->max_length = n * 2;
		list->elements = repalloc(list->elements,
								  list->max_length * sizeof(ListCell));
	}
	return list;
}

List *
lappend(List *list, void *datum)
{
	list = reserve(list, list_length(list) + 1);
	list->elements[list->length++].ptr_value = datum;
	return list;
}

List *
list_concat(List *a, const List *b)
{
	for (int i = 0; i < list_length(b); i++)
		a = lappend(a, list_nth(b, i));
	return a;
}

List *
list_truncate(List *list, int n)
{
	if (n <= 0)
		return NIL;
	if (list != NIL && n < list->length)
		list->length = n;
	return list;
}

void
list_free(List *list)
{
	if (list == NIL)
		return;
	pfree(list->elements);
	pfree(list);
}
