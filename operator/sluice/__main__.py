"""`python -m sluice` is `sluice`."""

from sluice.cli.main import main

main()
