# Everything lives in .venv; nothing is installed elsewhere but what tests need from the system, and only where it may.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
DATA ?= data/demo
SCORED := '["animeface"]' '["lbpcascade"]' '["drawn_faces"]' '["drawn_net"]' \
	'["drawn_faces","animeface"]' '["lbpcascade","animeface"]' '["drawn_net","animeface"]' \
	'["drawn_net","lbpcascade","animeface"]' '["drawn_net","drawn_faces","animeface"]'

.DEFAULT_GOAL := help
.PHONY: help demo manifest train-deps test check bench clean format scores

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# torch is asked for first and by its exact version: on some machines that version is the build without CUDA's gigabytes.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25"
	$(PIP) install --quiet -c constraints.txt torch==2.13.0
	$(PIP) install --quiet -c constraints.txt -e ".[train,postgres,video,test,check]"
	@touch $@

demo: $(VENV)/.installed ## build a face dataset from the sandbox board and train on it
	$(BIN)/flow run build-dataset sandbox --data $(DATA)

manifest: $(VENV)/.installed ## build the demo's dataset again and keep its manifest and contact sheet in the repository
	rm -rf data/manifest/releases
	$(BIN)/flow run build-dataset sandbox --data data/manifest --no-train --no-prefect
	cp data/manifest/releases/sandbox/001/data_manifest.csv .
	$(BIN)/python -c "from PIL import Image; Image.open('data/manifest/releases/sandbox/001/contact_sheet.png').save('docs/contact_sheet.jpg', quality=88)"

train-deps: $(VENV)/.installed ## PyTorch and what goes with it (a part of every install by this file)

# Two workers on two cores: the threads that PyTorch would start in each stand in each other's way.
test: $(VENV)/.installed ## run all tests
	@bash tests/system.sh
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed ## lay out the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

scores: $(VENV)/.installed ## fit what the evidence for a face is worth, again, to drawn pictures
	for names in $(SCORED); do \
		$(BIN)/flow fit-score -p detect.detectors=$$names --pictures 580 --seed 501 --out pipeline/scores.toml || exit; \
	done

bench: $(VENV)/.installed ## measure, as ratios against the usual way in the same run
	$(PIP) install --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python -m bench

clean: ## remove everything that was made
	rm -rf $(VENV) data build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
