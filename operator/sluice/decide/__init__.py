"""The core: pure functions from what is observed, and the time, to a plan with reasons.

No clock, no I/O, no logging, no kopf, no asyncio: the same input always gives the same plan, so every decision can be
tested, replayed and explained. `planner.plan` composes the rest.
"""
