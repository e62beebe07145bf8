# Everything that a person or CI runs. Needs Rust (rust-toolchain.toml), Go and make; the rest is built or installed here
# and kept in the user's cache folder.
#
# Debug builds are of the whole workspace: for a part of it, cargo would build most dependencies once more, with the
# features of that part.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tentacular
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_CYCLONEDX := $(CACHE)/tools/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx
FUZZ := webhook/fuzz
FUZZ_TARGETS := bytes values

# What is shipped: the processes, and the engine of the examples.
PROCESSES := kernel registrar scheduler auditor webhook
PROGRAMS := $(PROCESSES) example-engine
DIST := target/dist
BENCH := target/bench
# Images are named as the chart names them, and as large as this at most, in bytes.
IMAGES := target/images
REPOSITORY := ghcr.io/randybias/tentacular-mcp
VERSION := $(shell sed -n 's/^appVersion: //p' charts/tentacular-mcp/Chart.yaml)
IMAGE_LIMIT := 25000000
# Authorities that go into the images, as the system has them.
CA_CERTIFICATES := /etc/ssl/certs/ca-certificates.crt
# The same with the contract's next minor version, for a test that has both. Cargo keeps what it builds of either.
NEXT_IMAGES := target/images-next
NEXT := DIST=target/dist-next IMAGES=$(NEXT_IMAGES) VERSION=next FEATURES=tentacular-contract/next-minor

.PHONY: help check format lint deny layering pages prepare test slowest e2e-node e2e-node-with-images build docs demo bench soak fuzz dist images image-names sbom

help: ## Show this list.
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

check: format lint layering pages deny ## Formatting, lints as errors, layering, generated pages, dependencies.

format:
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

layering:
	cargo test --workspace --locked --quiet --test layering

pages: build
	target/debug/docs --check

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

# What tests start beside the product, once for the user's cache. While it is built, time limits of tests would pass.
prepare: build
	target/debug/prepare

# Most of a test is waiting, for what comes about by itself on a control plane. Its programs collect their garbage less often.
test slowest: export RUST_TEST_THREADS ?= $(shell echo $$((3 * $$(nproc))))
test slowest: export GOGC ?= 400
test: prepare ## All tests: pure, modules, and the whole system on a real control plane.
	cargo test --workspace --locked --no-fail-fast

# The test programs tell their times only to who could use an unstable compiler. Nothing is built with that.
slowest: HOST = $(shell rustc --version --verbose | sed -n 's/^host: //p')
slowest: prepare ## Times of all tests in target/test-times.txt, and the ten slowest.
	cargo test --workspace --locked --no-fail-fast --lib --bins --tests \
	  --config 'target.$(HOST).runner = ["env", "RUSTC_BOOTSTRAP=1"]' -- -Zunstable-options --report-time >target/test-times.txt
	@sed -nE 's/^test (.*) \.\.\. ok <([0-9.]+)s>$$/\2 s\t\1/p' target/test-times.txt | sort -rn | head

# 77 is what it says where there cannot be such a cluster.
e2e-node: build ## The product as pods on two real nodes, installed by helm. Needs root and Debian; ONLY=upgrade tries a part.
	@target/debug/tentacular-enter; case $$? in \
	  0) $(MAKE) images $(NEXT) && $(MAKE) images && $(MAKE) e2e-node-with-images ;; \
	  77) ;; \
	  *) exit 1 ;; \
	esac

e2e-node-with-images:
	TENTACULAR_IMAGES=$(CURDIR)/$(IMAGES) TENTACULAR_NEXT_IMAGES=$(CURDIR)/$(NEXT_IMAGES) \
	  cargo test --workspace --locked --test node \
	  --config 'target."cfg(unix)".runner = "target/debug/tentacular-enter"' -- --ignored $(ONLY)

docs: build ## Write the pages that are made of what the product says of itself: tools, settings, metrics, the chart's README.
	target/debug/docs

demo: build ## A tour of the running system; ONCE=1 ends after it, PORT=8080 fixes the port.
	target/debug/demo $(if $(filter-out 0 no,$(ONCE)),--once) $(if $(PORT),--port=$(PORT))

# It starts the programs that stand beside it.
bench: dist ## Measurements of the programs as they are shipped, as one table; they never fail on a figure. ONLY=load measures one thing.
	cargo build --locked --release --package tentacular-demo --bin bench
	@mkdir -p $(BENCH) && install $(PROGRAMS:%=$(DIST)/tentacular-%) target/release/bench $(BENCH)
	$(BENCH)/bench $(if $(ONLY),--only=$(ONLY))

