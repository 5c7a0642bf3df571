"""The command line, `sluice` or `kubectl sluice`: one verb per module, a face over `ops` and `views`."""
