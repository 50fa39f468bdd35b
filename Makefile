# Two targets are for users: report and test. Both work without POSETEST_DATA (the models in the repository only) and with it.

BIN := bin/posetest
GO_TEST_FLAGS ?= -timeout 30m

.PHONY: help report test models yolo lint clean $(BIN)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

$(BIN):
	@mkdir -p bin
	@go build -trimpath -o $@ ./posetest/cmd/posetest

report: models ## run the matrix, print the table, write report/observations.jsonl and report/matrix.md
	@$(BIN) report $(REPORT_FLAGS)

test: models ## run all tests; a cell is one sub-test
	go test $(GO_TEST_FLAGS) ./...

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

lint: ## gofmt, vet, staticcheck, and which package may import which
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go test -run 'TestImports|TestTable' ./posetest

clean: ## remove what was built here; the cache stays
	rm -rf bin report