soak: ## Mixed load while tokens, keys, certificates and sidecars change, then 200 kills of leading schedulers. MINUTES=10.
	cargo build --workspace --bins --locked --release
	target/release/soak $(if $(MINUTES),--minutes=$(MINUTES))
	SCHEDULE_ROUNDS=200 cargo test --workspace --locked --release --test end_to_end e2e_schedule_faults

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

# Since 2.34 glibc resolves names by /etc/hosts and DNS itself, so that a static program does without the system's libraries.
# The second flag writes relocations in the short way (RELR), a megabyte less in the largest.
dist: HOST = $(shell rustc --version --verbose | sed -n 's/^host: //p')
dist: ## The programs as static release binaries in target/dist, with the authorities that TLS clients trust.
	cargo build --locked --release --target $(HOST) $(PROGRAMS:%=--package tentacular-%) $(FEATURES:%=--features %) --config \
	  'target.$(HOST).rustflags = ["-C", "target-feature=+crt-static", "-C", "link-arg=-Wl,-z,pack-relative-relocs"]'
	@mkdir -p $(DIST)
	@for program in $(PROGRAMS:%=tentacular-%); do \
	  install --strip target/$(HOST)/release/$$program $(DIST)/ && \
	  if readelf --program-headers $(DIST)/$$program | grep -q INTERP; then echo "$$program is not static"; exit 1; fi; \
	done
	install --mode=644 $(CA_CERTIFICATES) $(DIST)/ca-certificates.crt

# A commit's images have the same digests wherever they are built from the same binaries: their time is the commit's.
images: BUILDAH = buildah --root $(CURDIR)/$(IMAGES)/.storage --runroot $(CURDIR)/$(IMAGES)/.run --storage-driver vfs
images: dist ## Images of what make dist built, as OCI archives in target/images. Needs buildah.
	@command -v buildah >/dev/null || { echo "buildah is needed; it is a package of that name"; exit 1; }
	@if [ -d $(IMAGES) ]; then chmod -R u+w $(IMAGES) && rm -r $(IMAGES); fi; mkdir -p $(IMAGES)
	@for program in $(PROGRAMS); do \
	  name=$(REPOSITORY)/tentacular-$$program:$(VERSION) && file=$(IMAGES)/$$program.tar && \
	  $(BUILDAH) build --quiet --target $$program --timestamp "$$(git log -1 --format=%ct)" --build-arg BINARIES=dist \
	    --build-arg DIST=$(DIST) --build-arg VERSION=$(VERSION) --build-arg REVISION="$$(git describe --always --dirty --abbrev=40 --exclude='*')" \
	    --tag oci-archive:$$file:$$name . >/dev/null && \
	  size=$$(stat --format=%s $$file) && echo "$$file $$name $$size bytes" && \
	  if [ $$size -gt $(IMAGE_LIMIT) ]; then echo "$$file is larger than $(IMAGE_LIMIT) bytes"; exit 1; fi || exit; \
	done
	@chmod -R u+w $(IMAGES)/.storage && rm -r $(IMAGES)/.storage $(IMAGES)/.run

image-names:
	@printf '%s\n' $(PROGRAMS:%=$(REPOSITORY)/tentacular-%:$(VERSION))

# The tool writes beside each Cargo.toml, and names our crates by where they lie on this machine.
sbom: $(CARGO_CYCLONEDX) ## What the processes are made of, as CycloneDX in target/dist.
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(CARGO_CYCLONEDX) cyclonedx --quiet --describe binaries --format json --spec-version 1.5
	@mkdir -p $(DIST)
	@for process in $(PROCESSES:%=tentacular-%); do \
	  find . -path ./target -prune -o -name $${process}_bin.cdx.json -exec sed 's|file://$(CURDIR)/|file:///|g' {} + >$(DIST)/$$process.cdx.json && \
	  grep -q '"bomFormat": "CycloneDX"' $(DIST)/$$process.cdx.json || { echo "there is no list of what $$process is made of"; exit 1; }; \
	done
	@find . -path ./target -prune -o -name '*_bin.cdx.json' -exec rm {} +

$(CARGO_CYCLONEDX):
	@echo "installing cargo-cyclonedx $(CARGO_CYCLONEDX_VERSION) into $(CACHE), once; takes some minutes"
	cargo install --locked --quiet cargo-cyclonedx --version $(CARGO_CYCLONEDX_VERSION) --root $(CACHE)/tools/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)
