# Two commands: `make book` builds the book, `make test` proves it. Both set up .venv first, by themselves.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: book archive test fast lint zoo faults bench clean help

help:
	@echo "make book   execute the notebooks and build the book into _build/html"
	@echo "make test   lint, types, unit tests, notebooks, built pages, browser"
	@echo "make fast   lint, types and unit tests only"
	@echo "make zoo    every architecture of transformers, built small, against its own output"
	@echo "make archive  the built book and its notebooks in one file"
	@echo "make faults  the whole fault campaign, of which the tests hold two minutes"
	@echo "make bench  side-by-side timings (never part of the tests)"
	@echo "make clean  remove everything that was built; keeps .venv"

# Whatever is fetched must have a hash of requirements.lock. Only a build of torch that lies on this machine, in a folder
# that pip knows (find-links), goes before PyPI's, which on Linux brings gigabytes of CUDA: then these are left out.
INSTALL = -m pip install -q --no-compile --require-hashes -r
define environment
	$(PYTHON) -m venv $(1)
	@$(1)/bin/python -m pip install -q --no-index --no-deps $$(grep -o '^torch==[^ ]*' requirements.lock) 2>/dev/null || true
	@if $(1)/bin/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)'; then \
	  awk '/^[^ #]/ {keep = !/^(cuda-|nvidia-|triton=)/} keep' requirements.lock > $(1)/requirements.lock; \
	else cp requirements.lock $(1)/requirements.lock; fi
	$(1)/bin/python $(INSTALL) $(1)/requirements.lock
	$(1)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
endef

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "udig-lab needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(call environment,$(VENV))
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

# All that was done by hand once: kills, flipped bits, fuzzed texts, full disks; a quarter of an hour.
faults: $(VENV)/ready
	$(RUN)/python tests/faults/campaign.py --record _build/faults.json

# Fast tests first; then the share of the fault campaign; then the book, which executes every notebook; then its pages.
test: fast
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest tests/faults
	$(RUN)/python scripts/build_book.py
	$(RUN)/python -m pytest tests/book -n auto --dist loadgroup

# In its own process each, so that a crash costs one row; fails where a number differs without a word.
zoo: $(VENV)/ready
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(RUN)/python -m zoo

# The peers come into an environment of their own, on top of the same pins.
$(VENV)-bench/ready: requirements.lock benchmarks/requirements.txt
	$(call environment,$(VENV)-bench)
	$(VENV)-bench/bin/python -m pip list --format=freeze --exclude-editable > $(VENV)-bench/pins.txt
	$(VENV)-bench/bin/python -m pip install -q -c $(VENV)-bench/pins.txt -r benchmarks/requirements.txt
	@touch $@

bench: $(VENV)-bench/ready
	$(VENV)-bench/bin/python benchmarks/peers.py
	$(VENV)-bench/bin/python benchmarks/scale.py
	$(VENV)-bench/bin/python benchmarks/shards.py

clean:
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis
