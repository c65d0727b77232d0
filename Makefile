# `make check` is what CI runs after it has made its own environment.
.PHONY: check lint types docs test fix

check: lint types docs test

lint:
	ruff check .
	ruff format --check .

types:
	mypy

docs:
	python docs/check.py

test:
	pytest

fix:
	ruff check --fix .
	ruff format .
