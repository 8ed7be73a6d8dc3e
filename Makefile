# What there is to do here. `make` alone lists it; how it is done stands in scripts/.

PREFIX ?= /usr/local
PROGRAM := target/release/mackerel-plugin-wasm

.PHONY: help build demo test soak fuzz bench check install clean tools

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

# Always the whole workspace: a part of it alone would want other features of some crates, and compile wasmtime again.
build: tools ## the program, with the collectors inside: target/release/mackerel-plugin-wasm
	scripts/wasm-toolchain.sh
	cargo build --release --workspace --exclude mackerel-plugin-wasm
	target/release/xtask
	cargo build --release --workspace

demo: build ## what it does, on three real containers (or, without Docker, on local processes)
	@scripts/demo.sh

test: build ## all tests, on a Docker engine where there is one
	@scripts/test.sh

soak: build ## 500 runs over 60 containers, of which some come and go all the time
	@scripts/soak.sh

fuzz: tools ## inputs that libFuzzer makes up, on all that reads foreign bytes; FUZZ_SECONDS for each kind (60)
	@scripts/fuzz.sh

bench: build ## time and memory beside the shell loop and a bare native program
	@scripts/bench.sh

check: build ## formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps

install: ## the program into PREFIX/bin (PREFIX is /usr/local); run `make build` before
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/mackerel-plugin-wasm

clean: ## all that was built away, and the Rust for the collectors
	rm -rf target .wasm-toolchain

# Rust is the one thing that nothing here can make do without.
tools:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.95 or later, see https://rustup.rs' >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'A C compiler is missing: sudo apt-get install build-essential' >&2; exit 1; }
