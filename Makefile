# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
CORE ?= 2.19
SCENARIO ?=
NEARD_ARCHIVE ?=
RUNS ?= 20
HANDOVERS ?= 10
JOBS ?= 2
# Some of the unit tests wait for a real Consul.
WORKERS ?= 3
# The scenarios wait most of the time.
SCENARIOS ?= 4
MINUTES ?= 5
SEED ?=
SEEDS ?= 1000
FAULTS ?= 2
FROM ?= 0
NAME ?=
# Two minutes with this one inject every kind of fault (tests/unit/localnet/test_soak_plan.py).
FIXED_SEED := 5912
SIMULATION = PYTHONPATH=tests $(BIN)/python -m simulation
# What fails beside other tests is run again, alone.
PYTEST = PY_CONSUL_DIR=$(CURDIR)/build/py-consul $(BIN)/python tools/second_look.py --durations 20
# Ansible's modules are typed under their full names.
PLUGINS := filter module_utils modules plugin_utils
CODE := files/kuutamod/src localnet/standin/src localnet/network/src localnet/fleet/src plugins tests tools

.PHONY: help demo demo-down fleet fleet-ci figures localnet test lint unit simulate simulate-save simulate-ci explore integration gates gate-lint gate-documents gate-tarball installed soak soak-ci bench docs links lock clean

help:
	@echo "make demo                     three systemd hosts, deployed, handed over, taken over; they stay up to be tried"
	@echo "make demo NEARD_ARCHIVE=/path the same with a real neard"
	@echo "make demo-down                remove the demo"
	@echo "make localnet                 a live one-machine network: Consul, a simulated chain, three kuutamods"
	@echo "make localnet NEARD=/path     the same with a real neard"
	@echo "make test                     lint, types, unit, conformance and integration tests, gates, fleet-ci, short simulation and soak"
	@echo "make gates                    ansible-lint, ansible-test sanity, documentation, galaxy-importer, the installed tarball"
	@echo "make fleet                    all Molecule scenarios on systemd hosts, or one: SCENARIO=failover; CORE=$(CORE) or 2.21"
	@echo "make fleet-ci                 the part of it that make test runs: deploy, handover, lost host, rotation, upgrade"
	@echo "make figures                  how long deploy, HANDOVERS=$(HANDOVERS) handovers and an upgrade take on hosts; also build/figures.json"
	@echo "make simulate                 SEEDS=$(SEEDS) seeds FROM=$(FROM) of the deterministic simulation, on all cores"
	@echo "make simulate-save            keep the shortened schedule of a broken SEED=s as a regression test, NAME=words"
	@echo "make explore                  MINUTES=$(MINUTES) of exhaustive search: two nodes, up to FAULTS=$(FAULTS) faults"
	@echo "make soak                     MINUTES=$(MINUTES) of random faults on real processes; SEED=s repeats a run"
	@echo "make bench                    the takeover table (RUNS=$(RUNS) runs of each case), also in build/bench.json"
	@echo "make docs                     generate the tables in docs/ that come from the code"
	@echo "make links                    link what the modules use of the daemon's package under plugins/module_utils"
	@echo "make lock                     renew the locked requirements"
	@echo "make clean                    remove the virtual environment and everything built"

# The tools that judge and test the collection, for the oldest and the newest ansible-core that it supports.
build/ansible-2.19/ready: requirements/ansible-2.19.lock tools/venv.sh
	sh tools/venv.sh build/ansible-2.19 $< 11 13
	touch $@

# Its Python is not to be had on every machine. Where it isn't, this fails to make anything, and CORES has one less.
build/ansible-2.21/ready: requirements/ansible-2.21.lock tools/venv.sh
	sh tools/venv.sh build/ansible-2.21 $< 12 14 && touch $@ || test $$? = 3

# The ansible-cores that can be tested here, once the rules above have run.
CORES = $$(for core in 2.19 2.21; do if test -e build/ansible-$$core/ready; then echo $$core; fi; done)

# The packages of this repository are installed as they lie there.
PACKAGES := files/kuutamod localnet/standin localnet/network localnet/fleet

$(VENV)/ready: requirements/dev.lock $(PACKAGES:%=%/pyproject.toml)
	sh tools/venv.sh $(VENV) requirements/dev.lock 11 14 $(PYTHON)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	touch $@

build/py-consul/ready: requirements/py-consul.lock $(VENV)/ready
	rm -rf build/py-consul
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --target build/py-consul -r requirements/py-consul.lock
	touch $@

demo: $(VENV)/ready
	$(BIN)/kuutamo-fleet demo $(if $(NEARD_ARCHIVE),--neard-archive $(NEARD_ARCHIVE))

demo-down: $(VENV)/ready
	$(BIN)/kuutamo-fleet down

# Hosts that boot systemd, and everything the collection does to them.
fleet: $(VENV)/ready build/ansible-2.19/ready build/ansible-$(CORE)/ready installed
	sh tools/molecule.sh $(CORE) $(SCENARIO)

# What of it fits into `make test`: an operator's day with the oldest ansible-core, an upgrade with the newest to be had.
# The hosts' images are made first: that takes as long as the network does, and tests have a deadline.
fleet-ci: $(VENV)/ready build/ansible-2.19/ready build/ansible-2.21/ready installed
	$(BIN)/kuutamo-fleet image
	$(BIN)/pytest --durations 20 tests/fleet
	sh tools/molecule.sh 2.19 smoke
	@for core in $(CORES); do newest=$$core; done; set -x; sh tools/molecule.sh $$newest upgrade

