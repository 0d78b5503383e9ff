/*
 * extension.c
 *		The extension in this database, and whether the library fits it.
 *
 * Library and catalogs are upgraded at different moments: the library with
 * the server's restart, the catalogs of each database with ALTER EXTENSION
 * dpipe UPDATE. In between, or after one of the two was forgotten, statements
 * of the library would meet tables of another form. So every way to the
 * catalogs (dpipe_identity_internal) looks at the installed version first and
 * refuses what does not fit.
 *
 * A library of version 0.1 fits the installed versions 0.1 and 0.1.x: what
 * differs in the third number differs in nothing that the other side sees. A
 * C function whose SQL declaration changes gets another symbol, so that what
 * is called past the catalogs is missing rather than wrong.
 */
#include "base/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/extension.h"

#define INSTALL_HINT "Install the files of one version, restart the server, and run ALTER EXTENSION dpipe UPDATE."

typedef struct Extension
{
	Oid			oid;			/* InvalidOid: not installed */
	Oid			owner;
	char		version[NAMEDATALEN];
} Extension;

static void
read_extension(Extension *ext)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tup;

	memset(ext, 0, sizeof(Extension));
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("dpipe"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
	{
		bool		isnull;
		Datum		version = heap_getattr(tup, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		ext->oid = ((Form_pg_extension) GETSTRUCT(tup))->oid;
		ext->owner = ((Form_pg_extension) GETSTRUCT(tup))->extowner;
		text_to_cstring_buffer(DatumGetTextPP(version), ext->version,
							   sizeof(ext->version));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static bool
fits(const char *version)
{
	size_t		len = strlen(DPIPE_VERSION);

	return strncmp(version, DPIPE_VERSION, len) == 0 &&
		(version[len] == '\0' || version[len] == '.');
}

static char *
misfit_text(const char *version)
{
	return psprintf("dpipe has version %s in this database, which the loaded library, %s, does not fit",
					version, DPIPE_VERSION);
}

static void
check_fit(const Extension *ext)
{
	if (!fits(ext->version))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", misfit_text(ext->version)),
				 errhint(INSTALL_HINT)));
}

Oid
dpipe_extension_oid(bool missing_ok)
{
	Extension	ext;

	read_extension(&ext);
	if (!OidIsValid(ext.oid) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"dpipe\" is not installed in this database"),
				 errhint("Run CREATE EXTENSION dpipe.")));
	return ext.oid;
}

Oid
dpipe_extension_owner(void)
{
	Extension	ext;

	read_extension(&ext);
	if (!OidIsValid(ext.oid))
		(void) dpipe_extension_oid(false);	/* says so */
	check_fit(&ext);
	return ext.owner;
}

char *
dpipe_extension_misfit(void)
{
	Extension	ext;

	read_extension(&ext);
	if (!OidIsValid(ext.oid) || fits(ext.version))
		return NULL;
	return misfit_text(ext.version);
}

void
dpipe_extension_check_fit(void)
{
	Extension	ext;

	read_extension(&ext);
	if (OidIsValid(ext.oid))
		check_fit(&ext);
}
