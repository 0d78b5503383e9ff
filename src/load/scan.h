/*
 * scan.h
 *		One pass over a JSON text: is it JSON, and where are its fields?
 *
 * Stands alone (no memory, no errors raised), so that the fuzz driver links
 * it without a server.
 */
#ifndef DPIPE_SCAN_H
#define DPIPE_SCAN_H

/*
 * Nesting beyond this is refused here; the stack limit of PostgreSQL's own
 * parser is far lower unless max_stack_depth was raised to match.
 */
#define DPIPE_SCAN_MAX_DEPTH 100000

typedef enum DpipeJsonType
{
	DPIPE_JSON_NULL,
	DPIPE_JSON_TRUE,
	DPIPE_JSON_FALSE,
	DPIPE_JSON_NUMBER,
	DPIPE_JSON_STRING,
	DPIPE_JSON_OBJECT,
	DPIPE_JSON_ARRAY,
} DpipeJsonType;

/*
 * What stands in a value, at any depth. The last three are valid JSON that
 * jsonb refuses (and, in a string, text refuses the first two).
 */
#define DPIPE_JSON_HAS_ESCAPE		0x01
#define DPIPE_JSON_HAS_NUL			0x02	/* the escape \u0000 */
#define DPIPE_JSON_HAS_SURROGATE	0x04	/* half of a pair alone */
#define DPIPE_JSON_HAS_HUGE_NUMBER	0x08	/* beyond what numeric can hold */

typedef struct DpipeJsonValue
{
	DpipeJsonType type;
	int			flags;
	const char *span;			/* as written, a string's quotes included */
	int			span_len;
} DpipeJsonValue;

typedef enum DpipeJsonError
{
	DPIPE_JSON_OK,
	DPIPE_JSON_UNEXPECTED_END,
	DPIPE_JSON_UNEXPECTED_CHARACTER,
	DPIPE_JSON_CONTROL_CHARACTER,
	DPIPE_JSON_BAD_ESCAPE,
	DPIPE_JSON_TOO_DEEP,
} DpipeJsonError;

/*
 * Called for each field of an object at the top, in order, duplicates
 * included. "key" is between its quotes, escapes still in it.
 */
typedef void (*DpipeJsonFieldCallback) (void *arg, const char *key,
										int key_len, int key_flags,
										const DpipeJsonValue *value);

typedef struct DpipeJsonDocument
{
	DpipeJsonValue root;		/* its flags cover the whole document */
	DpipeJsonError error;
	int			error_at;		/* byte */
} DpipeJsonDocument;

/*
 * Scan "len" bytes, which are to be valid UTF-8 (not looked at here). True
 * when they are one JSON value as RFC 8259 has it. "field" may be NULL.
 */
extern bool dpipe_json_scan(const char *text, int len,
							DpipeJsonFieldCallback field, void *arg,
							DpipeJsonDocument *document);

/* The error in words. */
extern const char *dpipe_json_error_text(DpipeJsonError error);

/*
 * Resolve the escapes of a scanned string (between its quotes) that has
 * neither NUL nor lone surrogates. "out" has room for "len" bytes; returns
 * the length.
 */
extern int	dpipe_json_unescape(const char *s, int len, char *out);

#endif							/* DPIPE_SCAN_H */
