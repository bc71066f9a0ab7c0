# Needs Python 3.11, make and pip; the first target that is made sets up .venv.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
DEMO ?= demo

.PHONY: help demo test slow lint bench descriptor clean

help:
	@echo "make demo        simulate a study of four sites, extract, classify, report"
	@echo "make test        run the tests"
	@echo "make lint        check style and types"
	@echo "make bench       measure the claims on speed"
	@echo "make descriptor  write descriptor.json again from the command line"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv || $(PYTHON) -m venv --clear --without-pip .venv
	pip="$(BIN)/python -m pip"; $$pip --version > /dev/null 2>&1 \
	    || pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	$$pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: .venv/ready
	rm -rf $(DEMO)
	$(BIN)/bidsclf-data simulate $(DEMO)/bids --effect 1.1
	$(BIN)/python run.py $(DEMO)/bids $(DEMO)/out participant \
	    -d fmriprep=$(DEMO)/bids/derivatives/fmriprep -w $(DEMO)/work --nprocs 2
	$(BIN)/python run.py $(DEMO)/bids $(DEMO)/out group -w $(DEMO)/work --nprocs 2 \
	    --models fc-svm control-phenotype control-motion control-site
	@echo "The report: $(abspath $(DEMO))/out/derivatives/main/report.html"

test: .venv/ready
	$(BIN)/python -m pytest -q

slow: .venv/ready
	$(BIN)/python -m pytest -q -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bidsclf/errors.py bidsclf/options.py bidsclf/checks.py bidsclf/dataset.py \
	    bidsclf/config \
	    bidsclf/scan.py bidsclf/arguments bidsclf/files bidsclf/features bidsclf/models \
	    bidsclf/harmonize bidsclf/folds bidsclf/evaluate bidsclf/sources \
	    bidsclf/cohort bidsclf/screening.py bidsclf/crossval bidsclf/interpret

bench: .venv/ready
	for script in benchmarks/*.py; do OMP_NUM_THREADS=1 $(BIN)/python $$script || exit 1; done

descriptor: .venv/ready
	$(BIN)/python -c "import json; from bidsclf.arguments import descriptor; \
	    print(json.dumps(descriptor(), indent=2))" > descriptor.json

clean:
	rm -rf $(DEMO) .venv
