/*
 * target.h
 *		Inside the loader: a target's column plan and one batch's state.
 */
#ifndef DPIPE_TARGET_H
#define DPIPE_TARGET_H

#include "postgres.h"

#include "access/attnum.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "load/load.h"
#include "load/scan.h"

/* What a column takes, by its name. */
typedef enum DpipeRole
{
	DPIPE_ROLE_FIELD,
	DPIPE_ROLE_SOURCE,
	DPIPE_ROLE_LOAD_ID,
	DPIPE_ROLE_EXTRACTED_AT,
	DPIPE_ROLE_TOPIC,
	DPIPE_ROLE_PARTITION,
	DPIPE_ROLE_OFFSET,
	DPIPE_ROLE_KEY,
	DPIPE_ROLE_HEADERS,
	DPIPE_ROLE_TIMESTAMP,
	DPIPE_ROLE_PAYLOAD,
} DpipeRole;

/*
 * A value on its way into a column. For a string "text" is what it says,
 * escapes resolved; otherwise it is the JSON text.
 */
typedef struct DpipeValue
{
	DpipeJsonType type;
	int			flags;			/* DPIPE_JSON_HAS_… */
	const char *text;
	int			text_len;
	const char *span;			/* as JSON, quotes included */
	int			span_len;
} DpipeValue;

/* Why a record cannot be stored. */
typedef struct DpipeVerdict
{
	const char *stage;			/* "decode", "convert", "insert" */
	int			sqlstate;
	char	   *message;
} DpipeVerdict;

/* A wire image that many rows of a batch share. */
typedef struct DpipeCached
{
	char	   *wire;			/* NULL: none yet */
	int			len;
	int			room;
	const char *topic;			/* for which it is right */
	int32		partition;
} DpipeCached;

typedef struct DpipeColumn DpipeColumn;
typedef struct DpipeRun DpipeRun;

/*
 * Append a value that is not null in the wire format of the column's type
 * (length word included). False when the type does not take the value; the
 * current record then has its verdict. May raise as well.
 */
typedef bool (*DpipeEncoder) (DpipeRun *run, DpipeColumn *column,
							  const DpipeValue *value, StringInfo out);

typedef enum DpipeDefault
{
	DPIPE_DEFAULT_NULL,
	DPIPE_DEFAULT_CONST,
	DPIPE_DEFAULT_EXPRESSION,
} DpipeDefault;

struct DpipeColumn
{
	NameData	name;
	AttrNumber	attnum;
	DpipeRole	role;
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			base_type;		/* behind domains */
	int32		base_typmod;
	bool		typed_here;		/* one of our own encoders */
	bool		own_input;		/* "input" is the server's own function */
	DpipeEncoder encode;

	FmgrInfo	input;
	Oid			input_param;
	Oid			element_type;	/* of an array, else InvalidOid */
	FmgrInfo	send;			/* not set with as_text */
	FmgrInfo	receive;
	Oid			receive_param;

	/* a type without a binary format travels as text, on the SQL path */
	bool		as_text;
	FmgrInfo	text_input;		/* of the column's own type, domain or not */
	Oid			text_input_param;
	FmgrInfo	text_output;

	DpipeDefault default_kind;
	char	   *default_wire;	/* of a constant, length word included */
	int			default_wire_len;
	Expr	   *default_expr;
};

typedef struct DpipePath DpipePath;

/* Everything about the target that follows from its definition. */
typedef struct DpipePlan
{
	MemoryContext cxt;
	Oid			relid;
	Oid			user;			/* privileges can decide about the path */
	int			ncolumns;
	DpipeColumn *columns;
	int			nfields;		/* columns of role DPIPE_ROLE_FIELD */
	DpipeColumn *payload;		/* the _payload column, or NULL */
	List	   *attnames;
	Bitmapset  *attnums;		/* offset by FirstLowInvalidHeapAttributeNumber */
	List	   *relations;		/* OIDs: all that an INSERT is about */
	int			nwatched;		/* those and their partitions, sorted */
	Oid		   *watched;

	/* field name → column: open addressing, -1 is free */
	int			nbuckets;		/* a power of 2 */
	int			buckets_used;
	int		   *buckets;

	const DpipePath *path;
	char	   *insert_sql;		/* what the SQL path runs */
	bool		refers_to_itself;	/* by a foreign key */
} DpipePlan;

/* Are records looked at ahead of an attempt? See foresee.c. */
typedef enum DpipeForesight
{
	DPIPE_FORESIGHT_UNASKED,
	DPIPE_FORESIGHT_ON,
	DPIPE_FORESIGHT_OFF,		/* it does not see what is refused */
} DpipeForesight;

struct DpipeTarget
{
	dlist_node	node;
	MemoryContext cxt;
	const DpipeSource *source;
	bool		raw;			/* format "raw": payloads are never parsed */
	DpipePlan  *plan;			/* NULL before the first load */
	bool		plan_valid;		/* cleared by invalidation of relations or roles */
	MemoryContext batch_cxt;	/* reset with each batch */
	const char *path_name;		/* of the last batch */
	int			reach;			/* of a batch that was left unfinished, or 0 */
	DpipeForesight foresight;	/* of the same */
};

