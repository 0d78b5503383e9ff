#include "base/compat.h"
#include "kafka/kafka.h"
void dpipe_kafka_init(void) {}
