/*
 * exit.c
 *		Leaving a process in which a foreign library's threads still run.
 *
 * exit() runs OpenSSL's cleanup while a thread of librdkafka may be in the
 * middle of a handshake; the thread then crashes, and with it the server.
 * Destroying the handle first would be the clean way, but it joins threads
 * that may sit in a name lookup for many seconds. So a process that is ending
 * with a live handle leaves by _exit(), after PostgreSQL's own cleanup: locks,
 * transactions, statistics and shared memory are all let go in shmem_exit(),
 * which comes before any on_proc_exit callback.
 *
 * on_proc_exit callbacks run last registered first.
 *
 * A background worker registers the guard before anything else, so that it is
 * the last of those that its own code registers, and always leaves by
 * _exit(). What was registered earlier, by the server, is smgr's closing of
 * files, which the kernel does as well.
 *
 * A client backend (CALL dpipe_sync) cannot be first: what the connection
 * registered has been there for long. The guard is registered when the first
 * handle is made and acts only while one is live. The callbacks it then skips
 * are those that were registered earlier: the closing of files again, and of
 * the client's socket, which the kernel closes; the last message to the
 * client was flushed before. atexit() would run later than those, but also
 * has to come earlier than OpenSSL's, and when that is registered is not ours
 * to say: the first use of TLS by any library does it.
 *
 * Crash exits (quickdie) call _exit() themselves.
 */
#include "base/compat.h"

#include <unistd.h>

#include "storage/ipc.h"

#include "worker/process.h"

static bool registered = false;
static bool always = false;
static int	live_handles = 0;

static void
leave_at_once(int code, Datum arg)
{
	if (always || live_handles > 0)
		_exit(code);
}

void
dpipe_exit_guard_first(void)
{
	on_proc_exit(leave_at_once, (Datum) 0);
	registered = true;
	always = true;
}

void
dpipe_exit_guard_arm(void)
{
	if (!registered)
	{
		on_proc_exit(leave_at_once, (Datum) 0);
		registered = true;
	}
	live_handles++;
}

void
dpipe_exit_guard_disarm(void)
{
	Assert(live_handles > 0);
	live_handles--;
}