/* One batch on its way into the table. */
struct DpipeRun
{
	DpipeTarget *target;
	DpipePlan  *plan;
	const DpipePath *path;
	const DpipeBatch *batch;
	int64		load_id;
	Relation	rel;

	MemoryContext batch_cxt;	/* what must survive an aborted attempt */
	MemoryContext attempt_cxt;	/* reset by each attempt */
	MemoryContext row_cxt;		/* reset by each row */

	bool		look_inside;	/* scan payloads even where COPY parses them */
	DpipeVerdict **verdicts;	/* per record, NULL: none so far */

	/* the current attempt: records [lo, hi), those with a verdict left out */
	int			next;
	int			hi;
	int			current;		/* being encoded, else -1 */
	const char *column;			/* whose input function runs, else NULL */
	bool		reads_value;	/* it is one of the server's own */
	int		   *line;			/* which record became which row */
	int			nlines;
	EState	   *estate;			/* for defaults */
	ExprState **defaults;

	/* per row, while it is encoded: what was found in the payload */
	struct DpipeFound
	{
		bool		present;
		DpipeJsonValue value;
	}		   *found;			/* per column */
	int			field_count;
	const char *unknown_name;	/* of the first field that no column takes */
	int			unknown_name_len;

	int		   *field_order;	/* column of the n-th field of the last row */
	DpipeCached *cached;		/* per column */

	void	   *path_state;		/* the path's own, of the current attempt */

	/* foresee.c: records that constraints will refuse, in order */
	int		   *foreseen;
	int			nforeseen;
	int			max_foreseen;	/* room, and reason to look no further */
};

/*
 * A way into a table. "store" writes the records of the current attempt
 * within a subtransaction of the caller's and returns how many rows were
 * inserted; "blame" tells after an error which record it was about, -1 if
 * that is not known, and is NULL where it never is.
 */
struct DpipePath
{
	const char *name;			/* "copy", "sql" */
	uint64		(*store) (DpipeRun *run);
	int			(*blame) (DpipeRun *run, const char **column);
};

extern const DpipePath dpipe_copy_path;
extern const DpipePath dpipe_sql_path;

/* A column's wire image as a datum. */
extern Datum dpipe_receive_column(DpipeColumn *column, const char *data,
								  int len);

/*
 * foresee.c: no way into a table, but looked at in the same manner: which of
 * the attempt's records will constraints refuse? A guess.
 */
extern const DpipePath dpipe_foresee_path;
extern bool dpipe_foresee_possible(const DpipeRun *run);

/* plan.c */
extern DpipePlan *dpipe_plan_make(DpipeTarget *target, Relation rel);
extern void dpipe_plan_watch(DpipePlan *plan, Oid relid);
extern int	dpipe_plan_find_field(const DpipePlan *plan, const char *name,
								  int len);
extern bool dpipe_plan_concerns(const DpipePlan *plan, Oid relid);

/* admit.c: what can be a target */
extern void dpipe_admit_relation(Relation rel, bool raw);
extern void dpipe_admit_privileges(DpipePlan *plan, Relation rel);
extern bool dpipe_admit_insert(DpipePlan *plan, Relation rel);

/* view.c: views, and columns of a table or view */
extern Oid	dpipe_view_behind(Relation view);
extern bool dpipe_column_takes_values(Relation rel, AttrNumber attnum);
extern Node *dpipe_column_default(Relation rel, AttrNumber attnum);

/* encode.c: values into the wire format of a type */
extern void dpipe_encoder_choose(DpipeColumn *column);
extern bool dpipe_refuse(DpipeRun *run, const char *stage, int sqlstate,
						 const char *fmt,...) pg_attribute_printf(4, 5);
extern bool dpipe_utf8_valid(const char *s, int len);
extern void dpipe_append_json_string(StringInfo out, const char *s, int len);

/*
 * The length word of a value, and room for the value: what follows up to that
 * length may be written by pq_writeint* without another look at the buffer.
 */
static inline void
dpipe_put_length(StringInfo out, int len)
{
	enlargeStringInfo(out, sizeof(int32) + len);
	pq_writeint32(out, len);
}

static inline void
dpipe_put_bytes(StringInfo out, const char *data, int len)
{
	dpipe_put_length(out, len);
	memcpy(out->data + out->len, data, len);
	out->len += len;
	out->data[out->len] = '\0';
}

static inline void
dpipe_put_int64(StringInfo out, int64 n)
{
	dpipe_put_length(out, sizeof(int64));
	pq_writeint64(out, n);
}

/* row.c: a record as a row */
extern void dpipe_row_begin_batch(DpipeRun *run);
extern void dpipe_row_begin_attempt(DpipeRun *run);
extern void dpipe_row_end_attempt(DpipeRun *run);
extern bool dpipe_row_scans_payload(const DpipeRun *run);
extern bool dpipe_row_encode(DpipeRun *run, int record, StringInfo out);
extern void dpipe_headers_json(const DpipeRecord *record, StringInfo out);

/* batch.c */
extern void dpipe_batch_store(DpipeRun *run, DpipeLoad *load, int *settled);

/* dead_letter.c */
extern int64 dpipe_dead_letters_write(DpipeRun *run, int settled);

/* fault.c */
extern DpipeFault dpipe_fault_of(const ErrorData *edata, bool reads_value);

#endif							/* DPIPE_TARGET_H */
