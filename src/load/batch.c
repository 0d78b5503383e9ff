/*
 * batch.c
 *		A batch into the table, whole: find what cannot be stored, store the
 *		rest.
 *
 * All records are tried at once in a subtransaction. What the encoders refuse
 * on the way is left out and costs nothing. When an error comes, its class
 * decides:
 *
 * - the environment's: raised, nothing of the batch stays;
 * - a record's, and the path knows which: what stands before it is stored, it
 *	 gets a verdict, and the attempt goes on behind it. The work is linear in
 *	 the batch;
 * - a record's, but nobody knows which (a foreign key or a trigger at the end
 *	 of the statement), or unknown: the range is halved;
 * - unknown, and alone: tried three times. It is blamed only if the batch has
 *	 neighbours that could be stored, else the error is raised: then it is the
 *	 environment that does not know better words.
 *
 * Where constraints of the table have refused one record and another one, those
 * ahead that they will refuse are looked for first (foresee.c). Each is tried
 * alone, without being stored; what is refused then is left out of the attempt
 * at its neighbours, as what the encoders refuse.
 *
 * How far an attempt reaches follows the distance of the faults: where every
 * tenth record is bad, an attempt at thousands of them would encode them all
 * only to fail at the tenth.
 *
 * Records are stored in their order. Ranges still to be done are a stack of
 * ends, so no input can make us recurse.
 *
 * A subtransaction that stays costs an xid, and with more than 64 of them
 * (PGPROC_MAX_CACHED_SUBXIDS) every snapshot in the cluster gets slower; so a
 * batch with many culprits ends early and the caller commits what is settled.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/identity.h"
#include "load/target.h"

/* Design section 2.3. */
#define MAX_CULPRITS 50

/* Leaves room for the caller's own below PGPROC_MAX_CACHED_SUBXIDS. */
#define MAX_SUBTRANSACTIONS 56

#define UNKNOWN_FAULT_TRIES 3

/* Fewer records are not worth the beginning of an attempt. */
#define MIN_REACH 16

/* Records are looked at ahead when so many were refused by constraints. */
#define REFUSALS_BEFORE_FORESIGHT 2

/* Fewer records are not worth the beginning of a look. */
#define MIN_SIGHT 256

/* Of what an error says; it may quote a value of any size. */
#define MAX_MESSAGE_LEN 2000

/* An end of a range still to be done, and what is known of the record there. */
typedef struct Range
{
	int			hi;
	DpipeVerdict *culprit;		/* verdict for record hi, or NULL */
} Range;

typedef struct Failure
{
	ErrorData  *edata;
	DpipeFault	fault;
	int			record;			/* -1: not known */
	bool		sure;			/* "record" is to blame beyond doubt */
	DpipeVerdict *verdict;
} Failure;

typedef struct Settling
{
	DpipeRun   *run;
	uint64		rows;
	int			stored;			/* records in attempts that went well */
	int			subtransactions;	/* that stay */
	int			culprits;
	int			suspects;		/* culprits by an unknown fault */
	ErrorData  *suspicion;		/* the error of the last suspect */
	bool		witnessed;		/* a neighbour of theirs could be stored */
	int			reach;			/* most records of an attempt */
	DpipeForesight foresight;
	int			refusals;		/* by constraints of the table */
	int			looked_to;		/* records before it were looked at ahead */
	int			foreseen[MAX_CULPRITS]; /* convicted ahead, in order */
	int			nforeseen;
	int			npassed;		/* those of them that lie behind */
	Range	   *ranges;
	int			nranges;
	int			room;
} Settling;

/* ---------- one attempt ---------- */

static void
append_clipped(StringInfo s, const char *text)
{
	int			len = strlen(text);
	int			clipped = pg_mbcliplen(text, len, MAX_MESSAGE_LEN);

	appendBinaryStringInfo(s, text, clipped);
	if (clipped < len)
		appendStringInfoString(s, "...");
}

static char *
error_message(const ErrorData *edata, const char *column)
{
	StringInfoData s;

	initStringInfo(&s);
	if (column != NULL)
		appendStringInfo(&s, "column \"%s\": ", column);
	append_clipped(&s, edata->message ? edata->message : "no message");
	if (edata->detail != NULL)
	{
		appendStringInfoString(&s, ": ");
		append_clipped(&s, edata->detail);
	}
	return s.data;
}

/*
 * May the row number be believed without a trial? Not when the error can come
 * from writing many buffered rows at once, which happens under the number of
 * the row that filled the buffer: a tuple too big, memory, the unknown.
 */
