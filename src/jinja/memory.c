/*
 * memory.c
 *		The memory of a rendering.
 *
 * Values are many, small and never freed one by one, so they are taken off
 * the front of large blocks, without a header each. What is given back with
 * its size is used again for what has the same size. Blocks are chunks of the
 * environment's context and go with it, but for one that the session keeps:
 * it is lent to the outermost environment, so that a rendering after another
 * finds memory that the system need not hand out, cleared, again.
 *
 * Text is put together in buffers, which are used again as well.
 */
#include "base/compat.h"

#include "utils/memutils.h"

#include "base/settings.h"
#include "jinja/jinja_internal.h"

/* Memory is looked at again after so many bytes. */
#define MEMORY_CHECK_BYTES (64 * 1024)

/* An environment within another one often needs little. */
#define FIRST_BLOCK_SIZE (8 * 1024)
#define BLOCK_SIZE (64 * 1024)

/* Of the block that the session keeps; what is not touched takes no memory. */
#define KEPT_SIZE (1024 * 1024)

/* A buffer that has grown beyond is not used again. */
#define MAX_BUFFER (64 * 1024)

static char *kept_block = NULL;
static bool kept_block_lent = false;

/* How much of the session's block the environment that has it has used. */
static Size
kept_used(const JinjaEnv *env)
{
	return env->memory.end == kept_block + KEPT_SIZE ?
		env->memory.pos - kept_block : KEPT_SIZE;
}

void
jn_memory_init(JinjaEnv *env)
{
	if (JN_PLAIN_MEMORY || kept_block_lent)
		return;
	if (kept_block == NULL)
		kept_block = MemoryContextAlloc(TopMemoryContext, KEPT_SIZE);
	kept_block_lent = true;
	env->memory.has_kept = true;
	env->memory.pos = kept_block;
	env->memory.end = kept_block + KEPT_SIZE;
}

/* The environment goes: nothing looks at its values any more. */
void
jn_memory_gone(JinjaEnv *env)
{
	if (JN_PLAIN_MEMORY || !env->memory.has_kept)
		return;
#ifdef USE_ASSERT_CHECKING
	memset(kept_block, 0x7f, kept_used(env));
#endif
	kept_block_lent = false;
}

/* ---------- limits ---------- */

static void
memory_exceeded(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("template uses too much memory"),
			 errdetail("The limit is dpipe.template_max_memory (%d kB).",
					   dpipe_jinja_max_memory_kb)));
}

static void
check_memory(JinjaEnv *env, uint64 more)
{
	uint64		limit = (uint64) dpipe_jinja_max_memory_kb * 1024;
	uint64		used = MemoryContextMemAllocated(env->cxt, true);

	if (env->memory.has_kept)
		used += kept_used(env);
	env->memory.unchecked = 0;
	if (more > limit || used + more > limit)
		memory_exceeded();
}

/* May "bytes" more be allocated? In one piece, or in many. */
void
jn_check_size(JinjaEnv *env, uint64 bytes)
{
	env->memory.unchecked += bytes;
	if (env->memory.unchecked >= MEMORY_CHECK_BYTES)
		check_memory(env, bytes);
}

/* ---------- pieces ---------- */

/* A piece that pfree() and repalloc() take. */
void *
jn_palloc(JinjaEnv *env, uint64 bytes)
{
	jn_check_size(env, bytes);
	if (!AllocSizeIsValid(bytes))
		memory_exceeded();
	return MemoryContextAlloc(env->cxt, bytes);
}

/* What jn_alloc() does when there is nothing at hand. */
void *
jn_alloc_slow(JinjaEnv *env, uint64 bytes)
{
	JnMemory   *m = &env->memory;
	Size		size = m->end == NULL ? FIRST_BLOCK_SIZE : BLOCK_SIZE;
	char	   *p;

	if (JN_PLAIN_MEMORY || bytes > JN_SMALL_PIECE)
		return jn_palloc(env, bytes);
	/* The rest of the block before is lost: it is less than a small piece. */
	check_memory(env, size);
	p = MemoryContextAlloc(env->cxt, size);
	m->pos = p + JN_PIECE_CLASS(bytes) * JN_PIECE_UNIT;
	m->end = p + size;
	return p;
}

/* ---------- text buffers ---------- */

void
jn_buffer_init(JinjaEnv *env, StringInfo buf)
{
	JnMemory   *m = &env->memory;

	if (m->nbuffers > 0)
	{
		m->nbuffers--;
		buf->data = m->buffers[m->nbuffers];
		buf->maxlen = m->buffer_sizes[m->nbuffers];
	}
	else
	{
		buf->data = jn_palloc(env, JN_BUFFER_SIZE);
		buf->maxlen = JN_BUFFER_SIZE;
	}
	resetStringInfo(buf);
}

/* The buffer is not used any more. */
void
jn_buffer_free(JinjaEnv *env, StringInfo buf)
{
	JnMemory   *m = &env->memory;

	if (m->nbuffers < JN_MAX_BUFFERS && buf->maxlen <= MAX_BUFFER)
	{
		m->buffers[m->nbuffers] = buf->data;
		m->buffer_sizes[m->nbuffers] = buf->maxlen;
		m->nbuffers++;
	}
	else
		pfree(buf->data);
	buf->data = NULL;
}

/* The text as a value; the buffer must not be used any more. */
JinjaValue *
jn_buffer_string(JinjaEnv *env, StringInfo buf)
{
	JinjaValue *v = jinja_string_len(env, buf->data, buf->len);

	jn_buffer_free(env, buf);
	return v;
}

/*
 * Room for "more" bytes where there is none, or too much: so much output is
 * charged for, and within limits.
 */
void
jn_reserve_slow(JinjaEnv *env, StringInfo buf, int64 more)
{
	int64		limit = (int64) dpipe_jinja_max_output_kb * 1024;

	if (more > limit || buf->len + more > limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("template makes too long a text"),
				 errdetail("The limit is dpipe.template_max_output (%d kB).",
						   dpipe_jinja_max_output_kb)));
	if (buf->len + more >= buf->maxlen)
		jn_check_size(env, Max((int64) buf->maxlen * 2, buf->len + more));
	enlargeStringInfo(buf, more);
}
