#include "base/compat.h"
#include "connect/connect.h"
List *dpipe_kafka_properties(const char *server, Oid role, const Jsonb *extra) { return NIL; }
void dpipe_kafka_check_extra(const Jsonb *extra, Oid role) {}
