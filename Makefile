# Two commands: `make book` builds the book, `make test` proves it. Both set up .venv first, by themselves.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: book archive test fast lint zoo bench clean help

help:
	@echo "make book   execute the notebooks and build the book into _build/html"
	@echo "make test   lint, types, unit tests, notebooks, built pages, browser"
	@echo "make fast   lint, types and unit tests only"
	@echo "make zoo    every architecture of transformers, built small, against its own output"
	@echo "make archive  the built book and its notebooks in one file"
	@echo "make bench  side-by-side timings (never part of the tests)"
	@echo "make clean  remove everything that was built; keeps .venv"

# torch goes first and alone, so that nothing else decides which build of it is taken.
$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "udig-lab needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install -q $$(grep '^torch==' requirements.lock)
	$(RUN)/python -m pip install -q -r requirements.lock
	$(RUN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

book: $(VENV)/ready
	$(RUN)/python scripts/build_book.py
	@echo "the book: _build/html/index.html"

archive: book
	$(RUN)/python scripts/archive_book.py

lint: $(VENV)/ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

fast: lint
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest tests/unit tests/notebooks -n auto

# Fast tests first; then the book, which executes every notebook; then its pages.
test: fast
	$(RUN)/python scripts/build_book.py
	$(RUN)/python -m pytest tests/book -n auto --dist loadgroup

# In its own process each, so that a crash costs one row; fails where a number differs without a word.
zoo: $(VENV)/ready
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(RUN)/python -m zoo

# The peers come into an environment of their own, on top of the same pins.
$(VENV)-bench/ready: requirements.lock benchmarks/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install -q $$(grep '^torch==' requirements.lock)
	$(VENV)-bench/bin/python -m pip install -q -r requirements.lock
	$(VENV)-bench/bin/python -m pip install -q -c requirements.lock -r benchmarks/requirements.txt
	$(VENV)-bench/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

bench: $(VENV)-bench/ready
	$(VENV)-bench/bin/python benchmarks/peers.py
	$(VENV)-bench/bin/python benchmarks/scale.py

clean:
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis
