# chainwatch. `make help` lists the targets; plain `make` builds build/chainwatch.

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
CFLAGS  ?= -O2 -g
BUILD   ?= build
SAN     ?=

# Packages of Debian 12, for pkg-config. luajit must be OpenResty's branch (libluajit2-5.1-dev): see docs/decisions.
PKGS     := luajit libevent libevent_openssl libpq libsodium libcrypt libcrypto libssl libseccomp libcurl zlib yaml-0.1
# A bus as a source, where its library is installed.
ifeq ($(shell pkg-config --exists rdkafka && echo yes),yes)
PKGS += rdkafka
override CPPFLAGS += -DCW_HAVE_KAFKA
endif
# No fused multiply-add: the same stream gives the same state, to the bit, on every machine.
CSTD     := -std=gnu17 -D_GNU_SOURCE -ffp-contract=off
WARN     := -Wall -Wextra -Werror -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Wstrict-prototypes
ARCH     ?= $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v2)
VERSION  := 0.1.0
COMMIT    = $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
override CPPFLAGS += -Iengine $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
override LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -lpthread
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
ALL_CFLAGS = $(CSTD) $(WARN) $(ARCH) $(CFLAGS) $(SANFLAGS) $(CPPFLAGS)

SRC       := $(wildcard engine/*/*.c)
LIB_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out engine/app/main.c,$(SRC)))
SUPPORT   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
LIB       := $(BUILD)/libchainwatch.a
UNIT      := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
BENCH     := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
CHECK     := $(shell pkg-config --cflags --libs check 2>/dev/null)

.PHONY: all help deps run test torture unit spec scenario lint fmt docs soak faults asan asan-unit asan-build tsan valgrind all-unit coverage coverage-build bench bench-detect bench-follow bench-rules fuzz fuzz-smoke install uninstall clean
all: $(BUILD)/chainwatch

help:
	@echo "make            build build/chainwatch"
	@echo "make run        install what is missing, build, run the engine on a simulated day of traffic"
	@echo "make test       install what is missing, run every test"
	@echo "make lint       compilers, clang-tidy, cppcheck, layers, luacheck, migrations"
	@echo "make soak       reload after reload under load, with a ledger; RELOADS=500 for a short one"
	@echo "make faults     kill, freeze, cut, fill the disk, turn the clock: a client's ledger after each; FAULT=disk for some"
	@echo "make docs       write the generated pages and stubs anew (LUA_API, DETECTORS, scripts/meta)"
	@echo "make coverage   lines and branches reached by the tests; COVERAGE=unit: by the unit tests alone"
	@echo "make asan       every test under AddressSanitizer and UndefinedBehaviorSanitizer; asan-unit: unit tests alone"
	@echo "make tsan       what threads touch under ThreadSanitizer"
	@echo "make valgrind   unit tests under memcheck"
	@echo "make torture    each allocation, system call and libpq call failing once in turn, and again with sanitizers"
	@echo "make bench      figures beside their yardsticks, in one run"
	@echo "make bench-follow   back-fill from a local node beside an ingest of the same from a file"
	@echo "make bench-rules    transactions a second through the rules, what each costs, round trips to the evaluator"
	@echo "make bench-detect   detectors on labelled tables and series (CHAINWATCH_TEST_DATA names the data)"
	@echo "make fuzz       each fuzz target for FUZZ_SECONDS (default 600); fuzz-smoke: 60 s each"
	@echo "make deps fmt install uninstall clean     PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)"

$(BUILD)/chainwatch: $(BUILD)/engine/app/main.o $(LIB)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LDLIBS)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	ar qcs $@ $^

# Lua that is part of the program (.incbin).
$(BUILD)/engine/lua/scripts.o $(BUILD)/engine/lua/sandbox.o $(BUILD)/engine/lua/rule.o: $(wildcard engine/lua/*.lua)

$(BUILD)/engine/app/cmd_version.o: override CPPFLAGS += -DCW_VERSION='"$(VERSION)"' -DCW_COMMIT='"$(COMMIT)"'

# The Lua text is part of the object (.incbin).
$(BUILD)/engine/lua/sandbox.o: engine/lua/sandbox.lua
$(BUILD)/engine/lua/rulebind.o: engine/lua/rules.lua
$(BUILD)/engine/pg/schema.o: engine/pg/schema.sql
$(BUILD)/engine/lua/trace.o: engine/lua/trace.lua
$(BUILD)/engine/store/adopt.o: engine/store/adopt.sql
$(BUILD)/engine/app/backup.o: scripts/ops/facts.sql

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(SUPPORT) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -MF $@.d -rdynamic -o $@ $< $(SUPPORT) $(LIB) $(LDFLAGS) $(CHECK) $(LDLIBS)

$(BUILD)/bench/%: tests/bench/%.c $(SUPPORT) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -MF $@.d -rdynamic -o $@ $< $(SUPPORT) $(LIB) $(LDFLAGS) $(CHECK) $(LDLIBS)

# Preloaded, it makes allocations and system calls fail.
$(BUILD)/inject.so: tests/torture/inject.c tests/torture/inject.h
	@mkdir -p $(@D)
	$(CC) $(CSTD) -Wall -Wextra -Werror -O1 -g -fPIC -shared -fvisibility=hidden -Itests $(shell pkg-config --cflags libpq) \
		-o $@ $< -ldl -lpthread

# Fuzz targets are built whole with clang, coverage in the engine's code too. The library is a target of its own, so that
# it is built once; the inner make knows what is out of date.
FUZZ_LIB := $(BUILD)/fuzz-lib/libchainwatch.a
FUZZ_SAN := address,undefined
.PHONY: fuzz-lib
fuzz-lib:
	@$(MAKE) -s $(FUZZ_LIB) BUILD=$(BUILD)/fuzz-lib CC=clang SAN=fuzzer-no-link,$(FUZZ_SAN) CFLAGS="-O1 -g"
$(FUZZ_LIB): fuzz-lib ; @:

$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_LIB)
	@mkdir -p $(@D)
	clang $(CSTD) $(ARCH) -O1 -g -fsanitize=fuzzer,$(FUZZ_SAN) -fno-sanitize-recover=all $(CPPFLAGS) -Itests \
		-rdynamic -o $@ $< $(FUZZ_LIB) $(LDLIBS)

-include $(LIB_OBJ:.o=.d) $(SUPPORT:.o=.d) $(UNIT:%=%.d) $(BENCH:%=%.d) $(wildcard $(BUILD)/bench/detect/*.d) $(BUILD)/engine/app/main.d

# --- what a person calls ---

deps:
	@scripts/ops/deps.sh

run:
	@scripts/ops/deps.sh run
	@$(MAKE) -s -j$$(nproc) all
	@scripts/ops/run.sh

test: deps
	@$(MAKE) -s -j$$(nproc) all $(UNIT) $(BUILD)/inject.so
	@tests/run.sh

all-unit: $(UNIT)
unit: $(UNIT)
	@tests/run.sh unit
spec:
	@tests/run.sh lua
scenario: all
	@tests/run.sh scenario

lint: deps
	@tests/lint/lint.sh

fmt:
	clang-format -i $(wildcard engine/*/*.[ch] tests/*/*.[ch])

# The pages and stubs that are written from the engine's own tables.
docs: $(BUILD)/unit/test_detectors_doc $(BUILD)/unit/test_api
	@for t in $^; do CHAINWATCH_UPDATE_DOCS=1 $$t >/dev/null; done
	@git status --short docs scripts/meta 2>/dev/null || true

# 10,000 reloads under load: takes an hour or so. RELOADS=500 for less.
RELOADS ?= 10000
soak: $(BUILD)/chainwatch
	@CHAINWATCH_BIN=$< luajit tests/soak/soak.lua $(RELOADS)

# Sanitizers over everything: unit tests and every spec, with an engine built the same way. asan takes an hour or so;
# asan-unit minutes.
TESTED_FLAGS := -O1 -g -DCW_FAULTS -DCW_TEST_BUILD
asan: asan-build
	@tests/sanitize.sh asan unit lua scenario
asan-unit: asan-build
	@tests/sanitize.sh asan unit
asan-build: deps
	@$(MAKE) -s -j$$(nproc) BUILD=build/asan SAN=address,undefined CFLAGS="$(TESTED_FLAGS)" all all-unit build/asan/inject.so

# Every fault there is a way to make, each under a client's ledger; some need root. FAULT=pattern for some of them.
faults: $(BUILD)/chainwatch
	@CHAINWATCH_BIN=$< luajit tests/fault/faults.lua

# What threads touch: workers (passwords, checkpoints, archive, audit, mail, files of a reload), look-ups and cancels of
# connections, the bus; what they share with the loop: logs, metrics, clock, memory.
TSAN_UNIT := work password log metrics clock pool pg_conn pg_query cluster bus checkpoint audit_head supervise pipeline \
	reorg http_server http_conn client sse
TSAN_SPECS := tests/scenario/threads_spec.lua tests/scenario/auth_spec.lua tests/scenario/predict_spec.lua \
	tests/scenario/audit_spec.lua tests/reload/reload_spec.lua
tsan: deps
	@$(MAKE) -s -j$$(nproc) BUILD=build/tsan SAN=thread CFLAGS="$(TESTED_FLAGS)" all $(TSAN_UNIT:%=build/tsan/unit/test_%)
	@tests/sanitize.sh tsan $(TSAN_UNIT:%=test_%) $(TSAN_SPECS)

# Unit tests under memcheck: what it finds and the compilers' sanitizers do not are values that were never set.
valgrind: deps
	@$(MAKE) -s -j$$(nproc) BUILD=build/valgrind CFLAGS="$(TESTED_FLAGS)" all-unit
	@tests/valgrind.sh

# Lines and branches reached by the tests: tests/coverage/coverage.sh says how, COVERAGE which tests. The counters are shared
# with forked processes (tests/coverage/counters.c), hence the script for the linker and sections of their own.
COVERAGE ?= all
COVERAGE_BUILD := build/coverage
# gcc would write and clear the counters around exec(): they are not the child's alone. Without CW_TEST_BUILD: what follows
# cw_bug() is reached, as in life.
COVERAGE_EXEC := $(addprefix -fno-builtin-,fork execl execlp execle execv execvp execve)
coverage: deps
	@$(MAKE) -s -j$$(nproc) BUILD=$(COVERAGE_BUILD) SAN= \
		CFLAGS="-O0 -g -Wno-format-truncation --coverage -fprofile-update=atomic -fdata-sections $(COVERAGE_EXEC) -DCW_FAULTS" \
		LDFLAGS="$(COVERAGE_BUILD)/counters.o -Wl,-T,tests/coverage/counters.ld -Wl,--wrap=__gcov_exit \
			-Wl,--wrap=__gcov_fork -Wl,--wrap=__gcov_execve -Wl,--wrap=__gcov_execv -Wl,--wrap=__gcov_execvp" coverage-build
	@BUILD=$(COVERAGE_BUILD) COVERAGE="$(COVERAGE)" tests/coverage/coverage.sh
coverage-build: $(BUILD)/counters.o
	@$(MAKE) -s -j$$(nproc) $(BUILD)/chainwatch $(UNIT)
$(BUILD)/counters.o: tests/coverage/counters.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(WARN) -O2 -c -o $@ $<

# All places with the program that ships, then one in TORTURE_EVERY of them with sanitizers, which see leaks: an hour or two.
TORTURE_EVERY ?= 8
torture:
	@$(MAKE) -s -j$$(nproc) all $(BUILD)/inject.so
	@$(MAKE) -s -j$$(nproc) BUILD=build/torture SAN=address,undefined CFLAGS="-O1 -g" build/torture/chainwatch
	@luajit tests/torture/torture.lua
	@luajit tests/torture/torture.lua --bin build/torture/chainwatch --every $(TORTURE_EVERY)


bench: deps
	@$(MAKE) -s -j$$(nproc) all $(BENCH)
	@tests/bench/bench.sh

# Back-fill from a local node beside `ingest` of the same from a file.
bench-follow: deps
	@$(MAKE) -s -j$$(nproc) all $(BUILD)/bench/follow_node
	@luajit tests/bench/follow.lua

# Transactions a second through the rules, and what each rule costs.
bench-rules:
	@$(MAKE) -s -j$$(nproc) $(BUILD)/bench/bench_speed $(BUILD)/bench/bench_evaluator
	@$(BUILD)/bench/bench_speed 200000 each
	@$(BUILD)/bench/bench_evaluator 24 100000 1

# Quality and speed of the detectors over tables and series, and of the trained models, on the shared data.
BENCH_DETECT := $(patsubst tests/bench/detect/%.c,$(BUILD)/bench/detect/%,$(wildcard tests/bench/detect/*.c))
bench-detect: $(BENCH_DETECT)
	@set -e; for bench in $(BENCH_DETECT); do $$bench; done

FUZZ_SECONDS ?= 600
fuzz: deps
	@$(MAKE) -s -j$$(nproc) $(FUZZ)
	@tests/fuzz/fuzz.sh $(FUZZ_SECONDS)
fuzz-smoke:
	@$(MAKE) -s fuzz FUZZ_SECONDS=60

# Settings, parameters of rules and lists in /etc are the operator's: they are written once.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/chainwatch $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)/etc/chainwatch/lists
	install -m 0755 $(BUILD)/chainwatch $(DESTDIR)$(PREFIX)/bin/chainwatch
	cp -R rules scripts migrations $(DESTDIR)$(PREFIX)/share/chainwatch/
	if [ -d conf/prometheus ]; then cp -R conf/prometheus $(DESTDIR)$(PREFIX)/share/chainwatch/; fi
	sed 's#@BIN@#$(PREFIX)/bin#' conf/chainwatch.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/chainwatch.service
	install -m 0644 conf/chainwatch.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/chainwatch.socket
	test -e $(DESTDIR)/etc/chainwatch/chainwatch.lua || \
		sed 's#@SHARE@#$(PREFIX)/share/chainwatch#' conf/installed.lua > $(DESTDIR)/etc/chainwatch/chainwatch.lua
	test -e $(DESTDIR)/etc/chainwatch/rules.lua || install -m 0644 conf/rules.lua $(DESTDIR)/etc/chainwatch/rules.lua
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/chainwatch $(DESTDIR)$(PREFIX)/lib/systemd/system/chainwatch.service \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/chainwatch.socket
	rm -rf $(DESTDIR)$(PREFIX)/share/chainwatch

clean:
	rm -rf build
