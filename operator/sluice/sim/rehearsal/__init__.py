"""What the operator would do: the real engine, on copies of a cluster's objects, in virtual time."""
