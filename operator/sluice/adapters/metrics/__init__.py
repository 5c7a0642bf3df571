"""Prometheus and what speaks its API: instant queries, bounded in time, size and reach."""
