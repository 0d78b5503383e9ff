/*
 * place.h
 *		Where to start or stop: "earliest", "latest", a time, or offsets.
 */
#ifndef DPIPE_KAFKA_PLACE_H
#define DPIPE_KAFKA_PLACE_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef enum KafkaPlaceKind
{
	KAFKA_PLACE_EARLIEST,
	KAFKA_PLACE_LATEST,
	KAFKA_PLACE_TIME,
	KAFKA_PLACE_OFFSETS,
} KafkaPlaceKind;

typedef struct KafkaPlace
{
	KafkaPlaceKind kind;
	int64		time_ms;		/* KAFKA_PLACE_TIME: ms since 1970, else -1 */
	const Jsonb *document;		/* KAFKA_PLACE_OFFSETS: {topic: {partition: offset}} */
} KafkaPlace;

/*
 * Parse; "what" names the argument in errors (22023). Timestamps without a
 * zone are of the session's TimeZone.
 */
extern KafkaPlace kafka_place_parse(const Jsonb *jb, const char *what);

/* The offset that KAFKA_PLACE_OFFSETS gives for a partition, or -1. */
extern int64 kafka_place_listed_offset(const KafkaPlace *place,
									   const char *topic, int32 partition);

#endif							/* DPIPE_KAFKA_PLACE_H */
