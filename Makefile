# Everything runs from .venv. Each command first installs the groups of pyproject.toml that it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := @$(PYTHON) scripts/install.py
# A test has torchvision's ImageFolder read datasets. It is in no group: it brings torch, and of its operators (not used) only
# a build of the same kind as torch's (CPU or CUDA) loads. Its release is that of torch in requirements.txt.
TORCHVISION := torchvision-0.28.0
IMAGE_FOLDER := .venv/torchvision/$(TORCHVISION).dist-info
# What tests use of npm, an emulator of Azure and checks of accessibility: compared with the checksums of package-lock.json.
FROM_NPM := .venv/azurite/node_modules/.package-lock.json .venv/axe/node_modules/.package-lock.json

.PHONY: help setup venv demo test conditions coverage soak bench check ci docs lock tools
help: ## Show this.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Make .venv and install the Git hooks: make setup [TRAIN=1], which adds PyTorch for training
	$(INSTALL) hooks $(if $(TRAIN),train)
	@$(BIN)/registry hooks install

venv: ## Make .venv with some groups, and no hooks: make venv [WITH="hooks train s3 dev"]
	$(INSTALL) $(WITH)

demo: ## Tell the whole story on a scratch registry: make demo [IMAGES=/path/to/class/folders] [BACKBONE=file.onnx] [S3=1] [DIR=/path/to/put/it]
	$(INSTALL) hooks train demo $(if $(S3),s3)
	@$(BIN)/registry demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(BACKBONE),--backbone "$(BACKBONE)") $(if $(S3),--s3) $(if $(DIR),--directory "$(DIR)")

# Three workers for CI's two cores: tests wait for servers and other processes. Each begins with its part of the tests, which
# share what is made once per session; the first to end takes from the others.
TESTS = $(BIN)/pytest -n 3 --dist worksteal --durations=25 --durations-min=5
test: tools ## Run the tests: make test [ARGS="-k pull"]
	@$(TESTS) $(ARGS)

coverage: tools ## Run the tests, with the branches that they cover, and write build/coverage.md.
	@mkdir -p build
	@$(TESTS) --cov --cov-report=term --cov-report=markdown:build/coverage.md $(ARGS)

conditions: tools ## Run the tests under the conditions of other machines: make conditions [ONLY="busy umask"] [ARGS="tests/sync"]
	@PYTHONPATH=tests $(BIN)/python -m support.conditions $(if $(ONLY),--only $(ONLY) --) $(ARGS)

soak: tools ## Kill commands at random moments on S3 until the time is over: make soak [SOAK_MINUTES=10] [SEED=N]
	@PYTHONPATH=tests $(BIN)/python -m support.killing --minutes $(or $(SOAK_MINUTES),10) $(if $(SEED),--seed $(SEED))

bench: tools ## Run the benchmarks and write their tables into benchmarks/README.md: make bench [ONLY="build transfer"]
	@$(BIN)/python benchmarks/measure.py $(ONLY)

ci: check coverage ## Run what a pull request has to pass that changes programs: linters, and tests with coverage.

check: ## Run every linter, the type checker and the registry's own checks.
	$(INSTALL) hooks cluster dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/registry check --all
	@$(BIN)/python scripts/reference.py --check
	@$(BIN)/python scripts/words.py && $(BIN)/lint-imports --no-logo && $(BIN)/mypy
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/new-dataset.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/actionlint && $(BIN)/zizmor --offline --persona pedantic --quiet .github

tools:
	$(INSTALL) hooks train s3 gs azure cluster docs dev
	@$(BIN)/python -m registry.demo.handwriting
	@$(MAKE) --silent --no-print-directory $(IMAGE_FOLDER) $(FROM_NPM)

ALONE := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target
$(IMAGE_FOLDER):
	@$(ALONE) $(@D) $(subst -,==,$(TORCHVISION))

.venv/%/node_modules/.package-lock.json: tests/support/npm/%/package.json tests/support/npm/%/package-lock.json
	@rm -rf .venv/$* && cp -R tests/support/npm/$* .venv/$*
	@PATH="$(CURDIR)/$(BIN):$$PATH" NODE_OPTIONS="--use-system-ca $$NODE_OPTIONS" $(BIN)/npm ci --prefix .venv/$* --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

docs: ## Build the site of docs/ into build/site.
	$(INSTALL) docs
	@$(BIN)/python scripts/docs.py

lock: $(BIN)/uv ## Bring requirements.txt up to pyproject.toml: make lock [UPGRADE=1], which updates everything
	@$(BIN)/python scripts/lock.py $(if $(UPGRADE),--upgrade)

$(BIN)/uv:
	$(INSTALL) dev
