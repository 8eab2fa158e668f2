# Needs only make, Python >= 3.12 and a package index. Everything else goes into .venv.
# make PYTHON=/path/to/python3.12 <target> picks the interpreter.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.hubzarr
SOURCES := setup.cfg pyproject.toml setup.py $(wildcard hubzarr/stats/_kernels*.[ch])
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# One more than there are cores: many tests wait for servers and processes.
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((cores + 1)))
# Extras that make test-frameworks installs first, e.g. FRAMEWORKS=torch,jax,grain
FRAMEWORKS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-slow lint types docs test-frameworks install bench clean distclean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' Makefile

demo: $(STAMPS)/test  ## A short tour
	@$(BIN)/python -m hubzarr.demo

test: $(STAMPS)/test  ## Tests, and every example in the docstrings and the docs
	@echo "==> tests and doctests"
	@$(BIN)/python -m pytest -q -n $(WORKERS) --ignore=tests/frameworks -m "not slow" $(ARGS)

test-slow: $(STAMPS)/test  ## What make test leaves out: more servers, benchmarks, longer races
	@$(BIN)/python -m pytest -q -n $(WORKERS) --ignore=tests/frameworks -m slow $(ARGS)

lint: $(STAMPS)/dev  ## Style, formatting, and imports that only go downwards
	@echo "==> ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "==> ruff format --check"
	@$(BIN)/ruff format --quiet --check .
	@echo "==> import-linter"
	@$(BIN)/lint-imports --no-logo > $(STAMPS)/imports.log || { cat $(STAMPS)/imports.log; exit 1; }

types: $(STAMPS)/dev  ## mypy --strict
	@echo "==> mypy"
	@$(BIN)/mypy

docs: $(STAMPS)/docs  ## The documentation, in docs/_build/html; warnings are errors
	@echo "==> sphinx"
	@$(BIN)/sphinx-build -q -W --keep-going -j auto -b html docs docs/_build/html

# A process for each file: the frameworks disturb each other, JAX for one warns of every fork.
test-frameworks: $(STAMPS)/test  ## Tests with PyTorch, TensorFlow and JAX; skipped where not installed
ifneq ($(FRAMEWORKS),)
	@echo "==> installing $(FRAMEWORKS)"
	@$(PIP) -e '.[$(FRAMEWORKS)]'
endif
	@echo "==> tests with machine-learning frameworks"
	@ran=; failed=; for file in tests/frameworks/test_*.py; do \
		$(BIN)/python -m pytest -q -rs $$file $(ARGS); status=$$?; \
		[ $$status -eq 5 ] || ran=yes; \
		case $$status in 0|5) ;; *) failed="$$failed $$file" ;; esac; \
	done; \
	[ "$$ran" ] || echo "no framework test ran: make test-frameworks FRAMEWORKS=torch,jax installs the frameworks first"; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

install: | $(BIN)/python  ## What all targets need, in one go: quicker than one by one
	@echo "==> installing hubzarr[dev,docs,demo]"
	@$(PIP) -e '.[dev,docs,demo]'
	@mkdir -p $(STAMPS) && touch $(STAMPS)/test $(STAMPS)/dev $(STAMPS)/docs

bench: $(STAMPS)/test  ## Measure this machine; the numbers of docs/benchmarks.md
	@$(BIN)/python benchmarks/run.py $(ARGS)

clean:  ## Remove what was built
	@rm -rf build dist docs/_build demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage .coverage.*
	@find hubzarr tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## Remove .venv too
	@rm -rf $(VENV) ./*.egg-info hubzarr/stats/*.so

$(BIN)/python:
	@python=$$(sh .ci/find-python "$(PYTHON)") && echo "==> creating $(VENV) with $$python" \
		&& "$$python" -m venv $(VENV)

# One stamp for each set of requirements; it is renewed when the requirements change.
$(STAMPS)/test: EXTRAS = test,demo
$(STAMPS)/dev: EXTRAS = dev
$(STAMPS)/docs: EXTRAS = docs
$(STAMPS)/test $(STAMPS)/dev $(STAMPS)/docs: $(SOURCES) | $(BIN)/python
	@echo "==> installing hubzarr[$(EXTRAS)]"
	@$(PIP) -e '.[$(EXTRAS)]'
	@mkdir -p $(STAMPS) && touch $@
