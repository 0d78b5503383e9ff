/*
 * copy.c
 *		Rows into a table by COPY's own insertion code, in binary format.
 *
 * COPY does everything from partition routing to triggers, and several times
 * faster than single INSERTs. It asks for no privileges and honours neither
 * policies nor rules: plan.c lets only those targets come here for which that
 * makes no difference.
 *
 * COPY pulls: its callback has no argument, so the feed in progress is a
 * static. Loads may nest (a trigger on the target that loads something), so
 * the outer one is put back whatever happens.
 */
#include "base/compat.h"

#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"

#include "load/target.h"

/* The size of COPY's own raw buffer: rows encoded ahead would only be copied. */
#define WINDOW_SIZE 65536

/* Signature, flags, length of the header extension: see COPY's manual page. */
static const char binary_header[] = "PGCOPY\n\377\r\n\0" "\0\0\0\0" "\0\0\0\0";

typedef struct CopyFeed
{
	DpipeRun   *run;
	StringInfoData window;		/* encoded, not yet taken by COPY */
	bool		done;			/* the trailer is in the window */
	CopyFromState cstate;
} CopyFeed;

static CopyFeed *current_feed = NULL;

/* Encode until the window has something, or nothing is left. */
static void
fill_window(CopyFeed *feed)
{
	DpipeRun   *run = feed->run;

	resetStringInfo(&feed->window);
	while (run->next < run->hi && feed->window.len < WINDOW_SIZE)
	{
		int			record = run->next++;

		if (run->verdicts[record] != NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (dpipe_row_encode(run, record, &feed->window))
			run->line[run->nlines++] = record;
	}
	if (run->next >= run->hi)
	{
		pq_sendint16(&feed->window, -1);
		feed->done = true;
	}
}

/* See copy_data_source_cb; 0 is the end. */
static int
read_feed(void *outbuf, int minread, int maxread)
{
	CopyFeed   *feed = current_feed;
	int			done = 0;

	Assert(feed != NULL);
	while (done < minread || done == 0)
	{
		int			n;

		if (feed->window.cursor >= feed->window.len)
		{
			if (feed->done)
				break;
			fill_window(feed);
		}
		n = Min(maxread - done, feed->window.len - feed->window.cursor);
		memcpy((char *) outbuf + done,
			   feed->window.data + feed->window.cursor, n);
		feed->window.cursor += n;
		done += n;
	}
	return done;
}

static uint64
copy_rows(CopyFeed *feed)
{
	DpipeRun   *run = feed->run;
	ParseState *pstate = make_parsestate(NULL);
	List	   *options = list_make1(makeDefElem("format",
												 (Node *) makeString("binary"),
												 -1));
	uint64		rows;

	(void) addRangeTableEntryForRelation(pstate, run->rel, RowExclusiveLock,
										 NULL, false, false);
	feed->cstate = BeginCopyFrom(pstate, run->rel, NULL, NULL, false,
								 read_feed, run->plan->attnames, options);
	rows = CopyFrom(feed->cstate);
	EndCopyFrom(feed->cstate);
	feed->cstate = NULL;		/* an error from here on is about no row */
	free_parsestate(pstate);
	return rows;
}

static uint64
store(DpipeRun *run)
{
	CopyFeed   *feed = palloc0_object(CopyFeed);
	CopyFeed   *outer = current_feed;
	uint64		rows;

	feed->run = run;
	initStringInfo(&feed->window);
	enlargeStringInfo(&feed->window, WINDOW_SIZE + WINDOW_SIZE / 4);
	appendBinaryStringInfo(&feed->window, binary_header,
						   sizeof(binary_header) - 1);
	run->path_state = feed;

	PG_TRY();
	{
		current_feed = feed;
		rows = copy_rows(feed);
	}
	PG_FINALLY();
	{
		current_feed = outer;
	}
	PG_END_TRY();
	return rows;
}

/*
 * COPY counts rows in binary format too, sets the count back to the row whose
 * index entries it makes, and has counted one row too many when it comes to
 * the triggers at the end. So a number within the rows given to it is the row
 * it was busy with.
 */
static int
blame(DpipeRun *run, const char **column)
{
	CopyFeed   *feed = run->path_state;

	if (feed == NULL || feed->cstate == NULL ||
		feed->cstate->cur_lineno < 1 ||
		feed->cstate->cur_lineno > (uint64) run->nlines)
		return -1;
	*column = feed->cstate->cur_attname;
	return run->line[feed->cstate->cur_lineno - 1];
}

const DpipePath dpipe_copy_path = {
	.name = "copy",
	.store = store,
	.blame = blame,
};
