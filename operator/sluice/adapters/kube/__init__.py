"""Kubernetes API servers: credentials, reads and writes, watches, the Lease, Events."""
