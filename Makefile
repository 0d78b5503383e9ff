# dpipe: PGXS build. `make help` lists the targets.

COMMANDS = help check check-long check-versions check-valgrind demo demo-stop bench fmt
ifneq ($(filter $(COMMANDS),$(MAKECMDGOALS)),)
include test/check.mk
else

EXTENSION = dpipe
EXTVERSION = 0.1
MODULE_big = dpipe

# A folder of src/ is a part; every .c file in it belongs to the library.
PARTS = base catalog connect worker load kafka jinja project model run
OBJS = src/dpipe.o $(patsubst %.c,%.o,$(sort $(wildcard $(PARTS:%=src/%/*.c))))

# The install script is put together from the parts' SQL in this order.
SQL_PARTS = $(wildcard \
	src/catalog/catalog.sql \
	src/connect/connect.sql \
	src/worker/worker.sql \
	src/load/load.sql \
	src/catalog/define.sql \
	src/kafka/kafka.sql \
	src/catalog/views.sql \
	src/jinja/jinja.sql \
	src/project/project.sql \
	src/model/model.sql \
	src/run/run.sql)

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
EXTRA_CLEAN = $(EXTENSION)--$(EXTVERSION).sql src/.flags src/project/builtin_macros.inc

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=dpipe

PG_CPPFLAGS = -I$(srcdir)/src -DDPIPE_VERSION=\"$(EXTVERSION)\"
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-cast-function-type -Wno-clobbered
SHLIB_LINK = -lrdkafka -lyaml -lm

# `make DPIPE_DEVEL=1`: our assertions on, warnings are errors, fault
# injection points compiled in. CI and `make check` build this way.
ifdef DPIPE_DEVEL
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING -DDPIPE_FAULT_POINTS
PG_CFLAGS += -Werror
endif
PG_CPPFLAGS += $(DPIPE_CPPFLAGS)

# No bitcode: none of our functions is worth inlining into expressions.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The macros of dbt's own are part of the library.
MACROS = $(sort $(wildcard src/project/macros/*.jinja))
src/project/builtin.o: src/project/builtin_macros.inc
src/project/builtin_macros.inc: $(MACROS) Makefile
	@for f in $(MACROS); do printf '{"%s",\n' "$${f#src/project/}"; \
		sed -e 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$f; echo '},'; done > $@

# One library, many small files: a changed header rebuilds everything, and so
# do other flags, or a release would be linked with objects of a test build.
$(OBJS): $(wildcard src/*/*.h src/*.h) src/.flags
src/.flags: FORCE
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(CPPFLAGS) $(CFLAGS)' > $@
.PHONY: FORCE

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) Makefile
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION dpipe" to load this file. \quit'; cat $(SQL_PARTS); } > $@

endif
