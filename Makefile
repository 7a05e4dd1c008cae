# oms: order management inside PostgreSQL.
#
#   make && make install	build and install for the server pg_config names
#   make demo			a story on a private server; KEEP=1 leaves it running
#   make test			every test layer on a private server
#   make bench			measurements on a private, durable server
#
# The last three find or install what they need and never touch a server or
# folder of the system: see test/run.

HOUSE_GOALS = demo test check bench

ifneq (,$(filter $(HOUSE_GOALS),$(MAKECMDGOALS)))

# PGXS stays out here: these goals must work before pg_config is installed.
demo test bench:
	@bash test/run $@

check: test

.PHONY: $(HOUSE_GOALS)

else

EXTENSION = oms
# The control file is the only place that states the version.
EXTVERSION := $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" oms.control)
# The first word of each line of the list that is not a comment.
SQL_PARTS := $(shell sed -n 's|^\([[:alnum:]][^[:space:]]*\).*|\1|p' sql/parts.list)

MODULE_big = oms
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
DATA = $(wildcard sql/upgrade/oms--*--*.sql)
DATA_built = oms--$(EXTVERSION).sql

PG_CPPFLAGS = -Isrc -DOMS_VERSION=\"$(EXTVERSION)\"
PG_CFLAGS = -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

# No bitcode: it needs clang, and nothing here is worth inlining into queries.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq (,$(wildcard $(PGXS)))
$(error $(PG_CONFIG) does not lead to the server's build files: install postgresql-server-dev-15 or set PG_CONFIG)
endif
include $(PGXS)

# The version is compiled in, hence the control file.
$(OBJS): $(wildcard src/*.h) oms.control

oms--$(EXTVERSION).sql: $(SQL_PARTS) sql/parts.list oms.control
	sed 's/@OMS_VERSION@/$(EXTVERSION)/g' $(SQL_PARTS) > $@.tmp
	mv $@.tmp $@

endif
