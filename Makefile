# Everything a person types. `make` alone prints this help.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help run demo-policy test check build types lint unit bench clean

help: ## this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

node_modules/.package-lock.json: package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

run: node_modules/.package-lock.json ## start the gateway with the sandbox provider (needs Node and npm alone)
	@./aegis serve

demo-policy: node_modules/.package-lock.json ## watch the life of a policy, from the edit of a rule to a bad one that takes itself back
	@node scripts/demo-policy.ts

test: node_modules/.package-lock.json ## types, lint, policies, and every test (needs Node, and Go or internet for the OPA compiler)
	@test/run

check: node_modules/.package-lock.json ## check the policies
	@./aegis check

build: node_modules/.package-lock.json ## compile and sign the policies into bundles/
	@./aegis build

types: node_modules/.package-lock.json ## make the types from schemas/ and check all of them
	@npm run --silent types:generate && npm run --silent types

lint: node_modules/.package-lock.json ## format and lint
	@npm run --silent format

unit: node_modules/.package-lock.json ## the fast tests alone
	@npm test --silent -- test/unit

bench: node_modules/.package-lock.json ## measure against bare Koa on this machine (needs Go)
	@node bench/run.ts

clean: ## remove what was installed and the gateway's home
	rm -rf node_modules .tools .aegis bench/bin coverage test-results
