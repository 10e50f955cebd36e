# Needs Python 3.11 and make; everything else goes into .venv on first use.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Tests run in two processes of one thread each: on two cores that is faster than one process of two threads.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)
HOOK := --jaxtyping-packages=vol3d,tokenizers3d,experts3d,data_prep,tests.checked

.PHONY: help install demo test check bench bench-data bench-tokenizer eval-demo eval-experts clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

install: $(VENV)/installed ## install into .venv, with the tested versions

demo: install ## run the main job: a phantom scan, two questions, a report, a page
	$(BIN)/vol3d demo

test: install ## run the tests
	$(PYTEST)

check: $(VENV)/installed-dev ## what must hold before a change lands: style, types, import staircase, shapes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(HOOK)

bench: install ## time and correctness of reading, resampling, measuring and the CT expert, beside others in the same run
	$(BIN)/python -m benchmarks.bench_nifti
	$(BIN)/python -m benchmarks.bench_volume
	$(BIN)/python -m benchmarks.bench_measure
	$(BIN)/python -m benchmarks.bench_threshold_ct

bench-data: install ## from .nii.gz to store, random crops, loaders, beside the usual ways
	$(BIN)/python -m benchmarks.bench_data

bench-tokenizer: install ## time, memory and exactness of the tokenizer, beside the published code if VOL3D_BTB3D is set
	$(BIN)/python -m benchmarks.bench_tokenizer

eval-demo: install ## the README's table: accuracy by question family under five conditions
	$(BIN)/vol3d evaluate demo

eval-experts: install ## calls under unknown cards, accuracy before and after evidence, doubt
	$(BIN)/vol3d evaluate experts

clean: ## remove the environment and everything that tools cached
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test]'
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test,dev]'
	touch $@
