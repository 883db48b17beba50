# Avisor. `make help` says what there is; `make run` is the place to start.
#
# What a machine lacks, tools/setup installs first (Debian; it says what, and does nothing the second time).

BOARD  ?= virt
# Empty: 1G on virt; the Raspberry Pi's is fixed.
MEM    ?=
CONFIG ?= configs/default.toml
GUEST  ?=

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BUILT      := aarch64-unknown-none-softfloat/release/avisor
IMAGE      := $(TARGET_DIR)/kernel8.img
SD_CARD    := $(TARGET_DIR)/rpi4

# What tools/setup sees to. A target that needs more than a build says so.
NEEDS      := cc rust
# Whether the configuration has guests of target/linux.
LINUX      := $(shell grep -lsF target/linux/ "$(CONFIG)")

# Through the environment, so that a path may have spaces in it. Whether the files are good ones, build.rs says.
run build rpi4 elf: export AVISOR_CONFIG = $(CONFIG)
run build rpi4 elf gdb: export AVISOR_GUEST = $(GUEST)
run: export SECOND := $(SECOND)
run fuzz core gdb: export BOARD := $(BOARD)
run fuzz core gdb: export MEM := $(MEM)
# The build refuses a configuration that such a machine has no room for.
run gdb: export AVISOR_MEM = $(MEM)

help: ## This text
	@awk -F ': .*## |: ## |^## ' ' \
	    /^## / { print "\n" $$2 } \
	    /^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Variables: BOARD=virt|rpi4  MEM=1G  CONFIG=configs/NAME.toml  GUEST=path  SECOND=unix:path  (configs/default.toml explains the last two)"
	@echo "A few tests: cargo ht NAME"

## Run
run: NEEDS += $(if $(filter rpi4,$(BOARD)),qemu-rpi4 dtb,qemu)
run: CHECK := tools/qemu --check
run: build ## Boot the hypervisor in QEMU, with the guest of CONFIG, or GUEST
	@tools/qemu "$(IMAGE)"

build: ## The image for all boards: target/kernel8.img
	@$(CHECK)
	@tools/setup $(NEEDS) $(if $(LINUX),linux)
	@$(if $(LINUX),tools/linux)
	@tools/cargo build --release
	@cp "$(TARGET_DIR)/$(BUILT)" "$(IMAGE)"

fuzz: NEEDS += $(if $(filter rpi4,$(BOARD)),qemu-rpi4 dtb,qemu) $(if $(filter %-c,$(TARGET)),arm64-cc) $(if $(wildcard guest/fuzz-targets/linux/$(TARGET).c),arm64-cc arm64-libc linux) $(filter png,$(TARGET))
fuzz: export TARGET := $(TARGET)
fuzz: export REPLAY := $(REPLAY)
fuzz: export SECONDS_MAX := $(SECONDS)
fuzz: export ROUNDS := $(ROUNDS)
fuzz: export LIMIT_MS := $(LIMIT_MS)
fuzz: export UNTIL_CRASH := $(UNTIL_CRASH)
fuzz: export LOG := $(LOG)
fuzz: export JOBS := $(JOBS)
fuzz: export INSTANCE := $(INSTANCE)
fuzz: export SEED := $(or $(SEED),1)
fuzz: ## Fuzz TARGET=planted (guest/fuzz-targets), for SECONDS=60 or until Ctrl-C; REPLAY=file runs that input once
	@tools/setup $(NEEDS)
	@tools/fuzz

core: NEEDS += $(if $(filter rpi4,$(BOARD)),qemu-rpi4 dtb,qemu) $(if $(LINUX),linux)
core: export CONFIG := $(CONFIG)
core: export AVISOR_GUEST = $(GUEST)
core: export AFTER := $(AFTER)
core: export FILE := $(FILE)
core: export VM := $(VM)
core: ## An ELF core of CONFIG's first VM, or VM=name, AFTER=10 seconds in FILE=x.core; without AFTER, of any snapshot, as typed
	@tools/setup $(NEEDS)
	@$(if $(LINUX),tools/linux)
	@tools/core

gdb: NEEDS += $(if $(filter rpi4,$(BOARD)),qemu-rpi4 dtb,qemu) $(if $(LINUX),linux) $(if $(GDB),gdb)
gdb: export CONFIG := $(CONFIG)
gdb: export GDB := $(GDB)
gdb: export SYMBOLS := $(SYMBOLS)
gdb: ## Boot CONFIG with a debugger's stub beside it, and say how gdb and lldb come to it; GDB=1 starts gdb here
	@tools/setup $(NEEDS)
	@$(if $(LINUX),tools/linux)
	@tools/debug

linux: ## Debian's Linux as a guest, target/linux: for CONFIG=configs/linux.toml
	@tools/setup linux
	@tools/linux

## Look
book: ## The book as web pages: target/book/index.html
	@tools/setup cc mdbook
	@"$(TARGET_DIR)/tools/bin/mdbook" build docs --dest-dir "$(abspath $(TARGET_DIR))/book"

