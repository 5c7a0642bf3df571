"""Adapters to the world, one narrow port each. They know nothing of each other."""
