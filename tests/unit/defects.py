"""What the operator logs as an error: a defect of its own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Defects(logging.Handler):
    """Gathers what the operator logs as an error: its own defects."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, with its traceback."""
        self.texts.append(logging.Formatter().format(record))


@contextmanager
def gathered() -> Iterator[Defects]:
    """The defects of the operator within the block, which are written nowhere else."""
    defects = Defects()
    logger = logging.getLogger("sluice")
    logger.addHandler(defects)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield defects
    finally:
        logger.removeHandler(defects)
        logger.propagate = propagate
