# What CI runs is `make check`. Go is all it needs: the tools below come through the Go module proxy at the versions
# given here. The end-to-end test needs Node.js too and is left out, with a line that says so, where there is none.

GO       ?= go
FUZZTIME ?= 3s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DESTDIR  ?= dist/rootfs

# The race detector needs a C compiler.
RACE := $(shell command -v "$$($(GO) env CC)" >/dev/null 2>&1 && echo -race)

GOLANGCI_LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT       := $(GO) run mvdan.cc/gofumpt@v0.12.0
# Strings put together in short loops are easier to read than a strings.Builder.
GOFIX         := $(GO) fix -stringsbuilder=false
GOVULNCHECK   := $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0

BACKEND   := configs/compose/backend
COLLECTOR := internal/e2e/collector
BROWSER   := internal/browser

# Every Go file of ours; a test's folder of Node.js packages holds none of ours.
GOFILES = $$(find . \( -name node_modules -o -path ./.git \) -prune -o -name '*.go' -print)

# Packages whose tests drive the built program, and all others.
DRIVING := ./internal/faults ./internal/hostile
RACED    = $$($(GO) list ./... | grep -v -e /internal/faults -e /internal/hostile)

step = @printf '\n==> %s (%s)\n' '$@' "$$(date +%T)"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help check build test vet lint fmt fmt-check fuzz bench faults soak postgres postgres-if-installed kubernetes openapi browser browser-if-installed h2spec e2e e2e-if-node image image-test rootfs golden vuln clean

help: ## Show what can be made.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: fmt-check vet lint build test postgres-if-installed kubernetes openapi bench-guard fuzz h2spec e2e-if-node browser-if-installed ## Everything that CI runs.
	@printf '\ncheck: passed (%s)\n' "$$(date +%T)"

build: ## Build the program into bin/.
	$(step)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sidekong ./cmd/sidekong

test: ## Run the tests with the race detector.
	$(step)
	@$(if $(RACE),,echo 'without the race detector: it needs a C compiler, and this machine has none')
	@# Compiled side by side, run one package after the other: some measure time. Those that abuse or overload a program
	@# of its own do so without the race detector, which would only slow the attackers down.
	$(GO) test $(RACE) -run '^$$' $(RACED) >/dev/null
	$(GO) test $(RACE) -p 1 -timeout 10m $(RACED)
	$(GO) test -p 1 -timeout 10m $(DRIVING)

vet: ## Run go vet.
	$(step)
	$(GO) vet -tags e2e,image,postgres ./...

lint: ## Run golangci-lint, and go fix to see what is said in an older way.
	$(step)
	$(GOLANGCI_LINT) run
	$(GOFIX) -diff ./...

fmt: ## Format all Go files, and let go fix say things in today's way.
	$(step)
	$(GOFIX) ./...
	$(GOFUMPT) -w $(GOFILES)

fmt-check:
	$(step)
	@unformatted=$$($(GOFUMPT) -l $(GOFILES)) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt mends it):"; echo "$$unformatted"; exit 1; fi

fuzz: ## Run each fuzz target for FUZZTIME (3s).
	$(step)
	@# An input that is under way when the time is over makes go test fail with "context deadline exceeded" and no input
	@# that fails: that is no finding.
	@mkdir -p dist
	@targets=$$($(GO) test $(RACE) -list '^Fuzz' ./...) || { echo "$$targets"; exit 1; }; \
	echo "$$targets" | awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }' | \
	while read -r package target; do \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null >dist/fuzz.log 2>&1 || \
			{ grep -q 'context deadline exceeded' dist/fuzz.log && ! grep -q 'Failing input' dist/fuzz.log; } || \
			{ cat dist/fuzz.log; exit 1; }; \
		printf '%s %s: %s\n' "$$package" "$$target" "$$(grep -o 'execs: [0-9]*' dist/fuzz.log | tail -n 1)"; \
	done

bench: ## Run all benchmarks.
	$(step)
	$(GO) test -run '^$$' -bench . -benchmem ./...

faults: ## The fault matrix in full: what happens to requests and spans when the receiver misbehaves. Some 15 minutes.
	$(step)
	$(GO) test -count 1 -v -timeout 60m ./internal/faults -args -full

SOAK ?= 10m

soak: ## Ten minutes (SOAK) of load while the receiver misbehaves: memory, goroutines and descriptors stay flat.
	$(step)
	$(GO) test -count 1 -v -timeout 0 -run '^TestSoak$$' ./internal/faults -args -soak $(SOAK)

e2e: build bin/collector $(BACKEND)/node_modules/.package-lock.json ## One request through the real collector and a real Node.js backend.
	$(step)
	$(GO) test -tags e2e -count 1 -timeout 3m ./internal/e2e

postgres: ## The tests that need a database, on a PostgreSQL server of their own.
	$(step)
	$(GO) test $(RACE) -tags postgres -count 1 -timeout 5m ./configs/database ./admin/api
	$(GO) test $(RACE) -tags postgres -count 1 -timeout 2m -run 'TestTwoSidecars' ./cmd/sidekong

postgres-if-installed:
	@if command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then $(MAKE) --no-print-directory postgres; else \
		printf '\n==> postgres: LEFT OUT, it needs the Debian package postgresql, and this machine has none\n'; fi

