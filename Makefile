# Everything that a person or CI runs. Needs Rust (rust-toolchain.toml), Go and make; the rest is built or installed here
# and kept in the user's cache folder.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tentacular
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
FUZZ := webhook/fuzz
FUZZ_TARGETS := bytes values

.PHONY: help check format lint deny layering tools-page test build docs demo bench soak fuzz

help: ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

check: format lint layering tools-page deny ## Formatting, lints as errors, layering, docs/tools.md, dependencies.

format:
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

layering:
	cargo test --locked --quiet --package tentacular-end-to-end --test layering

tools-page: build
	cargo run --locked --quiet --package tentacular-demo --bin docs -- --check

deny: $(CARGO_DENY)
	$(CARGO_DENY) --locked check bans licenses sources
	@if timeout 20 git ls-remote --quiet --exit-code "$$(sed -n 's/^db-urls = \["\(.*\)"\]/\1/p' deny.toml)" HEAD >/dev/null 2>&1; \
	then $(CARGO_DENY) --locked check advisories; \
	else echo "advisories: NOT CHECKED, the advisory database cannot be reached from here"; fi

$(CARGO_DENY):
	@echo "installing cargo-deny $(CARGO_DENY_VERSION) into $(CACHE), once; takes some minutes"
	cargo install --locked --quiet cargo-deny --version $(CARGO_DENY_VERSION) --root $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)

build: ## All binaries, debug build.
	cargo build --workspace --bins --locked

test: build ## All tests: pure, modules, and the whole system on a real control plane.
	cargo test --workspace --locked

docs: build ## Write docs/tools.md from what the sidecars list.
	cargo run --locked --quiet --package tentacular-demo --bin docs

demo: build ## A tour of the running system; ONCE=1 ends after it, PORT=8080 fixes the port.
	cargo run --locked --quiet --package tentacular-demo --bin demo -- $(if $(filter-out 0 no,$(ONCE)),--once) $(if $(PORT),--port=$(PORT))

bench: ## Measurements on a release build; they print and never fail on a figure. ONLY=load measures one thing.
	cargo build --workspace --bins --locked --release
	cargo run --locked --quiet --release --package tentacular-demo --bin bench -- $(if $(ONLY),--only=$(ONLY))

soak: ## Mixed load while tokens, keys, certificates and sidecars change, then 200 kills of leading schedulers. MINUTES=10.
	cargo build --workspace --bins --locked --release
	cargo run --locked --quiet --release --package tentacular-demo --bin soak -- $(if $(MINUTES),--minutes=$(MINUTES))
	SCHEDULE_ROUNDS=200 cargo test --locked --release --package tentacular-end-to-end --test end_to_end e2e_schedule_faults

# Without a sanitizer the pinned toolchain will do; the product has no unsafe code that one would watch.
fuzz: $(CARGO_FUZZ) ## Made-up reviews for the webhook, which may panic at none. Needs a C++ compiler. SECONDS=60 for each of two targets.
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/corpus/$$target && \
	  $(CARGO_FUZZ) fuzz run --fuzz-dir $(FUZZ) --target-dir target/fuzz --sanitizer none --codegen-units 16 \
	    $$target target/fuzz/corpus/$$target $(FUZZ)/seeds -- \
	    -max_total_time=$(or $(SECONDS),60) -timeout=10 -len_control=0 -max_len=65536 -verbosity=0 -print_funcs=0 -print_final_stats=1 || exit; \
	done

$(CARGO_FUZZ):
	@echo "installing cargo-fuzz $(CARGO_FUZZ_VERSION) into $(CACHE), once; takes some minutes"
	cargo install --locked --quiet cargo-fuzz --version $(CARGO_FUZZ_VERSION) --root $(CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)
