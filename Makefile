# Two targets are for users: report and test. Both work without POSETEST_DATA (the models in the repository only) and with it.

BIN := bin/posetest$(if $(filter Windows_NT,$(OS)),.exe)
GO_TEST_FLAGS ?= -timeout 30m

.PHONY: help report test junit merge newest readme providers ortplugin page bench gate gate-selftest claims scaling models yolo faults soak determinism fuzz mutants licences vuln reproducible dist portable bundle image manifests schemas sums publish lint clean $(BIN)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

$(BIN):
	@mkdir -p bin
	@go build -trimpath -o $@ ./posetest/cmd/posetest

report: models ## run the matrix, print the table, write report/index.html, matrix.md and observations.jsonl
	@$(BIN) report $(REPORT_FLAGS)

test: models ## run all tests; a cell is one sub-test
	go test $(GO_TEST_FLAGS) ./...

JUNIT_FORMAT ?= pkgname
junit: models ## make test, and write report/junit.xml, and what tests leave to be looked at into report/artifacts
	@mkdir -p report/artifacts
	go tool gotestsum --format $(JUNIT_FORMAT) --junitfile report/junit.xml -- $(GO_TEST_FLAGS) -artifacts -outputdir report/artifacts ./...

OBSERVATIONS ?= $(wildcard observations/*/observations.jsonl)
merge: $(BIN) ## join the reports of several machines, OBSERVATIONS=…, into one in report/
	@$(BIN) merge $(OBSERVATIONS) $(MERGE_FLAGS)

# Without a new release it is the newest that runtimes.json has; with one, runtimes.json has it from then on.
newest: $(BIN) ## find and pin the newest release of onnxruntime, and run the matrix on it
	@version=$$(python3 -m pip index versions onnxruntime --disable-pip-version-check | sed -n 's/^onnxruntime (\([0-9.]*\)).*/\1/p'); \
	test -n "$$version" || { echo "make newest: pip does not say which onnxruntime is the newest; look at its words above" >&2; exit 2; }; \
	$(BIN) runtime list | grep -qF " onnxruntime@$$version " || $(BIN) runtime pin "onnxruntime@$$version" && \
	$(MAKE) report REPORT_FLAGS="--runtimes $$version $(REPORT_FLAGS)"

# Nothing but benchmark format is on standard output, for benchstat. From another folder: make -s -C, without make's own words.
bench: $(BIN) ## time what loads, for benchstat; MODEL=… PRECISION=… PROVIDER=… ORT=1.22.1,1.32.0 KINDS=… COUNT=… select
	@$(BIN) models make >&2
	@$(BIN) bench $(if $(MODEL),--models '$(MODEL)') $(if $(PRECISION),--precisions '$(PRECISION)') $(if $(PROVIDER),--providers '$(PROVIDER)') \
		$(if $(ORT),--runtimes '$(ORT)') $(if $(KINDS),--kinds '$(KINDS)') $(if $(COUNT),--count '$(COUNT)') $(BENCH_FLAGS)

readme: models ## run the matrix and write it into README.md
	@$(BIN) report --readme README.md $(REPORT_FLAGS)

PROVIDER_RUNTIMES ?= gpu-1.31.1,webgpu-1.27.0
providers: ## run the matrix on the runtimes for graphics processors; the first time it downloads 280 MB; PROVIDERS=cuda,cuda-notf32 names more
	@$(MAKE) report REPORT_FLAGS="--runtimes $(PROVIDER_RUNTIMES) $(if $(PROVIDERS),--providers $(PROVIDERS)) $(REPORT_FLAGS)"

ortplugin: ## build bin/posetest-ortplugin, with a newer binding that can register plug-in providers; it needs ONNX Runtime 1.26 or newer
	@mkdir -p bin
	@go build -trimpath -modfile=tools/ortplugin.mod -tags ortplugin -o bin/posetest-ortplugin ./posetest/cmd/posetest

page: ## look at the HTML report in headless Chromium
	go test -tags browser -run TestBrowser ./posetest/report

GATE_FLAGS ?= --against-ort 1.31.1
gate: models ## hold each cell to its bar of speed, and the newest runtime to the one before
	@$(BIN) gate $(GATE_FLAGS)

TRIALS ?= 100
gate-selftest: $(BIN) ## prove the gate with slowdowns that are put in; writes docs/gate-power.md; takes two hours
	@$(BIN) gate selftest --trials $(TRIALS) --log docs/gate-power.jsonl --out docs/gate-power.md

claims: models ## measure what was promised of zero-copy tensors, arena, fusion and INT8; writes docs/claims.md
	@$(BIN) claims --out docs/claims.md $(CLAIMS_FLAGS)

scaling: models ## measure what threads, spinning and batches bring; writes docs/scaling.md
	@$(BIN) scaling --out docs/scaling.md $(SCALING_FLAGS)

models: $(BIN) ## make the int8 and fp16 variants of models from the data path, into the cache
	@$(BIN) models make

# The model's licence (AGPL-3.0) forbids to commit it. The exporter has an environment of its own, and fetches the weights.
USER_CACHE = $(if $(filter Darwin,$(shell uname)),$(HOME)/Library/Caches,$(or $(XDG_CACHE_HOME),$(HOME)/.cache))
YOLO = $(or $(POSETEST_CACHE),$(USER_CACHE)/posetest)
yolo: ## bring YOLOv8n-pose with Ultralytics' own exporter, into the cache
	python3 -m venv --clear $(YOLO)/ultralytics
	$(YOLO)/ultralytics/bin/python -m pip install --quiet --require-hashes -r scripts/requirements-yolo.txt
	$(YOLO)/ultralytics/bin/python scripts/export_yolo.py --out $(YOLO)/models

faults: models ## try every fault as often as docs/reliability.md says, and write its table; takes half an hour
	@POSETEST_FULL=1 go test -json -count=1 -timeout 90m -run TestFaults ./... | python3 scripts/faults.py docs/reliability.md

soak: ## start and end 5,000 workers, and run a session 100,000 times; takes half an hour
	POSETEST_FULL=1 go test -count=1 -timeout 90m -v -run TestSoak ./posetest

determinism: ## 20 shuffled runs give the same bytes, under the race detector
	POSETEST_FULL=1 go test -count=1 -race -timeout 60m -run TestDeterminism ./posetest

FUZZTIME ?= 1m
fuzz: ## fuzz everything that parses, each target for FUZZTIME
	@scripts/fuzz $(FUZZTIME)

mutants: ## change the deciding packages an operator at a time: does a test fail?
	@go run ./scripts/mutants $(MUTANTS)

licences: ## look up the licence of every module, and write docs/licences.md
	go test -run TestLicences ./scripts -update

VULNDB ?= https://vuln.go.dev
vuln: ## look for known vulnerabilities in what the command and the tests call; VULNDB=file:///… takes a copy of the database
	go tool -modfile=tools/go.mod govulncheck -db $(VULNDB) -test ./...

reproducible: ## build the command twice, with other folders and caches, and compare the bytes; takes some minutes
	@scripts/reproducible

dist: ## build the command for this machine as a release has it, with bill of materials and licences, into dist/
	@scripts/dist

portable: ## build the command for Linux with glibc 2.28 and newer, into bin/posetest-portable
	@scripts/portable bin/posetest-portable

# On Linux what packs, and is packed, is the posetest that runs with an older glibc, too.
PACKER := $(if $(filter Linux,$(shell uname)),portable,$(BIN))
PACK_FLAGS ?= --models movenet-lightning
BUNDLE ?= dist/posetest_bundle_$(shell go env GOOS)_$(shell go env GOARCH).tar.gz
bundle: $(PACKER) ## pack all for a machine without toolchain and network into BUNDLE=…; PACK_FLAGS=… choose: docs/bundle.md
	@mkdir -p $(dir $(BUNDLE))
	@$(if $(filter portable,$(PACKER)),bin/posetest-portable pack --glibc 2.28,$(BIN) pack) $(PACK_FLAGS) --out $(BUNDLE)

image: ## lay down in dist/image what deploy/Dockerfile makes an image of; RUNTIMES='1.23.2 …' go along
	@scripts/image $(RUNTIMES)

# Schemas are here, so that nothing is fetched. What they can't say, such as which fields go together, only a cluster can.
manifests: ## hold deploy/kubernetes to the schemas of Kubernetes
	go tool -modfile=tools/go.mod kubeconform -strict -summary -skip Kustomization \
		-schema-location 'deploy/schemas/{{.ResourceKind}}{{.KindSuffix}}.json' deploy/kubernetes

schemas: ## write deploy/schemas from the types of k8s.io/api in tools/go.mod
	go run -C tools ./schemas ../deploy/schemas

sums: ## write the sums of dist/ into dist/SHA256SUMS
	@cd dist && sha256sum posetest_* >SHA256SUMS && cat SHA256SUMS

publish: sums ## make a GitHub release of dist/, of the tag in GITHUB_REF_NAME
	gh release create "$(GITHUB_REF_NAME)" --verify-tag --generate-notes dist/*

lint: ## gofmt, vet, staticcheck, actionlint, kubeconform, which package may import which, pins and licences
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -modfile=tools/ortplugin.mod -tags ortplugin ./posetest/session
	go tool staticcheck ./...
	go tool actionlint .github/workflows/*.yml
	@$(MAKE) --no-print-directory manifests
	go test -run 'TestImports|TestTable|TestWorkflows|TestReadmeSaysWhatIsAvailable' ./posetest
	go test ./scripts

clean: ## remove what was built here; the cache stays
	rm -rf bin dist report
