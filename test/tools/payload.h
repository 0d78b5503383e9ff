/*
 * payload.h
 *		What the generated records say.
 */
#ifndef TOOLS_PAYLOAD_H
#define TOOLS_PAYLOAD_H

#include "common.h"

#define EVENT_MAX 1024
#define EVENT_USERS 5000

/*
 * A user event as a JSON object. "late" moves it back by up to two days.
 * Returns its length.
 */
extern size_t event_payload(uint64_t *rng, int64_t at_ms, bool late,
							char out[EVENT_MAX], int *user_id);

/* An object of six scalars for a table with a column for each. */
extern size_t columns_payload(uint64_t *rng, int64_t id, int64_t at_ms,
							  char out[EVENT_MAX]);

/* The same damage for the same "kind" (any number); returns the new length. */
extern size_t event_damage(int kind, char event[EVENT_MAX], size_t len);

extern int64_t clock_ms(void);

#endif							/* TOOLS_PAYLOAD_H */
