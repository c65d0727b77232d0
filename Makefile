# `make check` is what CI runs after it has made its own environment.
.PHONY: check lint types docs test fix house

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

# What the rooms import and what a healthy house must not have; tests/test_house.py enforces it.
house:
	python docs/house.py

fix:
	ruff check --fix .
	ruff format .
