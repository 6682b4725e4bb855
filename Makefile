# chainwatch. `make help` lists the targets. Plain `make` builds build/chainwatch.

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
BUILD   ?= build
SAN     ?=

PKGS     := luajit libevent libevent_openssl libpq libsodium libcrypto libssl libseccomp libcurl zlib
CSTD     := -std=gnu17 -D_GNU_SOURCE
WARN     := -Wall -Wextra -Werror -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Wstrict-prototypes
CFLAGS   ?= -O2 -g
CPPFLAGS += -Iengine $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -lpthread
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
ALL_CFLAGS = $(CSTD) $(WARN) $(CFLAGS) $(SANFLAGS) $(CPPFLAGS) -march=x86-64-v2

SRC      := $(wildcard engine/*/*.c)
LIB_SRC  := $(filter-out engine/app/main.c,$(SRC))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT     := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)
LIB      := $(BUILD)/libchainwatch.a

.PHONY: all unit clean
all: $(BUILD)/chainwatch

$(BUILD)/chainwatch: $(BUILD)/engine/app/main.o $(LIB)
	$(CC) $(SANFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(LDLIBS)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $(shell pkg-config --cflags check) -o $@ $< $(LIB) \
		$(LDFLAGS) $(shell pkg-config --libs check) $(LDLIBS)

unit: $(UNIT)
	@set -e; for t in $(UNIT); do $$t; done

clean:
	rm -rf build

-include $(LIB_OBJ:.o=.d) $(UNIT:%=%.d)
