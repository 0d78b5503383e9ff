/*
 * error.c
 *		Raising an error again that was caught and kept.
 *
 * CopyErrorData copies the names of file and function, too, as JIT may unload
 * the code that has them; ReThrowError takes them for constants. So an error
 * of a batch, raised again when the batch's memory is on its way out, would be
 * reported with names that are not there any more.
 */
#include "base/compat.h"

#include "utils/memutils.h"

#include "base/error.h"

static const char *
keep(const char *s)
{
	return s == NULL ? NULL : MemoryContextStrdup(ErrorContext, s);
}

void
dpipe_rethrow(ErrorData *edata)
{
	ErrorData	kept = *edata;

	kept.filename = keep(edata->filename);
	kept.funcname = keep(edata->funcname);
	kept.domain = keep(edata->domain);
	kept.context_domain = keep(edata->context_domain);
	kept.message_id = keep(edata->message_id);
	ReThrowError(&kept);
}
