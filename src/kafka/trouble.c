/*
 * trouble.c
 *		What to do when the log is not what the position expects.
 *
 * Nothing is ever skipped in silence: offsets that retention ate are a row of
 * dpipe.gap, and by default the source stops until somebody decides.
 */
#include "base/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/fault.h"
#include "kafka/slot.h"

/*
 * A new leader may for a moment know less of the log's end than consumers
 * have read; only an end that stays short is another log.
 */
#define SHORT_LOG_PATIENCE_MS 5000
#define SHORT_LOG_TICK_MS 500

/*
 * A lasting error: recorded, so that the slot is not started again, in the
 * transaction that is open. False: it is about a definition of before.
 */
static bool
record_error(KafkaSlot *slot)
{
	/* It may have been clipped in the middle of a character. */
	slot->error[pg_mbcliplen(slot->error, strlen(slot->error),
							 sizeof(slot->error) - 1)] = '\0';
	return dpipe_slot_state_settle(slot->source, slot->slot, "error",
								   slot->error, slot->error);
}

static bool
stop_with_error(KafkaSlot *slot, KafkaSlotEnd *end)
{
	kafka_slot_begin(slot);
	*end = record_error(slot) ? KAFKA_SLOT_ERROR : KAFKA_SLOT_STOPPED;
	DPIPE_FAULT_POINT("slot_state");
	kafka_slot_commit(slot);
	return false;
}

static bool
stop_at_gap(KafkaSlot *slot, const KafkaPartition *p, int64 low,
			KafkaSlotEnd *end)
{
	snprintf(slot->error, sizeof(slot->error),
			 "topic \"%s\" partition %d: offsets " INT64_FORMAT " to " INT64_FORMAT
			 " are gone from the broker; dpipe_seek() past them, or set on_gap",
			 p->topic, p->partition, p->next, low - 1);
	kafka_slot_begin(slot);
	*end = KAFKA_SLOT_STOPPED;
	if (record_error(slot))
	{
		dpipe_gap_record(slot->source, p->topic, p->partition, p->next, low,
						 "stop");
		*end = KAFKA_SLOT_ERROR;
	}
	kafka_slot_commit(slot);
	return false;
}

/* Move over the gap, with its row, in one transaction. */
static bool
skip_gap(KafkaSlot *slot, int i, int64 to, const char *action)
{
	KafkaPartition *p = &slot->reader->partitions[i];
	DpipePosition *next = dpipe_position_copy(slot->committed, 0);
	bool		mine;

	/* The reader may be ahead by holes that were not written yet. */
	for (int k = 0; k < next->npartitions; k++)
		next->next_offset[k] = slot->reader->partitions[k].next;
	next->next_offset[i] = to;
	next->print_offset[i] = -1;
	kafka_slot_begin(slot);
	mine = dpipe_position_compare(slot->source, slot->slot, slot->committed,
								  slot->foreground);
	if (mine)
	{
		dpipe_gap_record(slot->source, p->topic, p->partition, p->next, to,
						 action);
		dpipe_position_set(slot->source, slot->slot, next, NULL);
	}
	kafka_slot_commit(slot);
	if (!mine)
		return false;
	for (int k = 0; k < next->npartitions; k++)
		slot->committed->next_offset[k] = next->next_offset[k];
	slot->committed->print_offset[i] = -1;
	ereport(WARNING,
			(errmsg("source \"%s\": offsets " INT64_FORMAT " to " INT64_FORMAT
					" of topic \"%s\" partition %d are gone from the broker",
					slot->source->name, p->next, to - 1, p->topic,
					p->partition),
			 errdetail("They are recorded in dpipe.gap.")));
	kafka_reader_reassign(slot->reader, i, to);
	return true;
}

static bool
stop_at_replaced(KafkaSlot *slot, const KafkaPartition *p, KafkaSlotEnd *end)
{
	snprintf(slot->error, sizeof(slot->error),
			 "topic \"%s\" partition %d was recreated or truncated: %s; dpipe_seek() to where reading shall go on",
			 p->topic, p->partition, slot->reader->trouble_text);
	return stop_with_error(slot, end);
}

