# Few verbs; `make` alone prepares everything.
.DEFAULT_GOAL := setup
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# So many tests at once. More than four would have too many servers beside each other.
AT_ONCE ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n > 4 ? 4 : n)))
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-strip-extras --no-header --quiet
LOCKED := --extra dev --extra langgraph --extra otel --group test --group check --group build

.PHONY: setup run test check bench soak acceptance docs clean lock lock-images

setup: .venv/.ready ## make .venv with the locked requirements

.venv/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  rm -rf .venv; echo "python3 cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@echo "Installing the locked requirements into .venv …"
	@awk '/^uv==/{p=1} p; p&&!/\\$$/{exit}' requirements.txt > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## the whole product on this machine; options: make run ARGS="--port 9000"
	@$(BIN)/bff dev $(ARGS)

test: setup ## everything that can run here; says what could not and why
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest --numprocesses=$(AT_ONCE) --dist=loadgroup $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report
	@cat .cache/not-run

check: setup ## formatting, lint, types, imports, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	@! git ls-files --error-unmatch uv.lock >/dev/null 2>&1 || { echo "uv.lock holds addresses of one registry; remove it"; exit 1; }

bench: setup ## the gateway beside nginx and others, minutes; options: make bench ARGS=--help
	@$(BIN)/python -m bench.run $(ARGS)

SECONDS ?= 600

soak: setup ## ten minutes at load: nothing grows, nobody gets another's answer; make soak SECONDS=180
	@BFF_SOAK_SECONDS=$(SECONDS) $(BIN)/python -m pytest -m soak $(ARGS)

acceptance: setup ## the plan's list on all real parts, pages in Chromium, processes that break
	@$(BIN)/python -m pytest -m acceptance --numprocesses=$(AT_ONCE) --dist=loadgroup $(ARGS)
	@cat .cache/not-run

PICTURES := test_pages_pictures.py \
            test_pages_onboarding.py::test_a_founder_watches_the_phases_and_how_long_they_take \
            test_account_browser.py::test_people_see_who_they_are_and_from_where \
            test_admin_browser.py::test_the_page_is_for_everybody_who_may_use_it

docs: setup ## write the reference pages; take the pictures where Chromium is installed
	$(BIN)/python -m bff.dev.reference docs
	BFF_PICTURES=docs/pictures $(BIN)/python -m pytest -q -m real $(addprefix tests/real/,$(PICTURES)) $(ARGS)

lock: setup ## pin the newest releases that are a week old into requirements.txt
	$(BIN)/uv pip compile $(LOCK) $(LOCKED) $(ARGS) pyproject.toml -o requirements.txt
	@$(MAKE) --no-print-directory lock-images

lock-images: ## the same pins, divided as the images need them: deploy/locks
	@mkdir -p deploy/locks
	$(BIN)/uv pip compile $(LOCK) --constraints requirements.txt --extra otel \
	  pyproject.toml -o deploy/locks/serve.txt
	@for group in image agent; do \
	  $(BIN)/uv pip compile $(LOCK) --constraints requirements.txt \
	    --group $$group -o deploy/locks/$$group.txt || exit 1; done
	$(BIN)/uv pip compile $(LOCK) --group odoo-image -o deploy/odoo/requirements.txt

clean: ## forget .venv, caches and the data of `make run`
	rm -rf .venv .bff .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist
