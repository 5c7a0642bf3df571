"""Secrets for tests."""

from dataclasses import dataclass, field

from sluice.errors import NotFound


@dataclass
class Secrets:
    """Secrets by namespace and name, and how often they were read."""

    data: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    reads: int = 0

    def put(self, namespace: str, name: str, **data: str | bytes) -> None:
        """Write a Secret; `ca_crt` stands for the key `ca.crt`."""
        self.data[namespace, name] = {
            key.replace("_", "."): value.encode() if isinstance(value, str) else value for key, value in data.items()
        }

    async def load(self, namespace: str, name: str) -> dict[str, bytes]:
        """Read one, as the adapter does."""
        self.reads += 1
        if (namespace, name) not in self.data:
            raise NotFound(f"Secret {namespace}/{name} does not exist")
        return self.data[namespace, name]
