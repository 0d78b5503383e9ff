/*
 * kafka.h
 *		Kafka as a source.
 */
#ifndef DPIPE_KAFKA_H
#define DPIPE_KAFKA_H

/* From _PG_init: registers the worker of kind "kafka". Makes no handle. */
extern void dpipe_kafka_init(void);

#endif							/* DPIPE_KAFKA_H */
