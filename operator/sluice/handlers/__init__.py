"""kopf's edge: the only package that imports it. It turns the hub's watch events into calls, and writes nothing."""