static bool
is_sure(const ErrorData *edata, DpipeFault fault)
{
	return fault == DPIPE_FAULT_RECORD &&
		edata->sqlerrcode != ERRCODE_INTERNAL_ERROR &&
		ERRCODE_TO_CATEGORY(edata->sqlerrcode) !=
		ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

/* After an error, with the subtransaction already rolled back. */
static void
diagnose(DpipeRun *run, Failure *failure)
{
	const char *column = NULL;
	const char *stage = "insert";

	failure->fault = dpipe_fault_of(failure->edata,
									run->current >= 0 && run->reads_value);
	if (run->current >= 0)
	{
		/* an input function or a default */
		failure->record = run->current;
		failure->sure = true;
		column = run->column;
		stage = "convert";
	}
	else
	{
		failure->record = run->path->blame != NULL ?
			run->path->blame(run, &column) : -1;
		failure->sure = failure->record >= 0 &&
			(column != NULL || is_sure(failure->edata, failure->fault));
		if (column != NULL)
			stage = "convert";	/* a receive function */
	}
	failure->verdict = palloc_object(DpipeVerdict);
	failure->verdict->stage = stage;
	failure->verdict->sqlstate = failure->edata->sqlerrcode;
	failure->verdict->message = error_message(failure->edata, column);
	if (failure->fault == DPIPE_FAULT_RECORD)
	{
		/* It is never raised, and may be as large as the record. */
		FreeErrorData(failure->edata);
		failure->edata = NULL;
	}
}

/*
 * A deferred constraint would show its face at commit, where no record can be
 * blamed and the batch could not be stored without it. Triggers of the table
 * may defer them again.
 */
static uint64
store_in_subtransaction(DpipeRun *run)
{
	uint64		rows;

	dpipe_constraints_immediate();
	PushActiveSnapshot(GetTransactionSnapshot());
	dpipe_row_begin_attempt(run);
	DPIPE_FAULT_POINT("load-store");
	rows = run->path->store(run);
	dpipe_constraints_immediate();
	dpipe_row_end_attempt(run);
	PopActiveSnapshot();
	return rows;
}

/*
 * Store records [lo, hi), or see whether they could be, without "keep". On
 * false nothing of them is stored.
 */
static bool
attempt(Settling *st, int lo, int hi, bool keep, Failure *failure)
{
	DpipeRun   *run = st->run;
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = false;

	MemoryContextReset(run->attempt_cxt);
	run->path_state = NULL;
	run->next = lo;
	run->hi = hi;
	run->nlines = 0;
	memset(failure, 0, sizeof(Failure));

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(run->attempt_cxt);
	PG_TRY();
	{
		uint64		rows = store_in_subtransaction(run);

		if (keep)
		{
			ReleaseCurrentSubTransaction();
			st->rows += rows;
			st->stored += run->nlines;
			st->subtransactions++;
		}
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		ok = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->batch_cxt);
		failure->edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(run->batch_cxt);
		CurrentResourceOwner = owner;
		diagnose(run, failure);
		MemoryContextSwitchTo(old);
	}
	PG_END_TRY();

	if (!ok && failure->fault == DPIPE_FAULT_ENVIRONMENT)
		dpipe_rethrow(failure->edata);
	return ok;
}

/* ---------- ranges ---------- */

static void
push_range(Settling *st, int hi, DpipeVerdict *culprit)
{
	if (st->nranges >= st->room)
	{
		st->room *= 2;
		st->ranges = repalloc(st->ranges, st->room * sizeof(Range));
	}
	Assert(st->nranges == 0 || st->ranges[st->nranges - 1].hi >= hi);
	st->ranges[st->nranges].hi = hi;
	st->ranges[st->nranges].culprit = culprit;
	st->nranges++;
}

static void
convict(Settling *st, int record, DpipeVerdict *verdict)
{
	st->run->verdicts[record] = verdict;
	st->culprits++;
}

/*
 * A record that fails alone with an unknown fault. Twice more, then it is
 * suspect, and stays so until the batch is through.
 */
static bool
try_again(Settling *st, int record, Failure *failure)
{
	for (int i = 1; i < UNKNOWN_FAULT_TRIES; i++)
	{
		if (failure->fault != DPIPE_FAULT_UNKNOWN)
			break;
		if (attempt(st, record, record + 1, true, failure))
			return true;
	}
	return false;
}

static bool
could_be_stored(Settling *st, int record)
{
	Failure		failure;

	return st->run->verdicts[record] == NULL &&
		attempt(st, record, record + 1, false, &failure) &&
		st->run->nlines > 0;
}

