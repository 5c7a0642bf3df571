"""An embedded world: the real engine and core over fake ports, in memory and in virtual time."""
