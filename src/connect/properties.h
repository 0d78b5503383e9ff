/*
 * properties.h
 *		What dpipe knows about each configuration property of librdkafka.
 *
 * Private to connect/.
 */
#ifndef DPIPE_PROPERTIES_H
#define DPIPE_PROPERTIES_H

#include "postgres.h"

/* Decides where a property may be written, and what to say elsewhere. */
typedef enum DpipePropertyClass
{
	PK_TUNING,					/* server; options of a source */
	PK_CONNECTION,				/* server: which host, and how to trust it */
	PK_CREDENTIAL,				/* server or user mapping: who we are */
	PK_SECRET,					/* user mapping only */
	PK_PRODUCER,				/* server; no use to a source */
	PK_CALLBACK,				/* set by code or read-only: nowhere */
	PK_POSITION,				/* dpipe's own: nowhere, as the rest */
	PK_RESET,
	PK_SIZE,
	PK_OWN,
} DpipePropertyClass;

/* Why only superusers may set it. */
typedef enum DpipePropertyDanger
{
	PD_NONE,
	PD_FILE,					/* reads a file */
	PD_CODE,					/* runs a program or loads a library */
	PD_MACHINE,					/* lends out the machine's identity */
	PD_LOG,						/* floods the server log */
} DpipePropertyDanger;

typedef enum DpipePropertyType
{
	PT_STRING,
	PT_BOOLEAN,
	PT_INTEGER,
	PT_FLOAT,
	PT_ENUM,
} DpipePropertyType;

typedef struct DpipePropertyInfo
{
	const char *name;
	DpipePropertyClass class;
	DpipePropertyDanger danger;
	DpipePropertyType type;
	int64		min;
	int64		max;
	const char *values;			/* of an enum: "a, b, c" */
} DpipePropertyInfo;

/* Sorted by name. */
extern const DpipePropertyInfo dpipe_property_table[];
extern const int dpipe_property_count;

extern const DpipePropertyInfo *dpipe_property_find(const char *name);

#endif							/* DPIPE_PROPERTIES_H */
