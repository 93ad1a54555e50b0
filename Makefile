# Everything that people do with this repository. `make` lists it. It has to work with macOS' GNU make 3.81.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# At the start of a recipe of several commands, and not in .SHELLFLAGS, which make 3.81 ignores.
strict := set -euo pipefail
# With it, `cd` may print the folder into what a script reads.
unexport CDPATH

# With the gateway and the way out, where they are on.
compose := $(strict); . scripts/lib.sh; . scripts/gateway.sh; . scripts/outbound.sh; docker compose
venv := .venv/bin

# What stands on the command line reaches the recipes as it was typed, as variables of their shell: make would take a $
# in a question for a variable of its own, and the shell would read quotes in a text that make has put into a recipe.
# (In one line, `override export NAME := ...`, make 3.81 would set a variable that is called "export NAME".)
$(foreach name,$(.VARIABLES),\
  $(if $(filter command,$(firstword $(origin $(name)))),\
    $(eval override $(name) := $$(value $(name)))$(eval export $(name))))

.PHONY: help up secrets gateway-user down ps logs ask example flows-push flows-pull dev test test-unit pictures chaos bench lint lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Start the stack, or apply what changed: make up [WORKERS=3] [YES=1]
	@scripts/up.sh

secrets: ## Write .secrets from .env, as `make up` does
	@$(strict); . scripts/lib.sh; . scripts/env-file.sh; . scripts/secrets.sh; write_secrets

gateway-user: ## Add a user of the gateway, or change their password: make gateway-user NAME=anna
	@scripts/gateway-user.sh

down: ## Stop and remove the containers; data stays
	@$(compose) down --remove-orphans
	@# Once more for a container that was starting again meanwhile: Compose does not look whether all are gone.
	@if [ -n "$$($(compose) ps --quiet)" ]; then $(compose) down --remove-orphans; fi

ps: ## Show the containers and their health
	@$(compose) ps --all

logs: ## Follow the logs: make logs [s="SERVICE ..."]
	@$(compose) logs --follow --tail 100 $${s:-}

ask: ## Ask a flow through Dagster: make ask Q="..." [FLOW=NAME]
	@scripts/ask.sh

example: ## Label a table of reviews with a flow, and print how many are right
	@scripts/example.sh

flows-push: ## Push flows/*.json to Langflow: make flows-push [FORCE=1]
	@$(compose) run --rm --no-deps flows-push dagma flows push --dir /flows $${FORCE:+--force}

flows-pull: ## Write Langflow's flows to flows/: make flows-pull [f="NAME"]
	@$(compose) run --rm --no-deps --user "$$(ls -nd flows | awk '{print $$3 ":" $$4}')" --volume "$$PWD/flows:/pulled" flows-push dagma flows pull --dir /pulled -- $${f:+"$$f"}

# What `make dev` starts by itself, each with packages of its own.
dev_servers := $(if $(LANGFLOW_BASE_URL),,langflow $(if $(LLM_BASE_URL),,llm))

dev: .venv/ready $(dev_servers:%=.dev/venvs/%/ready) ## Run Langflow, the LLM and Dagster without containers, as local processes
	@$(venv)/python -m dagma.dev

test: .venv/ready ## Run every test but chaos, on its own containers: make test [TESTS="tests/stack -k schedule"]
	@scripts/test.sh

test-unit: .venv/ready ## Run the tests that need no container
	@$(venv)/python -m pytest tests/unit

pictures: .venv/ready ## Retake the pictures of the docs from the running stack
	@$(venv)/python -m pytest tests/browser --stack-env .env --pictures docs/pictures

chaos: .venv/ready ## Kill services at random moments, and count what is lost: make chaos [N=20] [SEED=...] [OF=tables]
	@scripts/chaos.sh

bench: .venv/ready ## Measure calls, launches and the gateway against the plainest way: make bench [OF=overhead]
	@scripts/bench.sh

lint: .venv/ready ## Check formatting, lint, types and shell scripts
	@scripts/lint.sh

lock: .venv/ready ## Update the locks of all packages: make lock [UPGRADE=1] [EXTRAS=langchain]
	@scripts/lock.sh

clean: ## Delete containers AND DATA (asks first)
	@scripts/clean.sh

.venv/ready: requirements-dev.txt docker/build-tools.txt pyproject.toml project/requirements.txt
	@scripts/venv.sh

.dev/venvs/%/ready: docker/%/requirements.txt | .venv/ready
	@scripts/dev-venv.sh $*

# The login provider of the gateway's tests. Where a proxy re-signs TLS, node trusts only what it is told to. Short retries:
# without a network it says so after seconds.
.dev/oidc-provider/ready: tests/oidc_provider/package-lock.json | .venv/ready
	@$(strict); . scripts/env-file.sh; mkdir -p $(@D); cp tests/oidc_provider/package*.json $(@D); \
	  NODE_EXTRA_CA_CERTS=$$(host_ca_bundle) $(venv)/npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund \
	  --fetch-retries 3 --fetch-retry-mintimeout 1000 --fetch-retry-maxtimeout 3000; touch $@
