# Everything a person does with a work tree. `make help` lists the targets, from the text beside each.

VENV := .venv
PY := $(VENV)/bin/python
KEMBAR := $(VENV)/bin/kembar
STAMP := $(VENV)/.kembar-setup
WEB_STAMP := $(VENV)/.kembar-web
STATE := $(if $(XDG_STATE_HOME),$(XDG_STATE_HOME),$(HOME)/.local/state)/kembar/lab
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	$$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BENCHES ?= mysqld-crash host-loss link-loss switchover standby-loss agent-kill agent-restart orchestrator-kill \
	zookeeper-kill zookeeper-leader-kill overhead page
DEFAULT_BENCHES ?= host-loss link-loss zookeeper-leader-kill
RUNS ?= 20
SEEDS ?= 1000
MINUTES ?= 10
RETURN_RUNS ?= 5
PAIRS ?= 1 10 50 200
PRIORITIES ?= P1 P2
RESULTS := build/bench
NODE ?= db-a
VAGRANT_DEFAULT_PROVIDER ?= virtualbox
export VAGRANT_DEFAULT_PROVIDER
VAGRANT := cd vagrant && vagrant

.DEFAULT_GOAL := help
.PHONY: help setup check test test-web sim scope fuzz rewind kills mutants faults soak demo lab bench returns scale security docs media evidence \
	packages lock playbooks test-provision vagrant-inventory vagrant-up vagrant-ssh \
	vagrant-down vagrant-mysqld-crash vagrant-host-loss vagrant-link-loss vagrant-heal clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name does; do \
		printf 'make %-20s %s\n' "$$name" "$$does"; done

setup: $(STAMP)  ## .venv with the `kembar` command and all that the targets below need

# Fresh Debian has neither ensurepip nor pip: then pip comes from the distribution's wheel, fetched but not installed.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Kembar needs Python 3.11 or later; name one: make setup PYTHON=/path/to/python3"; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && root=$$($(PY) -m lab.fetch python3-pip-whl) \
			&& PYTHONPATH=$$(echo "$$root"/usr/share/python-wheels/pip-*.whl) $(PY) -m pip install --quiet pip; }
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --disable-pip-version-check -e '.[orchestrator,lab,dev]'
	@touch $(STAMP)

check: setup  ## lint, format, types, unit tests, contracts of the models; no root, under a minute
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m pytest -n logical tests/unit tests/test_tidy.py
	$(PY) -m pytest tests/contract -m "not lab"

test: check $(WEB_STAMP)  ## check, then contracts and the lab on real MySQL, ZooKeeper and kernel (root)
	$(PY) -m pytest -n logical tests/sim tests/scope
	$(PY) -m pytest tests/contract tests/lab
	$(PY) -m pytest tests/web

# Of that package only axe.min.js is read: it comes without the library of browsers that it names.
$(WEB_STAMP): $(STAMP)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps 'axe-playwright-python>=0.1.8,<0.2'
	@touch $(WEB_STAMP)

test-web: setup $(WEB_STAMP)  ## the lab's page in a headless Chromium: failover, lost orchestrator, axe-core, phone (root)
	$(PY) -m pytest tests/web

sim: setup  ## the pair under random faults in virtual time: make sim SEEDS=1000
	@mkdir -p $(RESULTS)
	nice -n 19 $(PY) -m tests.sim.run --seeds $(SEEDS) --json $(RESULTS)/sim.json

scope: setup  ## every way of a small pair with up to three things out of turn, and of two with two writes
	nice -n 19 $(PY) -m tests.scope --turns 3 --writes 0
	nice -n 19 $(PY) -m tests.scope --turns 2 --writes 2

fuzz: setup  ## the API is asked all that its description allows, and more: make fuzz RUNS=200
	KEMBAR_API_EXAMPLES=$(RUNS) nice -n 19 $(PY) -m pytest tests/unit/test_fuzz.py

rewind: setup  ## random transactions on random tables, undone on a real server (root): make rewind RUNS=200
	KEMBAR_REWIND_RUNS=$(RUNS) nice -n 19 $(PY) -m pytest tests/contract/test_rewind.py tests/contract/test_rewind_random.py

kills: setup  ## returns broken off at each statement, and merges at random, on real servers (root): make kills RUNS=200
	KEMBAR_KILL_RUNS=$(RUNS) KEMBAR_FUZZ_RUNS=$$(($(RUNS) * 20)) nice -n 19 $(PY) -m pytest \
		tests/contract/test_return_killed.py tests/contract/test_return_refused.py

mutants: setup  ## planted protocol errors, each of which the simulator must find
	@mkdir -p $(RESULTS)
	nice -n 19 $(PY) -m tests.sim.mutants --json $(RESULTS)/mutants.json

faults: setup  ## P1 and P2 of the fault matrix on real servers; P0 is in make test: make faults PRIORITIES=P0
	@mkdir -p $(RESULTS)
	@for priority in $(PRIORITIES); do \
		$(KEMBAR) lab faults --priority $$priority -o json > $(RESULTS)/faults-$$priority.json || exit 1; done

soak: setup  ## a pair under load without any fault: make soak MINUTES=60
	@mkdir -p $(RESULTS)
	$(KEMBAR) lab soak --minutes $(MINUTES) -o json > $(RESULTS)/soak.json

demo: setup  ## a lab, a killed primary with its measured outage, and a return with what it merged; leaves it running
	$(KEMBAR) lab demo

lab: setup  ## a lab that stays, for a look or for faults of your own: kembar lab up
	$(KEMBAR) lab up

