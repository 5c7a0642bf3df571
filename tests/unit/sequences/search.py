"""How random histories are looked for: many, or the same few each time."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings

# The same examples each time, so that a build turns red for a reason; the profile "thorough" goes looking for new ones.
PROFILE = settings()
SEARCH: dict[str, Any] = {
    "derandomize": PROFILE.max_examples <= 100,
    "phases": (Phase.explicit, Phase.generate, Phase.shrink),  # explaining a counterexample takes minutes here
    "suppress_health_check": [HealthCheck.too_slow],
}
