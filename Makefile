# Everything that a person or CI does with this tree. `make help` prints the targets.
SHELL := /bin/bash -o pipefail
GO ?= go
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gpulet
TOOLS := $(CACHE)/tools
# promtool and prometheus, where test/deps.sh had to fetch them
export PATH := $(PATH):$(CACHE)/prometheus/usr/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
ONCE ?=
FUZZTIME ?= 60s
# a folder of cluster-trace-gpu-v2023, for bench; without it that part is left out
TRACE ?= ../shared/data/alibaba-gpu-v2023

.DEFAULT_GOAL := help

.PHONY: help
help: ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

.PHONY: build
build: ## build bin/gpulet and bin/gpusim
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gpulet ./cmd/gpulet
	$(GO) build -trimpath -o bin/gpusim ./test/gpusim/cmd/gpusim

.PHONY: run
run: build ## the main job on simulated GPUs with a small kubelet (ONCE=1: play the scenario and exit)
	$(GO) run ./test/demo --gpulet bin/gpulet $(if $(ONCE),--once)

.PHONY: cluster
cluster: build ## the same on a real cluster on this machine (root; ONCE=1 as for run)
	$(GO) run ./test/demo --cluster --gpulet bin/gpulet $(if $(ONCE),--once)

.PHONY: test
test: deps lint unit e2e ## all that CI runs: lint, units, the short end-to-end on the real cluster

.PHONY: deps
deps: ## install what the tests need from Debian (root)
	test/deps.sh

.PHONY: lint
lint: ## formatting, vet and linters
	cd test/tools && $(GO) build -o $(TOOLS)/ tool
	$(TOOLS)/gofumpt -l . | (! grep .) || (echo 'not formatted: run make fmt' && false)
	$(TOOLS)/golangci-lint run ./...

.PHONY: fmt
fmt: ## format the tree
	cd test/tools && $(GO) build -o $(TOOLS)/ tool
	$(TOOLS)/gofumpt -w .

.PHONY: unit
unit: ## unit tests under the race detector, then each fuzzer for 3 s
	$(GO) test -race -timeout 15m ./...
	$(MAKE) --no-print-directory fuzz FUZZTIME=3s

.PHONY: fuzz
fuzz: ## each fuzzer for FUZZTIME (60s)
	test/fuzz.sh $(FUZZTIME)

.PHONY: e2e
e2e: build ## the short end-to-end tests on the real cluster (root)
	$(GO) test -tags e2e -timeout 30m -count 1 -v -short ./test/e2e/...

.PHONY: bench
bench: ## benchmarks: the agent's process, then its parts; results belong in docs/benchmarks.md
	$(GO) run ./test/bench
	$(GO) run ./test/bench --metrics
	$(GO) run ./test/bench/placement --trace $(TRACE)
	$(GO) test -run '^$$' -bench . -benchmem -count 5 ./deviceplugin/... ./exporter/... ./gpu/... ./kubelet/... ./partitioner/plan

.PHONY: prove
prove: deps build ## measure every promise and write docs/proofs.md
	$(GO) run ./test/prove

.PHONY: image
image: build ## a container image of the agent as a docker archive, bin/gpulet.tar
	$(GO) run ./test/cluster/cmd/cluster image --gpulet bin/gpulet --out bin/gpulet.tar
