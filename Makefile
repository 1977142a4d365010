# SPDX-License-Identifier: LGPL-2.1-or-later
# The front door.  `make help` lists what can be asked for.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
PYTHON ?= python3
# Where the interpreter looks for modules below PREFIX.
PYTHONDIR ?= $(PREFIX)/lib/$(shell $(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')/dist-packages

APPLIANCE := $(TARGET)/appliance
GUESTFSD := $(TARGET)/guestfsd-static
HELPER := $(TARGET)/guestfs-helper
# Use the appliance of this tree, whatever is installed.
export LIBGUESTFS_PATH ?= $(abspath $(APPLIANCE))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup appliance library python docs demo check fmt generated coverage clippy rustdoc rings-1-2 ring-3 ring-4 bench install clean FORCE

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup: $(TARGET)/setup.stamp ## install the Debian packages that building and testing need

$(TARGET)/setup.stamp: tests/setup
	@mkdir -p $(@D)
	tests/setup
	@touch $@

# The appliance.  Cargo knows whether the daemon has to be built again; its copy changes only when
# its bytes do, and then only the initrd is packed again.

appliance: $(APPLIANCE)/initrd ## the virtual machine, in target/appliance

$(GUESTFSD): FORCE
	$(CARGO) rustc -p guestfsd --release --bin guestfsd -- -C target-feature=+crt-static
	@cmp -s $(TARGET)/release/guestfsd $@ || cp $(TARGET)/release/guestfsd $@

$(HELPER): FORCE
	$(CARGO) build -p guestfs-helper --release
	@cmp -s $(TARGET)/release/guestfs-helper $@ || cp $(TARGET)/release/guestfs-helper $@

$(APPLIANCE)/root: $(HELPER) $(shell find appliance -type f) | $(TARGET)/setup.stamp $(GUESTFSD)
	$(CARGO) run -q -p guestfs-appliance -- build --verbose \
	    --output $(APPLIANCE) --guestfsd $(GUESTFSD) --helper $(HELPER) --cache $(TARGET)/appliance-cache

$(APPLIANCE)/initrd: $(GUESTFSD) $(APPLIANCE)/root
	$(CARGO) run -q -p guestfs-appliance -- initrd --output $(APPLIANCE) --guestfsd $(GUESTFSD)

# What is installed.  Each part knows how it is built.

PROGRAMS := guestfish guestfs-test-tool guestfs-appliance

library: ## libguestfs.so.0, libguestfs.a, guestfs.h and libguestfs.pc, in target/c
	bindings/c/build $(TARGET)/c $(PREFIX) $(LIBDIR) $(INCLUDEDIR)

python: ## the Python module, in target/python
	bindings/python/build $(TARGET)/python

docs: ## the manual, for man(1) and as HTML, in target/docs
	docs/build $(TARGET)/docs

$(TARGET)/release/guestfish: FORCE
	$(CARGO) build --release -p guestfish

$(TARGET)/release/guestfs-test-tool: FORCE
	$(CARGO) build --release -p guestfs-test-tool

$(TARGET)/release/guestfs-appliance: FORCE
	$(CARGO) build --release -p guestfs-appliance

demo: appliance python $(TARGET)/release/guestfish ## make a guest's disk from packages, look into it, change it
	PYTHONPATH=$(TARGET)/python $(PYTHON) tools/demo $(TARGET)/demo

# Checks, the quick ones first.  Rings: docs/ARCHITECTURE.md.

check: ## everything that has to hold before a change goes in
	$(MAKE) setup
	$(MAKE) fmt
	$(MAKE) generated
	$(MAKE) clippy
	$(MAKE) rustdoc
	$(MAKE) rings-1-2
	$(MAKE) appliance
	$(MAKE) ring-3
	$(MAKE) ring-4

fmt: ## is the code formatted?
	$(CARGO) fmt --check

generated: ## is generated/ what api.yaml says?
	$(CARGO) run -q -p generator -- --check

coverage: ## how much of the API is implemented?
	@$(CARGO) run -q -p generator -- --coverage

clippy: ## do the lints pass?
	$(CARGO) clippy --workspace --all-targets -- -D warnings

rustdoc: ## do the comments of the crates make pages without a broken link?
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps -p guestfs -p guestfs-protocol

# Tests whose names have `appliance::` or `whole::` in them need the appliance, in the packages that
# are about the whole product.  (The daemon has a module `appliance` too: its tests need nothing.)
WHOLE := tests guestfish guestfs-c guestfs-test-tool

rings-1-2: ## tests that need neither qemu nor root nor network
ifneq ($(shell command -v cargo-nextest),)
	$(CARGO) nextest run --workspace --no-fail-fast \
	    -E 'not (($(foreach p,$(WHOLE),package($p) |) none()) & test(/(^|::)(in_appliance|appliance|whole)::/))'
else
	$(CARGO) test --workspace $(WHOLE:%=--exclude %) --no-fail-fast
	$(CARGO) test $(WHOLE:%=-p %) --no-fail-fast -- --skip appliance:: --skip whole::
endif

ring-3: appliance ## the cases of api.yaml, in the appliance
	$(CARGO) test -p tests --lib --no-fail-fast -- appliance::

ring-4: appliance library python $(TARGET)/release/guestfish ## C, Python and the tools, as their users see them
	$(CARGO) test $(WHOLE:%=-p %) --test '*' --no-fail-fast -- appliance:: whole::

bench: appliance python ## measure, as ratios to Debian's libguestfs
	tests/bench

install: appliance library python docs $(PROGRAMS:%=$(TARGET)/release/%) ## put it below DESTDIR and PREFIX
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/guestfs $(DESTDIR)$(INCLUDEDIR)
	install -d $(DESTDIR)$(PYTHONDIR) $(DESTDIR)$(MANDIR) $(DESTDIR)$(BINDIR)
	cp -P $(TARGET)/c/libguestfs.so* $(TARGET)/c/libguestfs.a $(DESTDIR)$(LIBDIR)
	install -m 644 $(TARGET)/c/libguestfs.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(TARGET)/c/guestfs.h $(DESTDIR)$(INCLUDEDIR)
	cp -R $(TARGET)/python/. $(DESTDIR)$(PYTHONDIR)
	install -m 755 $(PROGRAMS:%=$(TARGET)/release/%) $(DESTDIR)$(BINDIR)
	ln -sf guestfs-test-tool $(DESTDIR)$(BINDIR)/libguestfs-test-tool
	cp -R $(addprefix $(TARGET)/docs/,man1 man3 man7) $(DESTDIR)$(MANDIR)
	ln -sf guestfs-test-tool.1 $(DESTDIR)$(MANDIR)/man1/libguestfs-test-tool.1
	install -m 644 $(addprefix $(APPLIANCE)/,kernel initrd root README.fixed manifest) $(DESTDIR)$(LIBDIR)/guestfs

clean: ## remove all that was built
	$(CARGO) clean
