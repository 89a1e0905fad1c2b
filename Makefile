# One door. `make` alone lists what there is. Needs Python 3.11 or newer and make, nothing else.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FLEETS := scs01 star2035
DRAWING := libegl1 libgl1-mesa-dri

.DEFAULT_GOAL := help
.PHONY: help run test check slow bench vllm test-vllm lock clean

help:  ## list these
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: $(READY)  ## simulate, report and picture the twelve that fly and the 2,800 planned
	@now=$$(date -u +%Y%m%dT%H%M%SZ); for fleet in $(FLEETS); do \
	  run=runs/$$fleet-$$now; \
	  $(BIN)/twin run $$fleet -o $$run || exit $$?; \
	  $(BIN)/twin shot $$run -o $$run.png || { \
	    if $(BIN)/python -m viz.probe 2>/dev/null | grep -q '"works": true'; then exit 1; fi; \
	    echo "  No picture: this machine cannot draw yet (Debian packages: $(DRAWING)). The run is complete."; \
	  }; \
	done

test: $(READY)  ## the tests that need neither GPU nor patience
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)  ## format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check --quiet --output-format concise . || { echo "Please run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(READY)  ## the tests that take their time or compare pictures
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m '(slow or image) and not gpu' || [ $$? -eq 5 ]

bench: $(READY)  ## measure, print, and append to tests/bench/rows.jsonl; gates nothing
	@$(BIN)/python tests/bench/run.py

vllm: $(READY)  ## vLLM in an environment of its own (.venv-vllm), for a GPU if there is one, else for the CPU
	@$(BIN)/python serving/install.py .venv-vllm

test-vllm: $(READY)  ## make vllm, then the tests that serve with it (some minutes)
	@$(BIN)/python serving/install.py .venv-vllm; case $$? in \
	  0) ;; \
	  3) echo "*** SKIPPED: vLLM cannot be had here, so nothing was tested against a real server ***"; exit 0;; \
	  *) exit 1;; \
	esac; \
	$(BIN)/python -m pytest -m gpu tests/serving/vllm

lock: $(READY)  ## write down the versions that are installed now, for CI and for newcomers
	@set -e; mkdir -p requirements; \
	  version=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  lock=requirements/py$$version.txt; \
	  $(BIN)/python -m pip --disable-pip-version-check freeze --exclude-editable >$(VENV)/frozen; \
	  { echo "# What CI runs on Python $$version; written by: make lock"; \
	    grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' $(VENV)/frozen | LC_ALL=C sort -f; } >$(VENV)/lock; \
	  mv $(VENV)/lock $$lock; touch $(READY); \
	  echo "$$lock: $$(grep -c == $$lock) packages"

clean:  ## remove the environment and all caches; runs are kept
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find twin viz serving assets tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: made once, and brought up to date when what it is made from has changed.
$(READY): pyproject.toml $(wildcard requirements/*.txt)
	@python=""; \
	for name in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer is needed; here python3 is: $$(python3 --version 2>&1 || true)" >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  if ! $$python -c 'import ensurepip, venv' 2>/dev/null || ! $$python -m venv --clear $(VENV); then \
	    echo "$$python cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	fi; \
	version=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	lock=requirements/py$$version.txt; \
	if [ -f $$lock ]; then pins="-c $$lock"; from=$$lock; else pins=""; from="the newest releases"; fi; \
	echo "Setting up $(VENV) for Python $$version from $$from (once; a few minutes) ..."; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$pins -e '.[test]'
	@touch $(READY)
