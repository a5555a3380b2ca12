# What a contributor runs. Each target installs what it lacks (Debian 12 or later; see tests/setup.sh).

ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard tests/fuzz/fuzz_targets/*.rs)))
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
export PATH := $(TARGET_DIR)/test-env/tools/bin:$(PATH)

.PHONY: help test check demo dist bench instructions fuzz

help:
	@echo 'make test            every test, against real servers and drivers (ARGS: a nextest filter)'
	@echo 'make check           formatting, lints, dependency policy'
	@echo 'make demo            a guided tour on throwaway servers (ARGS: options of `sluice demo`)'
	@echo 'make dist            target/pgo/sluice, the program as it is to be packaged (ARGS: options of cargo build)'
	@echo 'make bench           a comparison with other poolers (CASES=a,b PEERS=a,b: a part; ARGS: options of benches/compare.py)'
	@echo 'make instructions    instructions for each transaction, against stored bounds (ARGS: see benches/instructions.py)'
	@echo 'make fuzz            each fuzz target for FUZZ_SECONDS=60 (FUZZ_TARGETS: some of them)'

test:
	tests/setup.sh
	cargo nextest run --locked $(ARGS)

# The fuzz targets are seen to compile; nothing is linked, so libFuzzer itself is not built.
check:
	tests/setup.sh deny
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	CUSTOM_LIBFUZZER_PATH=./none.a cargo check --locked --manifest-path tests/fuzz/Cargo.toml --target-dir $(TARGET_DIR)
	cargo deny --locked check --hide-inclusion-graph bans licenses sources

demo:
	tests/setup.sh postgres mysql
	cargo build --locked --release
	PATH="$$PATH:$(TARGET_DIR)/test-env/bin" $(TARGET_DIR)/release/sluice demo $(ARGS)

dist:
	tests/setup.sh bench
	benches/dist.sh $(ARGS)

bench:
	tests/setup.sh bench
	$(if $(SLUICE),,cargo build --locked --profile dist)
	python3 benches/compare.py $(ARGS)

# Without AWS, which takes no part in a transaction and is a fifth of the build.
instructions:
	tests/setup.sh instructions
	cargo build --locked --release --no-default-features --features jemalloc
	python3 benches/instructions.py --sluice $(TARGET_DIR)/release/sluice $(ARGS)

# cargo-fuzz asks for sanitizer flags, which the stable compiler takes under RUSTC_BOOTSTRAP.
fuzz:
	tests/setup.sh fuzz
	set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz $$target tests/fuzz/corpus/$$target \
			$$(ls -d tests/fuzz/seeds/$$target 2>/dev/null) -- -max_total_time=$(FUZZ_SECONDS) $(ARGS); \
	done
