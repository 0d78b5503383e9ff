/*
 * fault.c
 *		Whose fault is an error: the record's, the environment's, or unknown?
 *
 * A record's fault makes a dead letter, so nothing may count as one that the
 * next attempt, or an administrator, could make go away. An environment's
 * fault stops the source until it is gone. What is neither is narrowed down
 * by the loader, and blamed on a record only when its neighbours are stored.
 */
#include "base/compat.h"

#include "load/target.h"

#define CLASS(a, b) MAKE_SQLSTATE((a), (b), '0', '0', '0')

DpipeFault
dpipe_fault_classify(int sqlstate)
{
	/* Exceptions to their classes. */
	switch (sqlstate)
	{
		case ERRCODE_OUT_OF_MEMORY:
			/* One huge record, or a machine short of memory. */
			return DPIPE_FAULT_UNKNOWN;
		case ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED:
			/* Class 22, but every record meets an exhausted sequence. */
			return DPIPE_FAULT_ENVIRONMENT;
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_DATATYPE_MISMATCH:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return DPIPE_FAULT_ENVIRONMENT;
		case ERRCODE_RAISE_EXCEPTION:
			return DPIPE_FAULT_RECORD;
	}

	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case CLASS('2', '1'):	/* cardinality violation */
		case CLASS('2', '2'):	/* data exception */
		case CLASS('2', '3'):	/* integrity constraint violation */
		case CLASS('4', '4'):	/* WITH CHECK OPTION violation */
		case CLASS('5', '4'):	/* program limit exceeded */
			return DPIPE_FAULT_RECORD;
		case CLASS('0', '8'):	/* connection exception */
		case CLASS('4', '0'):	/* transaction rollback */
		case CLASS('5', '3'):	/* insufficient resources */
		case CLASS('5', '5'):	/* object not in prerequisite state */
		case CLASS('5', '7'):	/* operator intervention */
		case CLASS('5', '8'):	/* system error */
			return DPIPE_FAULT_ENVIRONMENT;
		default:
			return DPIPE_FAULT_UNKNOWN;
	}
}

/*
 * The same for an error at hand, where the SQLSTATE does not tell. A row-level
 * policy refuses a row as a missing privilege would; and a value that needs
 * more than 1 GB (an array of jsonb with some 17 million elements, say) is an
 * internal error to the memory manager, but always the record's.
 *
 * "reads_value": an input function of the server's raised it. What is missing
 * or misspelt then (a regclass, a jsonpath) is what the value says.
 */
DpipeFault
dpipe_fault_of(const ErrorData *edata, bool reads_value)
{
	int			category = ERRCODE_TO_CATEGORY(edata->sqlerrcode);

	if (reads_value &&
		(category == CLASS('4', '2') || category == CLASS('3', 'F')))
		return DPIPE_FAULT_RECORD;
	if (edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE &&
		edata->funcname != NULL &&
		strcmp(edata->funcname, "ExecWithCheckOptions") == 0)
		return DPIPE_FAULT_RECORD;
	if (edata->sqlerrcode == ERRCODE_INTERNAL_ERROR &&
		edata->message_id != NULL &&
		strncmp(edata->message_id, "invalid memory alloc request size",
				strlen("invalid memory alloc request size")) == 0)
		return DPIPE_FAULT_RECORD;
	return dpipe_fault_classify(edata->sqlerrcode);
}
