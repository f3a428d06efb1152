# Written for GNU make 3.81 too, which is what macOS has.
.DEFAULT_GOAL := help
.PHONY: help install up test chaos check fmt bench console describe lock

BIN := .venv/bin
# Tried in this order; the first one that runs and is at least 3.11 makes .venv.
PYTHON ?= python3.11 python3 python3.12 python3.13 python3.14
UV := uv==0.13.9

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo '  up, test, chaos, bench and console pass on ARGS="…", as in: make up ARGS="--port 0 --ephemeral"'

install: .venv/.installed ## Make .venv with all pinned requirements; does nothing when it is current

up: install ## Run the whole mesh on this machine until ctrl-C
	@exec $(BIN)/tocsin up $(ARGS)

test: install ## Run unit, integration and acceptance tests
	@exec $(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(ARGS)

chaos: install ## Kill and freeze a mesh under load, then audit it; MINUTES=5 SEED=…
	@exec env $(if $(MINUTES),MINUTES=$(MINUTES)) $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m tests.acceptance.chaos $(ARGS)

check: install ## Check format, lint, types and import rules, and run the unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/unit

fmt: install ## Format the code and apply the linter's safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: install ## Measure accept and drain rates beside their floors
	@exec $(BIN)/python -m ops.bench $(ARGS)

console: install ## Open the operator console
	@exec $(BIN)/tocsin console $(ARGS)

describe: install ## Write contracts/openapi.json and asyncapi.json again from the code
	@exec $(BIN)/python -m gateway.description

# The files name versions and hashes only, never where a package comes from.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" build/uv/bin/uv pip compile --quiet --no-config \
  --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links
# The image has every bundled provider.
PROVIDERS := --extra smtp --extra fcm --extra apprise

lock: ## Pin and hash requirements/ again from pyproject.toml; ARGS=--upgrade moves every pin
	@$(find-python) && rm -rf build/uv && \
	$$python -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target build/uv $(UV)
	@unset UV_FIND_LINKS && \
	$(LOCK) pyproject.toml --group dev --extra embedded $(PROVIDERS) -o requirements/dev.txt $(ARGS) && \
	$(LOCK) pyproject.toml $(PROVIDERS) --no-annotate -c requirements/dev.txt -o requirements/runtime.txt $(ARGS) && \
	$(LOCK) --group build --no-annotate -c requirements/dev.txt -o requirements/build.txt $(ARGS)

# Dates cannot tell that the clone was moved or that the Python behind .venv is gone.
ifneq ($(shell test -x $(BIN)/python && cat .venv/.installed 2>/dev/null),$(CURDIR))
.PHONY: .venv/.requirements
endif

# Both stamps are written last, so an interrupted install is begun again from nothing.
# Debian without python3-venv has no ensurepip: there the machine's own pip fills .venv.
.venv/.requirements: requirements/dev.txt
	@$(find-python) && rm -rf .venv && \
	echo "Making .venv with $$python; the first time takes about a minute." && \
	if $$python -m venv .venv >/dev/null 2>&1; then pip=".venv/bin/python -m pip"; \
	else $$python -m venv --clear --without-pip .venv && pip="$$python -m pip --python .venv/bin/python"; fi && \
	$$pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt && \
	touch $@

.venv/.installed: .venv/.requirements pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable . && pwd -P > $@

define find-python
for python in $(PYTHON) ''; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && break; \
done; \
if [ -z "$$python" ]; then \
  echo "Tocsin needs Python 3.11 or newer and found none of: $(PYTHON). Install one, or say make PYTHON=/path/to/python." >&2; \
  exit 1; \
fi
endef
