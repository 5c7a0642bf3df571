"""A package, so that its fixtures can last for just these files."""
