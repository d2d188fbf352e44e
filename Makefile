# One word for each chore. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
WIRE := broker/wire/v1
PROTOS := $(wildcard proto/$(WIRE)/*.proto)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.PHONY: help setup demo test check format proto proto-release lock schemas reference dashboards bench clean

help:  ## List the chores
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | awk -F ':.*  ## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY)  ## Make .venv with everything that runs, checks and tests (installs Debian packages if some are missing)

$(READY): requirements-dev.lock pyproject.toml deploy/machine/setup.sh
	@PYTHON=$(PYTHON) bash deploy/machine/setup.sh
	@touch $@

demo: $(READY)  ## Watch a real trace being served and paid for, then audit it (SCENARIO=voucher-rush plays another one, KEEP=1 leaves it running, CHAOS=1 kills parts)
	@$(BIN)/xisuan demo $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(KEEP),--keep) $(if $(CHAOS),--chaos)

test: $(READY)  ## Run all tests
	@$(BIN)/python -m scheduler.rehearsal  # machine code, made once: three workers would each make it
	@$(BIN)/python -m pytest -n 3 --dist loadfile

check: $(READY)  ## Lint, format, types, layering, wire contract, size limits; no tests of behaviour (<= 2 minutes)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q . || { echo "not formatted: run 'make format'"; exit 1; }
	@$(BIN)/lint-imports --no-cache --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/mypy
	@cd proto && ../$(BIN)/buf lint
	@cd proto && ../$(BIN)/buf breaking --against baseline.binpb
	@$(BIN)/python -m pytest tests/house -p no:xdist

format: $(READY)  ## Format the code and mend what lint can mend
	@$(BIN)/ruff check -q --fix . || true
	@$(BIN)/ruff format -q .

proto: $(READY)  ## Generate the wire code from proto/
	@$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. --pyi_out=. --grpc_python_out=. $(PROTOS)

proto-release: $(READY)  ## Make the wire as it is now the contract that later changes may not break
	@cd proto && ../$(BIN)/buf build -o baseline.binpb

schemas: $(READY)  ## Write the published JSON schemas (worlds, job files) from the code
	@$(BIN)/python -m broker.worlds > broker/worlds/world.schema.json
	@$(BIN)/python -m broker.client.job_file > broker/client/job.schema.json

reference: $(READY)  ## Write broker/reference/ from the code: settings, errors, metrics, wire, commands, jobs, reasons
	@$(BIN)/python -m broker.reference

dashboards: $(READY)  ## Write the Grafana dashboards (deploy/grafana/dashboards) from the code
	@$(BIN)/python -m deploy.grafana

lock: $(READY)  ## Pin all dependencies with hashes, from requirements*.in
	@for part in requirements-dev requirements deploy/image/build benchmarks/real_rivals/hyperqueue; do \
	  $(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    $$part.in -o $$part.lock $$( case $$part in requirements-dev|benchmarks/*) ;; *) echo -c requirements-dev.lock ;; esac ); done

bench: $(READY)  ## Measure the standard set (<= 10 minutes, on a quiet machine); writes benchmarks/results/ and the README's figures
	@$(BIN)/python -m benchmarks standard

clean:  ## Remove what the chores made (not your data)
	@rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
