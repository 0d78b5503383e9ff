/*
 * testkind.c
 *		Sources of kind "test", for tests of the processes alone. Not in
 *		release builds.
 *
 * A worker inserts a row (source, slot, pid, clock) into the target each
 * "tick_ms" (default 100), the first one after "first_ms" (default 0), and
 * does after "after" ticks (default 0) what "do" says: "tick" goes on, "idle"
 * stays without work, "fail" raises, "finish" and "error" leave with that
 * lasting state, "stop" leaves without reason, "sleep" sits in a transaction
 * for "tick_ms", "tls" starts a client that tries to shake hands with "port"
 * and waits to be killed, or terminates itself at a random moment of the next
 * "live_us". One that has "deaf" set does not yield.
 */
#include "base/compat.h"

#ifdef DPIPE_FAULT_POINTS

#include <librdkafka/rdkafka.h>
#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/identity.h"
#include "base/json.h"
#include "catalog/catalog.h"
#include "catalog/status.h"
#include "worker/process.h"

PG_FUNCTION_INFO_V1(dpipe_test_live_handle);
PG_FUNCTION_INFO_V1(dpipe_test_slot_lock);

typedef struct Test
{
	const char *source;
	int			slot;
	Oid			owner;
	const char *action;
	int			after;
	int			first_ms;
	int			tick_ms;
	int			port;
	int			live_us;
	bool		deaf;
	char	   *insert;
	int64		rows;
} Test;

/* False when the source or the extension is gone. */
static bool
read_test(Test *test, const char *source, int slot)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSource *s = NULL;

	memset(test, 0, sizeof(*test));
	StartTransactionCommand();
	MemoryContextSwitchTo(cxt);
	if (dpipe_worker_pin_extension())
		s = dpipe_source_get(source, true);
	if (s != NULL)
	{
		test->source = source;
		test->slot = slot;
		test->owner = s->owner;
		test->action = pstrdup(dpipe_json_string(s->options, "option", "do",
												 "tick"));
		test->after = dpipe_json_int(s->options, "option", "after", 0);
		test->first_ms = dpipe_json_int(s->options, "option", "first_ms", 0);
		test->tick_ms = dpipe_json_int(s->options, "option", "tick_ms", 100);
		test->port = dpipe_json_int(s->options, "option", "port", 0);
		test->live_us = dpipe_json_int(s->options, "option", "live_us", 0);
		test->deaf = dpipe_json_int(s->options, "option", "deaf", 0) != 0;
		test->insert = psprintf("INSERT INTO %s VALUES ($1, $2, $3,"
								" pg_catalog.clock_timestamp())",
								quote_qualified_identifier(s->target_schema,
														   s->target_table));
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	return s != NULL;
}

static bool
tick(Test *test)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeIdentity id;
	Oid			types[3] = {TEXTOID, INT4OID, INT4OID};
	bool		present;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	present = dpipe_worker_pin_extension() &&
		dpipe_source_get(test->source, true) != NULL;
	if (present)
	{
		Datum		args[3] = {
			CStringGetTextDatum(test->source),
			Int32GetDatum(test->slot),
			Int32GetDatum(MyProcPid),
		};

		dpipe_identity_owner(&id, test->owner, NULL);
		SPI_connect();
		SPI_execute_with_args(test->insert, 3, types, args, NULL, false, 0);
		SPI_finish();
		dpipe_identity_restore(&id);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	pgstat_report_stat(false);
	if (present)
	{
		test->rows++;
		dpipe_status_progress(test->rows, test->rows * 100, 0, 0, 1024, "sql");
	}
	return present;
}

static DpipeWorkerEnd
last(const Test *test, const char *state, DpipeWorkerEnd end)
{
	StartTransactionCommand();
	dpipe_slot_state_set(test->source, test->slot, test->owner, state,
						 "as the test wants", NULL, NULL);
	CommitTransactionCommand();
	return end;
}

static void
wait_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	dpipe_worker_interrupts();
}

/*
 * Whether OpenSSL's cleanup meets a thread in a handshake is a matter of luck,
 * one exit in fifty. That it runs at all is what must not be.
 */
