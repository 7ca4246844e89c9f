# SPDX-License-Identifier: GPL-2.0-only
# Checkpoint/restart for Linux. `make help` lists the targets; the work is done by ci/*.sh.

# Without a target, say what there is.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
AREA ?= one-task

export KERNEL_SRC CKPT_CACHE JOBS SKIP_DEPS AREA COMPAT

help: ## this list
	@echo 'Checkpoint/restart for Linux:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'KERNEL_SRC=DIR builds on that Linux 7.3 tree; CKPT_CACHE=DIR keeps downloads and'
	@echo 'objects there (default ~/.cache/linux-checkpoint); JOBS=N limits the jobs at once.'

deps: ## install what the build needs
	@ci/deps.sh

kernel: ## build the kernel with the checks that tests want: build/bzImage
	@ci/kernel-build.sh test

kernel-bench: ## build it without them: build/bzImage-bench
	@ci/kernel-build.sh bench

kernel-bench-off: ## build that with the feature off: build/bzImage-bench-off
	@ci/kernel-build.sh bench-off

kernel-kasan: ## build it with KASAN and fault injection: build/bzImage-kasan
	@ci/kernel-build.sh kasan

kernel-fault: ## build it with fault injection: build/bzImage-fault
	@ci/kernel-build.sh fault

kernel-update: ## look for a newer release of the base
	@ci/kernel-src.sh update

vm: kernel ## a shell in a guest with this kernel
	@ci/vm.sh

demo: kernel ## save a running program, kill it, bring it back, also after a reboot
	@ci/demo.sh

test: ## everything that decides whether a change is good; ends with the counts
	@ci/test.sh gate

test-long: ## and the build after every patch, storms, and many rounds
	@ci/test.sh long

test-kasan: ## the guest tests on a KASAN kernel
	@ci/test.sh kasan

test-faults: ## every allocation of a checkpoint and of a restart fails once
	@ci/test.sh faults

test-real: kernel ## programs of the distribution, saved and brought back at work
	@ci/test-real.sh

test-peer: ## CRIU's test programs: AREA=one-task, COMPAT=y for 32-bit ones
	@ci/test.sh peer

bench: kernel-bench ## figures for the table in Documentation/
	@ci/bench.sh

bench-cost: kernel-bench kernel-bench-off ## what it costs those who are never saved
	@ci/bench.sh cost

series: ## the series as mail: build/series/
	@ci/series.sh

check-series: ## git am, checkpatch and the build with the feature off
	@ci/check-series.sh

lint: ## formatting, licence lines, things that must not be in the text
	@ci/lint.sh

fmt: ## format all Rust code as the kernel does
	@ci/lint.sh --fix

clean: ## remove build/; the cache stays
	rm -rf build

.PHONY: $(shell awk -F: '/^[a-z-]+:/ { print $$1 }' $(MAKEFILE_LIST))
