"""Sluice: canary and blue-green rollouts for Kubernetes, gated by metrics, stopped by kill switches."""

__version__ = "0.1.0"
