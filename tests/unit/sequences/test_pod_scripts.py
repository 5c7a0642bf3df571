"""What random histories of pods have found, kept as scripts. Each tells what went wrong."""

import pytest

from sluice.api.names import Kind, Slot
from sluice.sim.pods import Behaviour
from unit.sequences.happenings import Happening
from unit.sequences.life import Life, Setting
from unit.sequences.test_pods import CANARIES, SWITCHED, live

BY_SERVICE, WITH_OTHER_CALLERS = SWITCHED[1:]


@pytest.mark.parametrize("setting", [BY_SERVICE, WITH_OTHER_CALLERS])
@pytest.mark.parametrize("slot", Slot)
def test_a_selector_is_not_copied_from_a_service_that_somebody_changed(setting: Setting, slot: Slot) -> None:
    """A slot's Service that selects nothing for a moment once sent the callers of the other Services to nobody, too."""
    live(setting, [(Happening(f"mallory lets Service {slot} select nothing", Life.misdirect, slot), 2.0)])


@pytest.mark.parametrize(
    "harm",
    [
        Happening("mallory lets Service blue select nothing", Life.misdirect, Slot.BLUE),
        Happening("mallory deletes Deployment blue", Life.remove, Kind.DEPLOYMENT, Slot.BLUE),
    ],
    ids=["service", "deployment"],
)
def test_a_rollout_that_is_created_anew_mends_what_its_slots_have_lost_meanwhile(harm: Happening) -> None:
    """A slot's Service, changed while no Rollout kept it, was once taken for somebody else's for ever."""
    release = Happening("alice releases 2.0", Life.release, "2.0", Behaviour())
    delete, create = (
        Happening("alice deletes the Rollout", Life.delete),
        Happening("alice creates the Rollout anew", Life.create),
    )
    live(CANARIES[0], [(release, 100.0), (delete, 100.0), (harm, 100.0), (create, 100.0)])