figures: $(VENV)/ready
	$(BIN)/kuutamo-fleet figures --handovers $(HANDOVERS) --out build/figures.json

localnet: $(VENV)/ready
	$(BIN)/kuutamo-localnet up $(if $(NEARD),--neard $(NEARD))

test: lint unit gates fleet-ci simulate-ci integration soak-ci

lint: $(VENV)/ready
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	@sh tools/collection.sh build/collections
	MYPYPATH=build/collections $(BIN)/mypy $(PLUGINS:%=-p ansible_collections.kuutamo.near.plugins.%)

unit: $(VENV)/ready build/py-consul/ready
	$(PYTEST) -n $(WORKERS) tests/unit tests/conformance tests/simulation tests/exhaustive

simulate: $(VENV)/ready
	$(SIMULATION) run --seeds $(SEEDS) --from $(FROM)

simulate-save: $(VENV)/ready
	$(if $(and $(SEED),$(NAME)),,$(error say which and how to call it: make simulate-save SEED=number NAME=words-with-dashes))
	$(SIMULATION) shrink $(SEED) --save $(NAME)

simulate-ci: $(VENV)/ready
	$(SIMULATION) run --minutes 1.5
	$(SIMULATION) run --minutes 0.5 --from fresh

explore: $(VENV)/ready
	PYTHONPATH=tests $(BIN)/python -m exhaustive explore --minutes $(MINUTES) --faults $(FAULTS)

# ansible-test runs it on our shell scripts where it finds it.
build/tools/usr/bin/shellcheck:
	@mkdir -p build/tools
	@command -v shellcheck >/dev/null || (cd build/tools && apt-get download shellcheck && dpkg -x shellcheck_*.deb .) \
	    >build/tools/log 2>&1 || echo "gate: shellcheck: SKIPPED, it is not installed (apt-get install shellcheck)"

# Ansible's own judges, two at a time.
gates: build/ansible-2.19/ready build/ansible-2.21/ready build/tools/usr/bin/shellcheck
	@sh tools/collection.sh build/collections
	@test -e build/ansible-2.21/ready || echo "gate: ansible-core 2.21: SKIPPED, there is no Python 3.12 or newer here"
	@$(MAKE) --no-print-directory --jobs $(JOBS) $$(printf 'gate-sanity-%s ' $(CORES)) gate-tarball gate-lint gate-documents

GATE = @sh tools/gate.sh
ANSIBLE = sh tools/ansible-env.sh build/ansible-2.19 build/collections
COLLECTION := build/collections/ansible_collections/kuutamo/near
TARBALL = build/tarball/kuutamo-near-$(shell sed -n 's/^version: //p' galaxy.yml).tar.gz

gate-sanity-%:
	$(GATE) "ansible-test sanity, ansible-core $*" sh tools/sanity.sh build/ansible-$* build/sanity-$*

gate-lint:
	$(GATE) "ansible-lint" $(ANSIBLE) sh -c 'cd $(COLLECTION) && ansible-lint'

gate-documents:
	$(GATE) "antsibull-docs" $(ANSIBLE) antsibull-docs lint-collection-docs --plugin-docs $(COLLECTION)
	$(GATE) "antsibull-changelog" $(ANSIBLE) sh tools/changelog.sh $(COLLECTION)

gate-tarball: installed
	$(GATE) "galaxy-importer" $(ANSIBLE) sh tools/import-tarball.sh $(TARBALL)

# What a user installs; from a copy of its own, since the gates beside it read theirs.
installed: build/ansible-2.19/ready build/ansible-2.21/ready
	@sh tools/collection.sh build/packed
	@rm -rf build/tarball
	$(GATE) "ansible-galaxy collection build" sh tools/ansible-env.sh build/ansible-2.19 build/packed \
	    ansible-galaxy collection build --output-path build/tarball $(COLLECTION:build/collections%=build/packed%)
	@set -e; for core in $(CORES); do \
	    sh tools/gate.sh "installed with ansible-core $$core" \
	        sh tools/ansible-env.sh build/ansible-$$core . sh tools/install-tarball.sh $(TARBALL) build/installed-$$core; \
	done

integration: $(VENV)/ready build/py-consul/ready
	$(PYTEST) -n $(SCENARIOS) --dist loadfile tests/integration

soak: $(VENV)/ready
	$(BIN)/kuutamo-localnet soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --out build/soak.json

soak-ci: $(VENV)/ready
	$(BIN)/kuutamo-localnet soak --minutes 2 --seed $(FIXED_SEED) --out build/soak-fixed.json --dir build/soak-fixed
	$(BIN)/kuutamo-localnet soak --minutes 1 --out build/soak-fresh.json --dir build/soak-fresh

bench: $(VENV)/ready
	mkdir -p build
	$(BIN)/kuutamo-localnet bench --runs $(RUNS) --out build/bench.json

links:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,python3) tools/share_daemon.py

lock: $(VENV)/ready
	sh tools/lock.sh $(BIN)/python

docs: $(VENV)/ready
	$(BIN)/python -m kuutamod.settings > docs/settings.md.new && mv docs/settings.md.new docs/settings.md

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
