/*
 * payload.c
 *		See payload.h.
 */
#include "payload.h"

#include <time.h>

#define DAY_MS INT64_C(86400000)

int64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const char *
pick(uint64_t *rng, const char *const *words, int n)
{
	return words[rng_below(rng, n)];
}

/* Of 100 events 70 are page views, 17 clicks, 6 purchases. */
static const char *
event_type(uint64_t *rng)
{
	uint64_t	n = rng_below(rng, 100);

	return n < 70 ? "page_view" :
		n < 87 ? "click" :
		n < 93 ? "purchase" :
		n < 95 ? "signup" : "logout";
}

static int
event_properties(uint64_t *rng, const char *type, char *out, size_t size)
{
	static const char *const pages[] = {
		"/", "/pricing", "/docs", "/blog/elt", "/product/7", "/cart"
	};
	static const char *const buttons[] = {"buy", "more", "menu", "search"};
	static const char *const plans[] = {"free", "team", "business"};
	static const char *const devices[] = {"desktop", "phone", "tablet"};
	const char *device = pick(rng, devices, 3);

	if (strcmp(type, "page_view") == 0)
		return snprintf(out, size,
						"{\"page\": \"%s\", \"device\": \"%s\", \"ms\": %d}",
						pick(rng, pages, 6), device,
						(int) rng_below(rng, 3000));
	if (strcmp(type, "click") == 0)
		return snprintf(out, size,
						"{\"page\": \"%s\", \"button\": \"%s\", \"device\": \"%s\"}",
						pick(rng, pages, 6), pick(rng, buttons, 4), device);
	if (strcmp(type, "purchase") == 0)
		return snprintf(out, size,
						"{\"amount\": %d.%02d, \"currency\": \"EUR\", \"items\": %d, \"device\": \"%s\"}",
						(int) (5 + rng_below(rng, 195)),
						(int) rng_below(rng, 100),
						(int) (1 + rng_below(rng, 5)), device);
	if (strcmp(type, "signup") == 0)
		return snprintf(out, size, "{\"plan\": \"%s\", \"device\": \"%s\"}",
						pick(rng, plans, 3), device);
	return snprintf(out, size, "{\"device\": \"%s\"}", device);
}

/* UTC with milliseconds. */
static void
iso_time(int64_t ms, char out[32])
{
	struct tm	tm;
	time_t		seconds = ms / 1000;
	size_t		len;

	gmtime_r(&seconds, &tm);
	len = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + len, 32 - len, ".%03dZ", (int) (ms % 1000));
}

static void
random_uuid(uint64_t *rng, char out[37])
{
	uint64_t	a = rng_next(rng);
	uint64_t	b = rng_next(rng);

	snprintf(out, 37, "%08x-%04x-4%03x-8%03x-%012" PRIx64,
			 (unsigned) (a >> 32), (unsigned) (a >> 16 & 0xffff),
			 (unsigned) (a >> 4 & 0xfff), (unsigned) (b >> 52),
			 b & UINT64_C(0xffffffffffff));
}

size_t
event_payload(uint64_t *rng, int64_t at_ms, bool late, char out[EVENT_MAX],
			  int *user_id)
{
	const char *type = event_type(rng);
	char		event_id[37];
	char		properties[512];
	char		at[32];

	random_uuid(rng, event_id);
	if (late)
		at_ms -= rng_below(rng, 2 * DAY_MS);
	iso_time(at_ms, at);
	*user_id = 1 + rng_below(rng, EVENT_USERS);
	event_properties(rng, type, properties, sizeof(properties));
	return snprintf(out, EVENT_MAX,
					"{\"event_id\": \"%s\", "
					"\"user_id\": %d, \"event_type\": \"%s\", "
					"\"occurred_at\": \"%s\", \"properties\": %s}",
					event_id, *user_id, type, at, properties);
}

size_t
columns_payload(uint64_t *rng, int64_t id, int64_t at_ms, char out[EVENT_MAX])
{
	char		ref[37];
	char		at[32];

	random_uuid(rng, ref);
	iso_time(at_ms, at);
	return snprintf(out, EVENT_MAX,
					"{\"id\": %" PRId64 ", \"name\": \"%s of user %d\", "
					"\"at\": \"%s\", \"amount\": %d.%02d, "
					"\"active\": %s, \"ref\": \"%s\"}",
					id, event_type(rng), (int) rng_below(rng, EVENT_USERS), at,
					(int) rng_below(rng, 10000), (int) rng_below(rng, 100),
					rng_below(rng, 4) ? "true" : "false", ref);
}

/*
 * Four ways in which real producers break: a record cut off, text that is no
 * JSON, bytes that are no UTF-8, and a NUL escape that jsonb cannot hold.
 */
size_t
event_damage(int kind, char event[EVENT_MAX], size_t len)
{
	switch (kind % 4)
	{
		case 0:
			return len / 2;
		case 1:
			return snprintf(event, EVENT_MAX, "user logged in from %d",
							kind);
		case 2:
			event[len - 3] = (char) 0xff;
			return len;
		default:
			return snprintf(event, EVENT_MAX,
							"{\"event_id\": \"%d\", \"event_type\": \"cl\\u0000ick\"}",
							kind);
	}
}