doc: ## The source's pages, of the hypervisor and of the guests' crate, for which a warning is an error
	@tools/setup $(NEEDS)
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" tools/cargo doc --release --no-deps --lib -p avisor-el2 --document-private-items
	@RUSTDOCFLAGS="-D warnings" tools/cargo doc --release --no-deps --lib -p avisor-guest
	@echo "$(TARGET_DIR)/aarch64-unknown-none-softfloat/doc/avisor/index.html, and avisor_guest beside it"

pictures: NEEDS += qemu linux
pictures: ## The book's pictures anew: a session that QEMU plays first, and the steps of a snapshot
	@tools/setup $(NEEDS)
	@tools/linux
	@tools/cargo test --target host-tuple --test qemu -- book::linux
	@AVISOR_DRAW=1 tools/cargo test --target host-tuple --test book -- pictures

elf: ## The image as an ELF with symbols, for gdb and objdump: target/elf/.../avisor
	@tools/setup $(NEEDS) $(if $(LINUX),linux)
	@$(if $(LINUX),tools/linux)
	@AVISOR_ELF=1 tools/cargo build --release --target-dir "$(TARGET_DIR)/elf"
	@echo "$(TARGET_DIR)/elf/$(BUILT)"

## Test
test: NEEDS += qemu-rpi4 dtb arm64-cc arm64-libc gdb lldb
test: ## All tests, on the host and in QEMU, on both boards
	@tools/setup $(NEEDS)
	@tools/test

test-host: ## Those tests that need no QEMU: the library's, the layout, the configurations, the book; a minute from a warm build
	@tools/setup $(NEEDS)
	@tools/cargo test --target host-tuple --lib --test layout --test config --test book

test-fuzz: ## The fuzzer's own tests, on the host, with targets that are functions; a minute or two the first time
	@tools/setup cc
	@cd guest/fuzz && ../../tools/cargo test --quiet --target host-tuple --lib --target-dir "$(abspath $(TARGET_DIR))/fuzz-build/host"

test-gdb: ## The debugger's own tests, on the host, with a machine that is none; half a minute the first time
	@tools/setup cc gdb lldb
	@cd guest/gdb && ../../tools/cargo test --quiet --target host-tuple --lib --target-dir "$(abspath $(TARGET_DIR))/gdb-build/host"

loom: ## All that cores may do and see beside each other, where they share atomics: half a minute, minutes the first time
	@tools/setup $(NEEDS)
	@RUSTFLAGS="$$RUSTFLAGS --cfg loom" tools/cargo test --target host-tuple --target-dir "$(TARGET_DIR)/loom" --lib loom

miri: ## Tests of the library under Miri, which finds undefined behaviour; needs a nightly Rust, which rustup fetches
	@tools/setup cc
	@tools/miri

mutants: export PART := $(PART)
mutants: export SEED := $(SEED)
mutants: ## Whether tests notice each ordering that is left out; with PART=k/n, changes of the logic: hours for all of it
	@tools/setup $(NEEDS)
	@tools/mutants

soak: NEEDS += qemu linux gdb
soak: export SOAK_SECONDS := $(or $(SECONDS),600)
soak: ## Random histories with fresh seeds, on hardware at its worst too, for SECONDS=600; then gdb on Linux, 50 times
	@tools/setup $(NEEDS)
	@tools/linux
	@tools/soak

## Measure
bench: NEEDS += qemu linux
bench: ## What snapshots cost, in instructions and in time; fails if anything is above its bound
	@tools/setup $(NEEDS)
	@tools/linux
	@tools/cargo test --quiet --target host-tuple --lib vm::tests::hardware::what_hardware -- --nocapture
	@tools/cargo run --quiet --release --target host-tuple -p avisor-bench

bench-fuzz: NEEDS += qemu linux arm64-cc arm64-libc png
bench-fuzz: ## Rounds a second of the fuzzer with libpng in Linux, beside QEMU's own snapshots, and of jobs: five minutes
	@tools/setup $(NEEDS)
	@tools/linux
	@tools/cargo run --quiet --release --target host-tuple -p avisor-bench -- --fuzz

## Ship
ci: ## What a change must pass: the tests, the formatting, the lints, the pages
	@.ci/run

rpi4: build ## A folder for a Raspberry Pi's SD card: target/rpi4
	@mkdir -p "$(SD_CARD)"
	@cp "$(IMAGE)" tools/rpi4/config.txt tools/rpi4/README.txt "$(SD_CARD)"
	@echo "$(SD_CARD) has all but the firmware: its README.txt says what to add, and how to connect the serial port"

clean: ## Remove what was built
	@cargo clean

.PHONY: help run build fuzz core gdb linux book doc pictures elf test test-host test-fuzz test-gdb loom miri mutants soak bench bench-fuzz ci rpi4 clean