kubernetes: ## Render the manifests and the chart, and hold them against Kubernetes' types.
	$(step)
	cd internal/kubernetes && $(GO) vet ./... && $(GO) test -count 1 ./...

openapi: ## The OpenAPI document of an inventory, by a validator that is not ours.
	$(step)
	cd admin/inventory/validate && $(GO) vet . && $(GO) build -o $(CURDIR)/bin/validate .
	bin/validate admin/inventory/testdata/openapi.json

browser: build $(BROWSER)/node_modules/.package-lock.json ## The page in Chromium, with its types and ESLint.
	$(step)
	cd $(BROWSER) && npm run -s check && npm run -s unit && SIDEKONG=$(CURDIR)/bin/sidekong npm test

browser-if-installed:
	@if command -v node >/dev/null && command -v npm >/dev/null && command -v chromium >/dev/null; then $(MAKE) --no-print-directory browser; else \
		printf '\n==> browser: LEFT OUT, it needs Node.js, npm and chromium, and this machine lacks one of them\n'; fi

$(BROWSER)/node_modules/.package-lock.json: $(BROWSER)/package-lock.json
	$(step)
	cd $(BROWSER) && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

h2spec: ## h2spec against our HTTP/2 listeners: nothing fails that plain net/http passes.
	$(step)
	$(GO) test -tags e2e -count 1 -timeout 5m -run TestH2spec ./internal/hostile

e2e-if-node:
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory e2e; else \
		printf '\n==> e2e: LEFT OUT, it needs Node.js and npm, and this machine has none\n'; fi

bin/collector: $(wildcard $(COLLECTOR)/*)
	$(step)
	cd $(COLLECTOR) && $(GO) vet . && $(GO) build -o $(CURDIR)/$@ .

$(BACKEND)/node_modules/.package-lock.json: $(BACKEND)/package-lock.json
	$(step)
	cd $(BACKEND) && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

golden: ## Write the golden files anew; look at the difference before you commit it.
	$(step)
	UPDATE_GOLDEN=1 $(GO) test -count 1 $$(grep -rl --include='*_test.go' --exclude-dir=node_modules --exclude-dir=e2e UPDATE_GOLDEN . | xargs -n 1 dirname | sort -u)

vuln: ## Ask govulncheck for known vulnerabilities; SIDEKONG_VULNDB names another database (a URL).
	$(step)
	$(GOVULNCHECK) $${SIDEKONG_VULNDB:+-db "$$SIDEKONG_VULNDB"} ./...

image: ## Build the container image sidekong:VERSION with Docker.
	docker build --build-arg VERSION=$(VERSION) -t sidekong:$(VERSION) -t sidekong:latest .

image-test: build ## Build the image's last stage with buildah and start it with podman (as root).
	$(step)
	rm -rf dist/rootfs
	install -D bin/sidekong dist/rootfs/usr/local/bin/sidekong
	$(MAKE) --no-print-directory rootfs
	$(GO) test -tags image -count 1 -timeout 5m ./internal/e2e

clean: ## Remove what make made.
	rm -rf bin dist $(BACKEND)/node_modules $(BROWSER)/node_modules

rootfs: # The files of the container image, as they lie in it; DESTDIR/usr/local/bin/sidekong is built already.
	install -d $(DESTDIR)/etc/ssl/certs $(DESTDIR)/usr/local/bin
	install -d -m 1777 $(DESTDIR)/tmp
	install -d -o 1000 -g 1000 $(DESTDIR)/usr/local/kong $(DESTDIR)/var/run/kong
	install -m 644 /etc/ssl/certs/ca-certificates.crt $(DESTDIR)/etc/ssl/certs/
	echo 'kong:x:1000:1000:kong:/usr/local/kong:/sbin/nologin' >$(DESTDIR)/etc/passwd
	echo 'kong:x:1000:' >$(DESTDIR)/etc/group
	ln -sf sidekong $(DESTDIR)/usr/local/bin/kong

.PHONY: bench-peers bench-ladder bench-vm bench-guard pgo

bench-peers: ## Sidekong beside Caddy, Traefik, nginx, HAProxy, otelhttp and the OpenTelemetry SDK (20 minutes).
	$(step)
	$(GO) run ./bench peers

bench-ladder: ## What Sidekong's parts cost, in instructions per request (5 minutes).
	$(step)
	$(GO) run ./bench ladder

bench-vm: ## The same of user and kernel, in a virtual machine (15 minutes; Debian's qemu-system-x86, and a Linux in /boot).
	$(step)
	$(GO) run ./bench vm ladder

bench-guard: ## Fail where a request costs more than bench/limits.txt allows.
	$(step)
	$(GO) run ./bench guard -requests 3000

pgo: ## Make cmd/sidekong/default.pgo, the profile that builds optimise by, from the benchmark of a request.
	$(step)
	@mkdir -p dist
	$(GO) test -run '^$$' -bench 'BenchmarkRequest/(unsampled|all)' -benchtime 30000x -cpuprofile dist/pgo.prof -o dist/proxy.test ./proxy
	mv dist/pgo.prof cmd/sidekong/default.pgo
