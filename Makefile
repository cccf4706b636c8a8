# All tasks of the project, on a machine with Python 3.11, make and gcc. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-all firmware lint setup setup-all codes constraints clean

export PYTHON
BIN := .venv/bin
ALONE := tests/review/test_app.py tests/review/test_app_edits.py tests/engines/test_ray.py
MADE_FROM := pyproject.toml constraints.txt .ci/setup $(wildcard tests/*/setup)

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup ## build the sample dataset: network for packages only, no credentials, no real images
	@$(BIN)/python -m curation build sample
	@printf '\nThe dataset is in datasets/builds/sample; CARD.md describes its newest version.\n'
	@printf 'Next: %s\n' '.venv/bin/python -m curation show sample' '.venv/bin/python -m curation --help'

# A worker runs neighboring tests, so that each fixture of a room is made once, and takes over tests of others at the end.
# The App and the cluster are programs of their own that need the machine: their tests run after all others, file by file.
test: setup-all lint ## set up everything, check format, lint, types and imports, then run all tests
	@status=0; \
	$(BIN)/python -m pytest -q --durations=25 -n auto --dist worksteal $(addprefix --ignore=,$(ALONE)) $(PYTEST_ARGS) || status=1; \
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ALONE) $(PYTEST_ARGS) || status=1; \
	exit $$status

check: setup-all lint ## the same without the slow tests, in about four minutes
	@$(BIN)/python -m pytest -q -m "not slow" -n auto --dist worksteal $(PYTEST_ARGS)

bench: setup-all ## measure the README's figures and compare them with the targets (half an hour); JSON in benchmarks/results
	@PYTHONPATH=. $(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-all: setup-all ## the same, and the benchmarks of review, training and firmware (one to two hours)
	@PYTHONPATH=. $(BIN)/python benchmarks/run.py --all $(BENCH_ARGS)

# RUN=melanoma-v1 uses that training run; without it the default net is trained on the sample, which takes a few minutes once.
# GENERATED and BUILD are the folders for the model's C files and for the programs.
RUN ?=
GENERATED ?= firmware/generated
BUILD ?= firmware/build

firmware: setup-all ## compile a trained RUN for the PC and the board; check its sizes, and its logits on the emulated board
	@run='$(RUN)'; if [ -z "$$run" ]; then \
		$(BIN)/python -m curation build sample -q; \
		$(BIN)/python -m training fit sample; \
		run=$$($(BIN)/python -m training fit sample --json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["folder"])'); \
	fi; \
	$(BIN)/python -m training export "$$run" --to firmware --output $(GENERATED); \
	$(MAKE) --no-print-directory -C firmware GENERATED=$(abspath $(GENERATED)) BUILD=$(abspath $(BUILD)); \
	$(BIN)/python -m firmware.tools.check_bit_exact "$$run" $(BUILD)/measure-*.elf; \
	printf '\nA session with the emulated board:\n'; \
	$(BIN)/python -m firmware.tools.session "$$run" "$$(ls $(BUILD)/board-*.elf | tail -n 1)"

include firmware/arduino/arduino.mk

lint: setup-all ## check format, lint, types and imports; run all checks before it fails
	@status=0; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports --config pyproject.toml > .venv/imports.log && tail -n 1 .venv/imports.log \
		|| { cat .venv/imports.log; status=1; }; \
	exit $$status

setup: .venv/.stamp-core ## install the packages of the command line into .venv
setup-all: .venv/.stamp-all ## install the packages of all extras and tests into .venv, and system packages

.venv/.stamp-%: $(MADE_FROM)
	@.ci/setup $*

codes: setup ## write docs/codes.md, the list of error codes and reasons, from their enumerations
	@PYTHONPATH=. $(BIN)/python .ci/codes.py

constraints: ## resolve all dependencies again and pin them (some minutes, needs the network)
	@.ci/constraints

clean: ## remove generated files, except datasets and training runs
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './datasets/builds/*' -prune -exec rm -rf {} +
