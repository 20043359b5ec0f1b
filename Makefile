# Antiphon's commands. `make` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PROTOS := $(shell cd proto/antiphon && find . -name '*.proto' | sort | sed 's,^\./,,')
VENV := .venv
PYTHON ?= python3
MEDIA := services/media-plane

.PHONY: help
help: ## print this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: proto
proto: ## generate services/antiphon/wire from proto/
	@rm -rf services/antiphon/wire && mkdir -p services/antiphon/wire
	@$(VENV)/bin/python -m grpc_tools.protoc --proto_path=antiphon/wire=proto/antiphon \
	  --python_out=services --pyi_out=services --grpc_python_out=services \
	  $(addprefix antiphon/wire/,$(PROTOS))
	@find services/antiphon/wire -type d -exec sh -c 'echo "\"\"\"Generated from proto/ by make proto.\"\"\"" > "$$1/__init__.py"' _ {} \;
