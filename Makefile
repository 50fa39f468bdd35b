# Two targets are for users: report and test. Both work without POSETEST_DATA (the models in the repository only) and with it.

BIN := bin/posetest$(if $(filter Windows_NT,$(OS)),.exe)
GO_TEST_FLAGS ?= -timeout 30m

.PHONY: help report test junit merge newest readme page bench gate gate-selftest claims scaling models yolo lint clean $(BIN)

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

page: ## look at the HTML report in headless Chromium
	go test -tags browser -run TestBrowser ./posetest/report

GATE_FLAGS ?= --against-ort 1.31.1
gate: models ## hold each cell to its bar of speed, and the newest runtime to the one before
	@$(BIN) gate $(GATE_FLAGS)

TRIALS ?= 100
gate-selftest: $(BIN) ## prove the gate with slowdowns that are put in; writes docs/gate-power.md; takes an hour
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
	python3 -m venv $(YOLO)/ultralytics
	$(YOLO)/ultralytics/bin/python -m pip install --quiet ultralytics==8.4.190 onnx==1.19.1 onnxslim==0.1.98
	cd $(YOLO)/ultralytics && bin/yolo export model=yolov8n-pose.pt format=onnx opset=17
	mkdir -p $(YOLO)/models && mv $(YOLO)/ultralytics/yolov8n-pose.onnx $(YOLO)/models/

lint: ## gofmt, vet, staticcheck, actionlint, and which package may import which
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go tool actionlint .github/workflows/*.yml
	go test -run 'TestImports|TestTable|TestWorkflows|TestReadmeSaysWhatIsAvailable' ./posetest

clean: ## remove what was built here; the cache stays
	rm -rf bin report
