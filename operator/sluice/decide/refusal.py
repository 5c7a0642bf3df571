"""Why a person's action is rejected."""

from __future__ import annotations


class Refused(Exception):
    """Why it is; the message is what they are told."""
