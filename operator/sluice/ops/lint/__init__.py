"""Checking manifests without a cluster: by the CRDs' own rules, and by what the operator would say of them."""