/* The log ends before the position. False: for good. */
static bool
settle_short(KafkaSlot *slot, int i, KafkaSlotEnd *end)
{
	KafkaPartition *p = &slot->reader->partitions[i];
	TimestampTz begun = GetCurrentTimestamp();
	int64		low;
	int64		high;

	for (;;)
	{
		if (!kafka_slot_ask_ends(slot, p->topic, p->partition, &low, &high,
								 end))
			return false;
		if (high >= p->next)
		{
			kafka_reader_retry(slot->reader, i);
			return true;
		}
		if (TimestampDifferenceExceeds(begun, GetCurrentTimestamp(),
									   SHORT_LOG_PATIENCE_MS))
			break;
		kafka_slot_wait(slot, SHORT_LOG_TICK_MS);
	}
	strlcpy(slot->reader->trouble_text,
			"the log ends before the stored position",
			sizeof(slot->reader->trouble_text));
	return stop_at_replaced(slot, p, end);
}

static bool
settle_range(KafkaSlot *slot, int i, KafkaSlotEnd *end)
{
	KafkaPartition *p = &slot->reader->partitions[i];
	int64		low;
	int64		high;

	if (!kafka_slot_ask_ends(slot, p->topic, p->partition, &low, &high,
								 end))
		return false;
	if (p->next > high)
		return settle_short(slot, i, end);
	if (p->next >= low)
	{
		/* Only the fingerprint's record is gone. */
		kafka_reader_reassign(slot->reader, i, p->next);
		return true;
	}
	switch (slot->source->on_gap)
	{
		case DPIPE_GAP_EARLIEST:
			return skip_gap(slot, i, low, "earliest");
		case DPIPE_GAP_LATEST:
			return skip_gap(slot, i, high, "latest");
		case DPIPE_GAP_STOP:
			break;
	}
	return stop_at_gap(slot, p, low, end);
}

/* Not known which partition it is: all that have more to give. */
static void
list_places(const KafkaReader *reader, char *to, size_t size)
{
	size_t		len = 0;

	to[0] = '\0';
	for (int i = 0; i < reader->npartitions && len < size; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (p->end < 0 || p->next < p->end)
			len += snprintf(to + len, size - len,
							"%s\"%s\" partition %d offset " INT64_FORMAT,
							len > 0 ? ", " : "", p->topic, p->partition,
							p->next);
	}
}

static void
describe_too_large(KafkaSlot *slot, const KafkaPartition *p)
{
	char		places[KAFKA_PROBLEM_LEN / 2];

	if (p != NULL)
	{
		snprintf(slot->error, sizeof(slot->error),
				 "topic \"%s\" partition %d: the record at or after offset " INT64_FORMAT
				 " is larger than 256 MiB; dpipe_seek() past it: %s",
				 p->topic, p->partition, p->next, slot->reader->trouble_text);
		return;
	}
	list_places(slot->reader, places, sizeof(places));
	snprintf(slot->error, sizeof(slot->error),
			 "a record is larger than 256 MiB, at or after one of: %s", places);
}

bool
kafka_slot_settle_trouble(KafkaSlot *slot, KafkaSlotEnd *end)
{
	KafkaReader *reader = slot->reader;
	int			i = reader->trouble_partition;
	KafkaPartition *p = i >= 0 ? &reader->partitions[i] : NULL;

	*end = KAFKA_SLOT_STOPPED;
	switch (reader->trouble)
	{
		case KAFKA_TROUBLE_RANGE:
			return settle_range(slot, i, end);
		case KAFKA_TROUBLE_SHORT:
			return settle_short(slot, i, end);
		case KAFKA_TROUBLE_REPLACED:
			return stop_at_replaced(slot, p, end);
		case KAFKA_TROUBLE_SIZE:
			describe_too_large(slot, p);
			return stop_with_error(slot, end);
		case KAFKA_TROUBLE_HEADERS:
			snprintf(slot->error, sizeof(slot->error),
					 "topic \"%s\" partition %d: the record at offset " INT64_FORMAT
					 " has more than 100,000 headers, 64 MiB of them, or damaged ones; dpipe_seek() past it",
					 p->topic, p->partition, p->next);
			return stop_with_error(slot, end);
		case KAFKA_TROUBLE_CORRUPT:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("source \"%s\": topic \"%s\" partition %d is damaged at or after offset " INT64_FORMAT ": %s",
							slot->source->name, p ? p->topic : "?",
							p ? p->partition : -1, p ? p->next : -1,
							reader->trouble_text),
					 errdetail("Nothing behind it is read until the broker has it whole."),
					 errhint("Run dpipe_seek() to give it up.")));
			break;
		case KAFKA_TROUBLE_TOPIC:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("source \"%s\" cannot read its topic%s%s%s: %s",
							slot->source->name, p ? " \"" : "",
							p ? p->topic : "", p ? "\"" : "",
							reader->trouble_text)));
			break;
		case KAFKA_TROUBLE_NONE:
			break;
	}
	return true;
}
