/*
 * load.h
 *		A batch of records into a table, whole: what cannot be stored becomes
 *		a dead letter in the same transaction.
 */
#ifndef DPIPE_LOAD_H
#define DPIPE_LOAD_H

#include "postgres.h"

#include "catalog/catalog.h"
#include "load/source.h"

/*
 * A target prepared for loading: column plan, encoders, scratch memory. Lives
 * in the memory context given to dpipe_target_open; rebuilt by the loader when
 * the relation's definition changed (it notices through relcache
 * invalidation). Holds no lock and no relation between transactions.
 */
typedef struct DpipeTarget DpipeTarget;

extern DpipeTarget *dpipe_target_open(const DpipeSource *source,
									  MemoryContext parent);
extern void dpipe_target_close(DpipeTarget *target);

/* "copy" or "sql": the path the last batch took, "" before the first. */
extern const char *dpipe_target_load_path(const DpipeTarget *target);

/*
 * Store records [0, n) of the batch. Runs in the caller's transaction, under
 * the owner's identity (switches itself, by dpipe_identity_owner), in
 * subtransactions of its own. Constraints are made immediate.
 *
 * Records whose own fault it is become dead letters (written as the
 * extension's owner). When more than the allowed number of culprits had to be
 * narrowed down by subtransactions, it stops early: the result is how many
 * records from the front are settled, and the caller commits the position
 * after exactly those. Faults of the environment are raised: nothing is
 * stored then.
 *
 * load->load_id and started_at are given; rows, dead_letters and bytes are
 * filled in. rows counts what the table took: a row that the user's own BEFORE
 * trigger or rule takes away is neither a row nor a dead letter.
 */
extern int	dpipe_target_load(DpipeTarget *target, const DpipeBatch *batch,
							  DpipeLoad *load);

/*
 * SQLSTATE → whose fault. Three-valued: an unknown fault is narrowed down,
 * and only a lone record that fails again and again while its neighbours are
 * stored is blamed.
 */
typedef enum DpipeFault
{
	DPIPE_FAULT_RECORD,
	DPIPE_FAULT_ENVIRONMENT,
	DPIPE_FAULT_UNKNOWN,
} DpipeFault;

extern DpipeFault dpipe_fault_classify(int sqlstate);

/*
 * For dpipe_create_*_source: resolve "target" as regclass does, make the
 * default table when there is none (as the current user, who becomes its
 * owner), and refuse with a clear error what cannot be loaded: no INSERT
 * right, unlogged, temporary, foreign, no table, system catalog, …
 * Schema and table name are returned palloc'd.
 */
extern void dpipe_target_prepare(const char *target, const char *format,
								 DpipeKeyFormat key_format,
								 char **schema, char **table);

#endif							/* DPIPE_LOAD_H */
