# Everything a clone needs, from a machine with Python 3.11, make and gcc. `make help` says what there is.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-all firmware lint setup setup-all constraints clean

export PYTHON
BIN := .venv/bin
ALONE := tests/review/test_app.py tests/engines/test_ray.py
MADE_FROM := pyproject.toml constraints.txt .ci/setup $(wildcard tests/*/setup)

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup ## build the sample dataset: no network but for the packages, no credentials, no real images
	@$(BIN)/python -m curation build sample
	@printf '\nThe dataset lies in datasets/builds/sample; its newest version explains itself in CARD.md.\n'
	@printf 'Next: %s\n' '.venv/bin/python -m curation show sample' '.venv/bin/python -m curation --help'

# The App and the cluster are whole programs of their own that want the machine: they run alone, after all others.
test: setup-all lint ## set up everything, check format, lint, types and imports, then run every test
	@status=0; \
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(ALONE)) $(PYTEST_ARGS) || status=1; \
	$(BIN)/python -m pytest -q $(ALONE) $(PYTEST_ARGS) || status=1; \
	exit $$status

check: setup-all lint ## the same without the slow tests: under two minutes
	@$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bench: setup-all ## measure what the README quotes, and every mark at the end: JSON in benchmarks/results (half an hour)
	@PYTHONPATH=. $(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-all: setup-all ## the same, and what review, training and firmware are measured by (an hour or two)
	@PYTHONPATH=. $(BIN)/python benchmarks/run.py --all $(BENCH_ARGS)

# RUN=melanoma-v1 takes that run of training; without one the default net is trained on the sample, a few minutes once.
# GENERATED and BUILD are where the model's C files and the programs go.
RUN ?=
GENERATED ?= firmware/generated
BUILD ?= firmware/build

firmware: setup-all ## a trained RUN for the PC and the board: sizes against the limits, every logit on the emulated board
	@run='$(RUN)'; if [ -z "$$run" ]; then \
		$(BIN)/python -m curation build sample -q; \
		$(BIN)/python -m training fit sample; \
		run=$$($(BIN)/python -m training fit sample --json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["folder"])'); \
	fi; \
	$(BIN)/python -m training export "$$run" --to firmware --output $(GENERATED); \
	$(MAKE) --no-print-directory -C firmware GENERATED=$(abspath $(GENERATED)) BUILD=$(abspath $(BUILD)); \
	$(BIN)/python -m firmware.tools.check_bit_exact "$$run" $(BUILD)/measure-*.elf; \
	printf '\nA conversation with the emulated board:\n'; \
	$(BIN)/python -m firmware.tools.session "$$run" "$$(ls $(BUILD)/board-*.elf | tail -n 1)"

include firmware/arduino/arduino.mk

lint: setup-all ## format, lint, types and the floors of the house, all of them before it fails
	@status=0; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports --config pyproject.toml > .venv/imports.log && tail -n 1 .venv/imports.log \
		|| { cat .venv/imports.log; status=1; }; \
	exit $$status

setup: .venv/.stamp-core ## make .venv with what the command line needs
setup-all: .venv/.stamp-all ## make .venv with what the tests need, and the packages of the system

.venv/.stamp-%: $(MADE_FROM)
	@.ci/setup $*

constraints: ## resolve every dependency anew and pin what comes out (some minutes, needs the network)
	@.ci/constraints

clean: ## remove what was made here, but no dataset and no training run
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './datasets/builds/*' -prune -exec rm -rf {} +
