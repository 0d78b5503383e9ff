/*
 * vformat.c
 *		Messages of functions that take a format and what is in it.
 */
#include "postgres.h"

#include "base/vformat.h"
#include "lib/stringinfo.h"

char *
dpipe_vformat(const char *fmt, va_list args)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		copy;
		int			needed;

		va_copy(copy, args);
		needed = appendStringInfoVA(&buf, fmt, copy);
		va_end(copy);
		if (needed == 0)
			return buf.data;
		enlargeStringInfo(&buf, needed);
	}
}
