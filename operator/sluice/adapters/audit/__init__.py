"""Where audit entries go beside a Rollout's status."""
