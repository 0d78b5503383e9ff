#include "base/compat.h"
#include "load/load.h"
DpipeTarget *dpipe_target_open(const DpipeSource *source, MemoryContext parent) { return NULL; }
void dpipe_target_close(DpipeTarget *target) {}
const char *dpipe_target_load_path(const DpipeTarget *target) { return ""; }
int dpipe_target_load(DpipeTarget *target, const DpipeBatch *batch, DpipeLoad *load) { return 0; }
DpipeFault dpipe_fault_classify(int sqlstate) { return DPIPE_FAULT_UNKNOWN; }
void dpipe_target_prepare(const char *target, const char *format, DpipeKeyFormat key_format, char **schema, char **table) {}
