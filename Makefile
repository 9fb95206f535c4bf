# A thin front for CMake and the scripts; `make help` lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
CMAKE_FLAGS ?=
export BUILD

.DEFAULT_GOAL := build
.PHONY: setup build demo test lint format ctest spec asan tsan bench fuzz install deb clean help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install missing packages, switch FUSE-over-io_uring on
	@scripts/setup.sh

build: ## the libraries and the command, in build/
	@cmake -S . -B $(BUILD) -G Ninja $(CMAKE_FLAGS) >/dev/null
	@cmake --build $(BUILD)

demo: ## mount examples/memfs.lua and show real file work on it
	@scripts/setup.sh --build-only
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh $(BUILD)

test: setup ## everything: lint, C tests, specs, sanitizers
	@scripts/test.sh

lint: ## clang-format, clang-tidy, luacheck
	@scripts/test.sh lint

format: ## rewrite the C files as clang-format wants them
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

ctest: ## the C tests
	@scripts/test.sh ctest

spec: ## the busted specs against real mounts
	@scripts/test.sh spec

asan: ## the specs and C tests under AddressSanitizer and UBSan
	@scripts/test.sh asan

tsan: ## the C tests under ThreadSanitizer
	@scripts/test.sh tsan

bench: ## measure; PEERS=all also measures other libraries
	@scripts/setup.sh $(if $(PEERS),--peers)
	@$(MAKE) --no-print-directory build
	@cmake --build $(BUILD) --target bench

fuzz: ## feed the decoders random input; FUZZ_SECONDS=60
	@scripts/setup.sh libclang-rt-dev
	@scripts/fuzz.sh

install: build ## install below PREFIX (default /usr/local); DESTDIR is put in front
	@cmake --install $(BUILD) --prefix $(PREFIX)

deb: ## the Debian packages, in build-deb/
	@scripts/setup.sh --build-only dpkg-dev file
	@cmake -S . -B $(BUILD)-deb -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF $(CMAKE_FLAGS) >/dev/null
	@cmake --build $(BUILD)-deb
	@cd $(BUILD)-deb && cpack

clean: ## remove the build directories
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz $(BUILD)-deb
