"""What random histories of pods have found, kept as scripts. Each tells what went wrong."""

import pytest

from sluice.api.names import Slot
from unit.sequences.happenings import Happening
from unit.sequences.life import Life, Setting
from unit.sequences.test_pods import SWITCHED, live

BY_SERVICE, WITH_OTHER_CALLERS = SWITCHED[1:]


@pytest.mark.parametrize("setting", [BY_SERVICE, WITH_OTHER_CALLERS])
@pytest.mark.parametrize("slot", Slot)
def test_a_selector_is_not_copied_from_a_service_that_somebody_changed(setting: Setting, slot: Slot) -> None:
    """A slot's Service that selects nothing for a moment once sent the callers of the other Services to nobody, too."""
    live(setting, [(Happening(f"mallory lets Service {slot} select nothing", Life.misdirect, slot), 2.0)])