/*
 * The first records all fail with an unknown fault. Could any of those behind
 * them be stored? A few are looked at, ever farther away, and the last one.
 */
static bool
find_witness(Settling *st, int record)
{
	int			last = st->run->batch->nrecords - 1;

	for (int step = 1; record + step < last; step *= 2)
	{
		if (could_be_stored(st, record + step))
			return true;
	}
	return last > record && could_be_stored(st, last);
}

/* The record was alone in its attempt. */
static void
settle_lone_record(Settling *st, int record, Failure *failure)
{
	if (failure->fault == DPIPE_FAULT_UNKNOWN &&
		try_again(st, record, failure))
		return;
	if (st->run->verdicts[record] == NULL)
		convict(st, record, failure->verdict);
	if (failure->fault == DPIPE_FAULT_UNKNOWN)
	{
		st->suspects++;
		st->suspicion = failure->edata;

		if (st->stored == 0 && !st->witnessed &&
			st->suspects >= UNKNOWN_FAULT_TRIES)
		{
			st->witnessed = find_witness(st, record);
			if (!st->witnessed)
				dpipe_rethrow(st->suspicion);
		}
	}
}

/*
 * Could looking into the payloads find it, and others like it, in one pass?
 * On the fast way nobody but COPY has looked yet.
 */
static bool
look_inside(DpipeRun *run, const Failure *failure)
{
	int			category = ERRCODE_TO_CATEGORY(failure->verdict->sqlstate);

	if (dpipe_row_scans_payload(run) ||
		(category != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) &&
		 category != ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED)))
		return false;
	run->look_inside = true;
	return true;
}

/* ---------- looking ahead ---------- */

static bool
is_refusal(const Failure *failure)
{
	int			sqlstate = failure->verdict->sqlstate;

	return failure->fault == DPIPE_FAULT_RECORD &&
		strcmp(failure->verdict->stage, "insert") == 0 &&
		(sqlstate == ERRCODE_CHECK_VIOLATION ||
		 sqlstate == ERRCODE_NOT_NULL_VIOLATION);
}

/* An attempt was lost to this. One that had been looked at should not be. */
static void
note_refusal(Settling *st, const Failure *failure)
{
	if (!is_refusal(failure) || st->foresight == DPIPE_FORESIGHT_OFF)
		return;
	st->refusals++;
	if (failure->record < st->looked_to)
		st->foresight = DPIPE_FORESIGHT_OFF;
	else if (st->refusals >= REFUSALS_BEFORE_FORESIGHT &&
			 dpipe_foresee_possible(st->run))
		st->foresight = DPIPE_FORESIGHT_ON;
}

/*
 * Try what was foreseen. A record that could be stored, or that fails for
 * another reason, is left to the attempts.
 */
static void
try_foreseen(Settling *st)
{
	DpipeRun   *run = st->run;

	for (int i = 0; i < run->nforeseen; i++)
	{
		int			record = run->foreseen[i];
		Failure		failure;

		if (attempt(st, record, record + 1, false, &failure))
		{
			st->foresight = DPIPE_FORESIGHT_OFF;
			return;
		}
		if (!is_refusal(&failure))
			continue;
		run->verdicts[record] = failure.verdict;
		st->foreseen[st->nforeseen++] = record;
	}
}

/* The records from "lo" on, as far as the culprits that a batch may have. */
static void
look_ahead(Settling *st, int lo, int hi)
{
	DpipeRun   *run = st->run;
	const DpipePath *path = run->path;
	Failure		failure;
	bool		seen;

	hi = Min(hi, lo + Max(st->reach, MIN_SIGHT));
	run->nforeseen = 0;
	run->max_foreseen = MAX_CULPRITS - st->culprits - st->nforeseen;
	if (run->max_foreseen <= 0)
		return;					/* all of them lie behind */
	run->path = &dpipe_foresee_path;
	seen = attempt(st, lo, hi, false, &failure);
	run->path = path;
	if (!seen)
	{
		st->foresight = DPIPE_FORESIGHT_OFF;
		return;
	}
	if (run->nforeseen == 0)
	{
		st->foresight = DPIPE_FORESIGHT_UNASKED;
		st->refusals = 0;
	}
	st->looked_to = run->next;
	st->reach = Max(st->reach, st->looked_to - lo);
	push_range(st, st->looked_to, NULL);
	try_foreseen(st);
}

