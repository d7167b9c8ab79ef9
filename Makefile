# carob: build, test and try it. `make help` lists what there is.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w $(if $(VERSION),-X main.version=$(VERSION))
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'

# Packages that hold decisions only: they build, vet and pass their tests on any
# operating system, which is the proof that no Linux hides in them.
PURE := ./internal/fault ./internal/lifecycle ./internal/plan/... ./internal/ref \
        ./internal/spec ./internal/status ./internal/undo
# Packages whose tests need the machine, most of them root. They run apart, without
# the race detector: what they start shares memory with a child that it cannot see.
MACHINE := ./internal/sys/... ./internal/podproc/... ./internal/runtime/... ./internal/network/...
E2E     := ./test/e2e/...
NOTUNIT := /(internal/(sys|podproc|runtime|network)|test/e2e)(/|$$)

# The race detector links C. Without a C compiler the same tests run without it.
RACE := $(if $(shell command -v $${CC:-cc} 2>/dev/null),-race)

.DEFAULT_GOAL := build
.PHONY: build
build: ## build bin/carob, carobd, carob-look, carob-pod, carob-init, carob-oci and carob-toolbox (static)
	@mkdir -p bin
	$(BUILD) -o bin/carob ./cmd/carob
	$(BUILD) -tags nri_no_wasm -o bin/carobd ./cmd/carobd
	$(BUILD) -o bin/carob-look ./cmd/carob-look
	$(BUILD) -o bin/carob-pod ./cmd/carob-pod
	$(BUILD) -ldflags '$(LDFLAGS) -E carob/internal/sys/reaper.Entry' -o bin/carob-init ./cmd/carob-init
	$(BUILD) -ldflags '$(LDFLAGS) -E carob/internal/sys/exe.Entry' -o bin/carob-oci ./cmd/carob-oci
	$(BUILD) -o bin/carob-toolbox ./cmd/carob-toolbox

.PHONY: demo
demo: build ## a pod from one command, looked at from outside, and gone again (root)
	@scripts/demo.sh

.PHONY: test
test: unit-test root-test e2e ## every test there is, in three rings

.PHONY: unit-test
unit-test: build ## ring 1: tests that need no root, with the race detector
	@$(if $(RACE),,echo "no C compiler: testing without the race detector")
	$(GO) test $(RACE) -timeout 10m $$($(GO) list ./... | grep -vE '$(NOTUNIT)')

.PHONY: root-test
root-test: build ## ring 2: tests of the kernel's edge; they skip without root
	$(GO) test -timeout 10m $(MACHINE)

.PHONY: e2e
e2e: build ## ring 3: the built binaries, used as a person would (root)
	$(GO) test -count=1 -timeout 15m $(E2E)

.PHONY: test-vm
test-vm: build ## rings 2 and 3 in a VM: cgroup v2, systemd, AppArmor; VMPKG= VMRUN= for a part (root, Debian)
	@scripts/vm.sh

.PHONY: test-vm-ci
test-vm-ci: build ## of test-vm what the host cannot try: scripts/vm/ci, within 15 minutes (root, Debian)
	@VMSELECT=ci VMTIME=30 scripts/vm.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, house rules, module files
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	  test -z "$$out" || { echo "not gofmt-ed:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet $(PURE)
	$(GO) tool staticcheck ./...
	$(GO) test ./internal/arch
	$(GO) mod verify
	$(GO) mod tidy -diff

.PHONY: bench
bench: build ## Go benchmarks, then whole processes against whatever peers are installed (root)
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./internal/...)
	$(GO) run ./bench $(BENCHFLAGS)

.PHONY: install
install: build ## install to DESTDIR/PREFIX (carob and carob-oci to bin, the others to libexec/carob)
	install -D -m 0755 bin/carob $(DESTDIR)$(PREFIX)/bin/carob
	install -D -m 0755 bin/carob-oci $(DESTDIR)$(PREFIX)/bin/carob-oci
	install -D -m 0755 bin/carobd $(DESTDIR)$(PREFIX)/libexec/carob/carobd
	install -D -m 0755 bin/carob-look $(DESTDIR)$(PREFIX)/libexec/carob/carob-look
	install -D -m 0755 bin/carob-pod $(DESTDIR)$(PREFIX)/libexec/carob/carob-pod
	install -D -m 0755 bin/carob-init $(DESTDIR)$(PREFIX)/libexec/carob/carob-init
	install -D -m 0755 bin/carob-toolbox $(DESTDIR)$(PREFIX)/libexec/carob/carob-toolbox

.PHONY: clean
clean: ## remove what make built
	rm -rf bin

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | \
	  awk -F '\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'
