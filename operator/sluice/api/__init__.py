"""The resource types of `sluice.dev/v1alpha1`: parsed, frozen, free of I/O."""
