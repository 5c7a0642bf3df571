"""The shell around the core: caches, queue, observation, execution. It decides nothing."""
