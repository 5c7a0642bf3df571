"""What carries traffic: Gateway API routes, and plain Services switched between slots."""
