"""Decisions over a fleet: which clusters go together, and what is recorded of each. Pure."""
