"""Prefect and the `flow` command, and nothing but: the work itself is in `pipeline`."""