bench: setup  ## the measured outages, each in a lab of its own: make bench BENCHES=mysqld-crash
	@mkdir -p $(RESULTS)
	@for name in $(BENCHES); do \
		echo "bench $$name"; runs="--runs $(RUNS)"; case $$name in overhead|page) runs=;; esac; \
		$(KEMBAR) lab bench $$name $$runs -o json > $(RESULTS)/$$name.json || exit 1; done
	@for name in $(DEFAULT_BENCHES); do \
		echo "bench $$name, profile default"; \
		$(KEMBAR) lab bench $$name --runs $(RUNS) --profile default -o json > $(RESULTS)/$$name-default.json || exit 1; done

returns: setup  ## what a return takes, by kind and by size of the database, then its faults: make returns RETURN_RUNS=3
	@mkdir -p $(RESULTS)
	@for what in "clean" "truncate" $(foreach mb,100 2000,"rewind --database-mb $(mb)" "clone --database-mb $(mb)"); do \
		set -- $$what; echo "bench rejoin-$$what"; \
		$(KEMBAR) lab bench rejoin-$$what --runs $(RETURN_RUNS) -o json > $(RESULTS)/rejoin-$$1$${3:+-$$3}.json || exit 1; done
	$(KEMBAR) lab faults --only rejoin -o json > $(RESULTS)/faults-rejoin.json

scale: setup  ## what many pairs cost one set of orchestrators, and how soon it decides: make scale PAIRS="1 10"
	@mkdir -p $(RESULTS)
	@for pairs in $(PAIRS); do \
		echo "bench pairs, $$pairs of them"; \
		$(KEMBAR) lab bench pairs --pairs $$pairs -o json > $(RESULTS)/pairs-$$pairs.json || exit 1; done

docs: setup  ## docs/state-machine.md, docs/metrics.md, docs/cli.md and its schema, from what they are about
	$(PY) -m orchestrator.cli.docs > docs/state-machine.md
	$(PY) -c 'from monitoring.metric_table import printed; print(printed(), end="")' > docs/metrics.md
	$(PY) -m orchestrator.cli.reference > docs/cli.md
	$(PY) -c 'from orchestrator.cli.outputs import printed; print(printed(), end="")' > docs/cli.schema.json

security: setup  ## docs/security.md: every privilege and capability taken away in turn, on real servers (root, 5 minutes)
	$(PY) -m tests.security

media: setup  ## docs/images from a real failover: the recorded demo, the page in light and dark (root)
	$(PY) -m lab.media docs/images

evidence: setup  ## docs/evidence.md from the outputs of make bench, returns, scale, sim, mutants, faults, soak
	$(PY) -m lab.evidence $(RESULTS)

packages: $(VENV)/.kembar-packages  ## wheel and Debian packages into dist/, built twice, compared, installed and run (root)
	$(PY) -m packages.build dist
	$(PY) -m pytest tests/package

$(VENV)/.kembar-packages: $(STAMP) pyproject.toml
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --disable-pip-version-check -e '.[packages]'
	@touch $@

playbooks: $(VENV)/.kembar-provision  ## syntax, ansible-lint, yamllint, and preflight's refusals on this machine
	$(PY) -m pytest tests/provision -m "not lab"

test-provision: $(VENV)/.kembar-provision  ## the playbooks on booted Debian hosts, over ssh (root, systemd-nspawn)
	$(PY) -m packages.build dist
	$(PY) -m pytest tests/provision -m lab
	@cat $(RESULTS)/provision.json

$(VENV)/.kembar-provision: $(VENV)/.kembar-packages pyproject.toml
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --disable-pip-version-check -e '.[provision,playbooks]'
	@touch $@

lock: $(VENV)/.kembar-packages  ## the versions and hashes of what the packages carry, resolved anew
	@for name in agent orchestrator; do \
		$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
			--no-annotate --constraint packages/agent.txt \
			$$([ $$name = agent ] || echo --extra orchestrator) pyproject.toml -o packages/$$name.txt || exit 1; done

vagrant-inventory: setup  ## whom Ansible talks to on the virtual machines of vagrant/lab.yml
	$(PY) -m lab.inventory $(VAGRANT_DEFAULT_PROVIDER) playbooks/inventory/lab

vagrant-up: vagrant-inventory  ## the lab's hosts as virtual machines, set up by the playbooks
	$(VAGRANT) up

vagrant-ssh:  ## a shell on one of them: make vagrant-ssh NODE=db-a
	$(VAGRANT) ssh $(NODE)

vagrant-down:  ## the virtual machines, gone
	$(VAGRANT) destroy --force

vagrant-mysqld-crash:  ## kill -9 of mysqld on a virtual machine: make vagrant-mysqld-crash NODE=db-a
	$(VAGRANT) ssh $(NODE) --command "sudo systemctl kill --signal=SIGKILL mysql.service"

vagrant-host-loss:  ## a virtual machine without power: make vagrant-host-loss NODE=db-a
	$(VAGRANT) halt --force $(NODE)

vagrant-link-loss:  ## a virtual machine without its network; heal by vagrant-heal
	$(VAGRANT) ssh $(NODE) --command "sudo nohup ip link set eth1 down"

vagrant-heal:  ## power and network given back: make vagrant-heal NODE=db-a
	$(VAGRANT) up --no-provision $(NODE)
	$(VAGRANT) ssh $(NODE) --command "sudo ip link set eth1 up"

clean:  ## every lab ended, nothing left behind but .venv and the package cache
	@for lab in $(wildcard $(STATE)/*); do KEMBAR_LAB=$$(basename $$lab) $(KEMBAR) lab down || exit 1; done
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