static void
exit_handlers_ran(void)
{
	abort();
}

/*
 * A client whose threads are shaking hands with a server that is none, again
 * and again, until the process ends; nobody destroys it.
 */
static void
start_tls_client(int port)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		brokers[256] = "";
	char		error[256];
	rd_kafka_t *client;

	/* Each has a thread of its own: more chances to be caught. */
	for (int i = 1; i <= 8; i++)
		snprintf(brokers + strlen(brokers), sizeof(brokers) - strlen(brokers),
				 "%s127.0.0.%d:%d", i > 1 ? "," : "", i, port);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, error,
						  sizeof(error)) ||
		rd_kafka_conf_set(conf, "security.protocol", "ssl", error,
						  sizeof(error)) ||
		rd_kafka_conf_set(conf, "log.queue", "true", error, sizeof(error)) ||
		rd_kafka_conf_set(conf, "reconnect.backoff.ms", "0", error,
						  sizeof(error)))
		elog(ERROR, "%s", error);
	atexit(exit_handlers_ran);
	client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
	if (client == NULL)
		elog(ERROR, "%s", error);
}

static DpipeWorkerEnd
act(const Test *test)
{
	if (strcmp(test->action, "fail") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("source \"%s\" fails as the test wants", test->source)));
	if (strcmp(test->action, "finish") == 0)
		return last(test, "finished", DPIPE_END_FINISHED);
	if (strcmp(test->action, "error") == 0)
		return last(test, "error", DPIPE_END_ERROR);
	if (strcmp(test->action, "tls") == 0)
	{
		dpipe_exit_guard_arm();
		start_tls_client(test->port);
		dpipe_status_progress(1, 0, 0, 0, 0, "");	/* "now" to the test */
		if (test->live_us > 0)
		{
			pg_usleep(MyProcPid % test->live_us);
			kill(MyProcPid, SIGTERM);
		}
	}
	else if (strcmp(test->action, "idle") == 0)
		dpipe_status_idle(true, 0, 0, 1024);
	else if (strcmp(test->action, "sleep") == 0)
		StartTransactionCommand();

	while (test->deaf || !dpipe_status_yield_requested())
		wait_ms(test->tick_ms);
	return DPIPE_END_YIELDED;
}

/* As one that connects and waits for its first batch. False: had to end before. */
static bool
await_first(const Test *test)
{
	TimestampTz begun = GetCurrentTimestamp();

	while (!TimestampDifferenceExceeds(begun, GetCurrentTimestamp(),
									   test->first_ms))
	{
		if (dpipe_status_yield_requested())
			return false;
		wait_ms(10);
	}
	return true;
}

static DpipeWorkerEnd
test_main(const char *source, int slot)
{
	Test		test;

	if (!read_test(&test, source, slot))
		return DPIPE_END_STOPPED;
	if (strcmp(test.action, "stop") == 0)
		return DPIPE_END_STOPPED;
	if (test.first_ms > 0 && !await_first(&test))
		return DPIPE_END_YIELDED;
	for (int i = 0; strcmp(test.action, "tick") == 0 || i < test.after; i++)
	{
		if (!test.deaf && dpipe_status_yield_requested())
			return DPIPE_END_YIELDED;
		if (!tick(&test))
			return DPIPE_END_STOPPED;
		wait_ms(test.tick_ms);
	}
	return act(&test);
}

/*
 * For a client backend: a live client, armed or not, for the session to end
 * with. CREATE FUNCTION … (port integer, armed boolean) RETURNS void.
 */
Datum
dpipe_test_live_handle(PG_FUNCTION_ARGS)
{
	if (PG_GETARG_BOOL(1))
		dpipe_exit_guard_arm();
	start_tls_client(PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/* As CALL dpipe_sync: hold a slot. (source text, slot integer) → boolean. */
Datum
dpipe_test_slot_lock(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(dpipe_slot_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								   PG_GETARG_INT32(1)));
}

void
dpipe_testkind_init(void)
{
	dpipe_worker_register_kind("test", test_main);
}

#endif							/* DPIPE_FAULT_POINTS */
