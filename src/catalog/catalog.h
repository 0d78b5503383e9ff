/*
 * catalog.h
 *		Definitions, positions and the ledger: the rows that make it exact.
 *
 * All functions run inside the caller's transaction, as the extension's owner
 * whatever the current user is. Results are palloc'd in the context that is
 * current at the call.
 */
#ifndef DPIPE_CATALOG_H
#define DPIPE_CATALOG_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Names are stored as text, but kept to what fits in shared memory. */
#define DPIPE_MAX_NAME (NAMEDATALEN - 1)

#define DPIPE_UNKNOWN_OFFSET INT64CONST(-1)

typedef enum DpipeOnGap
{
	DPIPE_GAP_STOP,
	DPIPE_GAP_EARLIEST,
	DPIPE_GAP_LATEST,
} DpipeOnGap;

typedef enum DpipeKeyFormat
{
	DPIPE_KEY_TEXT,
	DPIPE_KEY_BYTEA,
	DPIPE_KEY_JSON,
} DpipeKeyFormat;

typedef struct DpipeSource
{
	char	   *name;
	char	   *kind;
	char	   *owner_name;
	Oid			owner;			/* as stored; compare with owner_name's */
	char	   *server;
	int			ntopics;
	char	  **topics;
	char	   *target_schema;
	char	   *target_table;
	char	   *format;			/* "json" or "raw" */
	char	   *envelope;		/* "none" */
	Jsonb	   *start;
	Jsonb	   *options;		/* as given */
	int			workers;
	bool		enabled;
	int64		version;
	int64		epoch;
	bool		restored;		/* of another incarnation, or owner replaced */

	/* options, with their defaults */
	int			batch_rows;
	int64		batch_bytes;
	int			linger_ms;
	int64		max_record_bytes;
	DpipeOnGap	on_gap;
	bool		unknown_field_is_dead_letter;
	DpipeKeyFormat key_format;
	Jsonb	   *librdkafka;		/* NULL or an object of strings */
	Jsonb	   *stop_at;		/* NULL, or as dpipe_seek's position */
} DpipeSource;

/* Where one slot stands. All arrays have npartitions entries. */
typedef struct DpipePosition
{
	int64		epoch;
	int			nstarted;		/* topics whose start was settled: their new */
	char	  **started;		/* partitions begin at offset 0 */
	int			npartitions;
	char	  **topic;
	int32	   *partition;
	int64	   *next_offset;
	int64	   *end_offset;
	int64	   *stop_offset;
	int64	   *last_timestamp; /* ms since 1970 of the last record loaded */
	int64	   *print_offset;	/* fingerprint: the last record loaded */
	int64	   *print_timestamp;
	int64	   *print_crc;
	int64		rows;
	int64		bytes;
	int64		dead_letters;
} DpipePosition;

typedef struct DpipeLoad
{
	int64		load_id;
	int64		rows;
	int64		dead_letters;
	int64		bytes;
	TimestampTz started_at;
} DpipeLoad;

/* NULL when missing_ok and there is none; else 42704. */
extern DpipeSource *dpipe_source_get(const char *name, bool missing_ok);

/* Raise 42501 unless the current user may act as the source's owner. */
extern void dpipe_source_check_owner(const DpipeSource *source);

/*
 * Raise unless the definition is this database's own and its owner still the
 * same role: else its OID may be anybody's.
 */
extern void dpipe_source_check_adopted(const DpipeSource *source);

typedef enum DpipeNoun
{
	DPIPE_MODEL,
	DPIPE_PROJECT,
} DpipeNoun;

/*
 * Lock the definitions of models and projects against other changes. The role
 * that owns this one, after a check that the current user may act as it;
 * InvalidOid when there is none of that name.
 */
extern Oid	dpipe_definition_lock(DpipeNoun kind, const char *name);

extern DpipePosition *dpipe_position_get(const char *source, int slot);

/* A deep copy in the current memory context, with room for "extra" partitions. */
extern DpipePosition *dpipe_position_copy(const DpipePosition *p, int extra);

/* Index of a partition, or -1. "guess" is looked at first. */
extern int	dpipe_position_find(const DpipePosition *p, const char *topic,
								int32 partition, int guess);

/*
 * The compare-and-set, in two halves of one transaction. The compare comes
 * first, so that a twin of this worker fails before it does work; it locks the
 * row and is true when the slot still stands at "expected" (epoch, partitions
 * and offsets), the source is enabled (unless "foreground") and its definition
 * is still of "source"'s version. The set comes when it is known how far the
 * batch went; "load" (may be NULL) adds its counts.
 */
extern bool dpipe_position_compare(const DpipeSource *source, int slot,
								   const DpipePosition *expected,
								   bool foreground);
extern void dpipe_position_set(const DpipeSource *source, int slot,
							   const DpipePosition *next,
							   const DpipeLoad *load);

/* Keep end offsets fresh while nothing can be loaded; no compare. */
extern void dpipe_position_note_ends(const DpipeSource *source, int slot,
									 const DpipePosition *position);

/*
 * Draw a load id. The transaction gets its xid first: only then is the owner
 * of every drawn id in each snapshot that does not see the id's ledger row,
 * which is what new_rows relies on.
 */
extern int64 dpipe_load_draw_id(void);

/* The ledger row; its positions are those that differ between the two. */
extern void dpipe_load_record(const DpipeSource *source, int slot,
							  const DpipeLoad *load,
							  const DpipePosition *from,
							  const DpipePosition *to);

/* A gap at which the source stands ("stop") is recorded once. */
extern void dpipe_gap_record(const DpipeSource *source, const char *topic,
							 int32 partition, int64 from_offset,
							 int64 to_offset, const char *action);

/*
 * Lasting states: "error", "finished", or a failure's text under "retrying";
 * cleared means state '' with the last error kept. Setting one for a source
 * that was dropped meanwhile, or is another owner's, does nothing.
 */
extern void dpipe_slot_state_set(const char *source, int slot, Oid owner,
								 const char *state, const char *reason,
								 const char *last_error, const char *shown);
extern void dpipe_slot_state_clear(const char *source, int slot);

/*
 * A state that lasts ("error", "finished"), unless the definition is no longer
 * of "source"'s version: it would stick to a definition that it says nothing
 * about. Holds the definition until the transaction ends. False: not set.
 */
extern bool dpipe_slot_state_settle(const DpipeSource *source, int slot,
									const char *state, const char *reason,
									const char *last_error);

#endif							/* DPIPE_CATALOG_H */
