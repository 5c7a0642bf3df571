"""Read models for people: what a terminal or a page shows of an object. Pure; no object is too broken to be shown."""
