# All tasks. `make` alone lists them; scripts/ has the longer ones.

PREFIX ?= /usr/local
PROGRAM := target/release/mackerel-plugin-wasm
UNITS := -p mackerel-plugin-wasm-host -p mackerel-collector -p collector-docker -p collector-gostats -p collector-prometheus -p collector-redis

.PHONY: help build collectors demo fmt lint unit check test soak fuzz bench bench-guard dist dist-test install clean tools

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

# xtask is built again beside the program, so that both want the same features of the crates that they share.
build: tools ## build the program with its collectors: target/release/mackerel-plugin-wasm
	scripts/wasm-toolchain.sh
	cargo build --release -p xtask
	target/release/xtask
	cargo build --release -p xtask -p mackerel-plugin-wasm

collectors: build ## build the ready-made collectors: target/collectors-dist
	@scripts/collectors.sh

demo: build ## show the main job on three containers (without Docker: on local processes)
	@scripts/demo.sh

fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path collectors/Cargo.toml --all

lint: ## check format and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/collectors.sh check

unit: ## run the unit tests of the host, the SDK and the collectors; needs no engine and no WebAssembly
	cargo test --lib $(UNITS)

check: tools lint ## check format, lints, documentation, layout, prose, spelling and dependencies
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
	cargo run --quiet -p source-check
	cargo test --quiet -p source-check
	scripts/tools.sh
	target/tools/bin/typos
	target/tools/bin/cargo-deny check licenses bans sources
	target/tools/bin/cargo-deny --manifest-path collectors/Cargo.toml check licenses bans sources

test: build collectors ## run all tests, on a Docker engine if there is one
	target/release/xtask tests
	@scripts/test.sh

soak: build ## run 500 times over 60 containers, some of which come and go
	@scripts/soak.sh

fuzz: tools ## fuzz everything that parses untrusted bytes, FUZZ_SECONDS (60) per kind
	@scripts/fuzz.sh

bench: build ## measure time and memory beside the replaced programs; ROW=… for one row of scripts/bench.sh
	cargo build --release -p scenarios
	@scripts/bench.sh $(ROW)

bench-guard: build ## fail if a run needs more memory than it did, beside a bare native program
	cargo build --release -p scenarios
	@scripts/bench-guard.sh

dist: tools ## build the files of a release, for x86-64 and arm64: target/artifacts
	@scripts/dist.sh

dist-test: build ## install and run the files of a release; run `make dist` first
	@scripts/dist-test.sh

install: ## install the program into PREFIX/bin (/usr/local); run `make build` first. After an upgrade: install --all
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/mackerel-plugin-wasm

clean: ## remove everything that was built, and the Rust for the collectors
	rm -rf target .wasm-toolchain

tools:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.95 or later, see https://rustup.rs' >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'a C compiler is missing: sudo apt-get install build-essential' >&2; exit 1; }