/* [lo, hi) failed: put smaller ranges on the stack, or settle it. */
static int
narrow_down(Settling *st, int lo, int hi, Failure *failure)
{
	int			k = failure->record;

	if (look_inside(st->run, failure))
		return lo;
	note_refusal(st, failure);
	if (!st->run->plan->refers_to_itself)
		st->reach = Max(MIN_REACH, k < 0 ? (hi - lo) / 2 : 2 * (k - lo + 1));
	if (hi - lo == 1)
	{
		settle_lone_record(st, lo, failure);
		return hi;
	}
	if (k < 0)
		push_range(st, lo + (hi - lo) / 2, NULL);
	else if (failure->sure && failure->fault == DPIPE_FAULT_RECORD)
	{
		if (k == lo)
		{
			convict(st, k, failure->verdict);
			return k + 1;
		}
		push_range(st, k, failure->verdict);
	}
	else
	{
		/* Not sure: what stands before it first, then it alone. */
		if (k + 1 < hi)
			push_range(st, k + 1, NULL);
		if (k > lo)
			push_range(st, k, NULL);
	}
	return lo;
}

/* Records with a verdict at the front of a range need no attempt. */
static int
skip_convicted(DpipeRun *run, int lo, int hi)
{
	while (lo < hi && run->verdicts[lo] != NULL)
		lo++;
	return lo;
}

/* With what stands before "lo" settled. */
static bool
must_stop(Settling *st, int lo)
{
	while (st->npassed < st->nforeseen && st->foreseen[st->npassed] < lo)
		st->npassed++;
	return st->culprits + st->npassed >= MAX_CULPRITS ||
		st->subtransactions >= MAX_SUBTRANSACTIONS;
}

/* Returns how many records from the front are settled. */
static int
settle(Settling *st)
{
	int			lo = 0;

	push_range(st, st->run->batch->nrecords, NULL);
	while (st->nranges > 0 && !must_stop(st, lo))
	{
		Range	   *top = &st->ranges[st->nranges - 1];
		int			hi = top->hi;
		Failure		failure;

		lo = skip_convicted(st->run, lo, hi);
		if (st->foresight == DPIPE_FORESIGHT_ON && st->nranges == 1 &&
			lo < hi && lo >= st->looked_to)
			look_ahead(st, lo, hi);
		else if (hi - lo > st->reach)
			push_range(st, lo + st->reach, NULL);
		else if (lo < hi && attempt(st, lo, hi, true, &failure))
		{
			/* What was cut short at a culprit says nothing. */
			if (hi - lo == st->reach)
				st->reach = Min(2 * st->reach, st->run->batch->nrecords);
			lo = hi;
		}
		else if (lo < hi)
			lo = narrow_down(st, lo, hi, &failure);
		else
		{
			if (top->culprit != NULL)
			{
				convict(st, hi, top->culprit);
				lo = hi + 1;
			}
			st->nranges--;
		}
	}
	return lo;
}

/*
 * A row that refers to a later row of the same batch was split from it while
 * somebody else's fault was looked for. Now that the others are in, it has
 * its second chance.
 */
static void
retry_foreign_keys(Settling *st, int settled)
{
	DpipeRun   *run = st->run;

	for (int i = 0; i < settled; i++)
	{
		DpipeVerdict *verdict = run->verdicts[i];
		Failure		failure;

		if (verdict == NULL ||
			verdict->sqlstate != ERRCODE_FOREIGN_KEY_VIOLATION)
			continue;
		if (st->subtransactions >= PGPROC_MAX_CACHED_SUBXIDS)
			break;
		run->verdicts[i] = NULL;
		if (!attempt(st, i, i + 1, true, &failure))
			run->verdicts[i] = verdict;
	}
}

/*
 * Store the batch's records. What is settled, from the front, is stored or
 * has a verdict; "load" gets the number of rows.
 */
void
dpipe_batch_store(DpipeRun *run, DpipeLoad *load, int *settled)
{
	Settling	st = {0};

	st.run = run;
	st.room = 32;
	st.ranges = palloc_array(Range, st.room);

	/* The rest of a batch goes on with the reach that it had come to. */
	st.reach = run->target->reach > 0 ? run->target->reach :
		run->batch->nrecords;
	st.foresight = run->target->foresight;
	run->foreseen = palloc_array(int, MAX_CULPRITS);

	*settled = settle(&st);
	Assert(*settled > 0);
	if (st.suspects > 0 && st.stored == 0 && !st.witnessed)
		dpipe_rethrow(st.suspicion);
	run->target->reach = *settled < run->batch->nrecords ? st.reach : 0;
	run->target->foresight = *settled < run->batch->nrecords ? st.foresight :
		DPIPE_FORESIGHT_UNASKED;
	retry_foreign_keys(&st, *settled);
	load->rows = st.rows;
}
