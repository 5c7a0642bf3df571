"""What holds whatever the version holds there: the same tests, on the older server.

Not among them is what says whom the API server stamps, and what needs a controller manager.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from contract.conftest import MANIFESTS
from contract.crds.resources import SAMPLES, collection
from contract.crds.test_approvals import test_each_needs_its_verb, test_who_releases_does_not_approve
from contract.crds.test_auto_trip import (
    armed,
    operator,
    test_after_a_trip_a_release_takes_the_verb,
    test_nobody_but_the_operator_tells_what_tripped_it,
    test_secrets_are_not_borrowed,
    test_the_operator_engages_and_changes_nothing_else,
    test_the_operator_releases_nothing,
    tripped,
)
from contract.crds.test_borrowed_rights import (
    test_a_change_of_what_runs_takes_the_same,
    test_a_rollout_moves_only_routes_its_author_may_patch,
    test_a_rollout_switches_only_services_its_author_may_patch,
    test_a_secret_takes_the_right_to_read_it,
    test_a_stable_service_is_switched_only_for_who_may_patch_it,
    test_a_template_never_takes_the_place_of_services,
    test_a_templates_secret_takes_the_right_to_read_it,
    test_metadata_of_a_rollout_takes_no_such_rights,
    test_pods_are_run_only_for_who_may_run_them,
    test_scaling_takes_no_such_rights,
    test_taking_a_field_away_takes_the_same,
    theirs,
)
from contract.crds.test_identities import credentials, test_expired_credentials_change_nothing
from contract.crds.test_members import registrar, test_only_who_may_read_the_secret_names_it
from contract.crds.test_policies import (
    engaged,
    test_a_rollback_is_weakened_by_whoever_may_release,
    test_an_action_needs_its_verb,
    test_an_engaged_hold_does_not_expire_sooner,
    test_an_engaged_switch_is_not_deleted,
    test_an_engaged_switch_is_not_narrowed_or_weakened,
    test_an_engaged_switch_may_be_widened_and_strengthened,
    test_engaging_needs_only_patch,
    test_leaving_engaged_out_is_a_release,
    test_release_needs_a_reason,
    test_release_needs_the_verb,
    test_verbs_can_be_granted_by_rollout_and_one_by_one,
)
from contract.crds.test_refusals import test_refusals_are_on_record
from contract.crds.test_samples import test_a_valid_sample_is_accepted_with_the_models_defaults
from contract.crds.test_statuses import test_a_run_is_immutable, test_an_action_is_immutable
from testbed import Cluster, TestbedError

__all__ = [
    "armed",
    "credentials",
    "engaged",
    "operator",
    "registrar",
    "test_a_change_of_what_runs_takes_the_same",
    "test_a_rollback_is_weakened_by_whoever_may_release",
    "test_a_rollout_moves_only_routes_its_author_may_patch",
    "test_a_rollout_switches_only_services_its_author_may_patch",
    "test_a_run_is_immutable",
    "test_a_secret_takes_the_right_to_read_it",
    "test_a_stable_service_is_switched_only_for_who_may_patch_it",
    "test_a_template_never_takes_the_place_of_services",
    "test_a_templates_secret_takes_the_right_to_read_it",
    "test_a_valid_sample_is_accepted_with_the_models_defaults",
    "test_after_a_trip_a_release_takes_the_verb",
    "test_an_action_is_immutable",
    "test_an_action_needs_its_verb",
    "test_an_engaged_hold_does_not_expire_sooner",
    "test_an_engaged_switch_is_not_deleted",
    "test_an_engaged_switch_is_not_narrowed_or_weakened",
    "test_an_engaged_switch_may_be_widened_and_strengthened",
    "test_each_needs_its_verb",
    "test_engaging_needs_only_patch",
    "test_expired_credentials_change_nothing",
    "test_leaving_engaged_out_is_a_release",
    "test_metadata_of_a_rollout_takes_no_such_rights",
    "test_nobody_but_the_operator_tells_what_tripped_it",
    "test_only_who_may_read_the_secret_names_it",
    "test_pods_are_run_only_for_who_may_run_them",
    "test_refusals_are_on_record",
    "test_release_needs_a_reason",
    "test_release_needs_the_verb",
    "test_scaling_takes_no_such_rights",
    "test_secrets_are_not_borrowed",
    "test_taking_a_field_away_takes_the_same",
    "test_the_operator_engages_and_changes_nothing_else",
    "test_the_operator_releases_nothing",
    "test_verbs_can_be_granted_by_rollout_and_one_by_one",
    "test_who_releases_does_not_approve",
    "theirs",
    "tripped",
]

pytestmark = pytest.mark.cluster


def test_it_is_an_older_server(installed: Cluster) -> None:
    """It knows no policies that stamp, and refuses a manifest that has some; or nothing here would prove much."""
    served = installed.get("/apis/admissionregistration.k8s.io/v1")["resources"]
    assert {each["name"] for each in served} >= {"validatingadmissionpolicies", "validatingadmissionpolicybindings"}
    assert not [each["name"] for each in served if each["name"].startswith("mutatingadmission")]
    assert [each["version"] for each in installed.get("/apis/admissionregistration.k8s.io")["versions"]] == ["v1"]
    with pytest.raises(TestbedError, match='no matches for kind "MutatingAdmissionPolicy"'):
        installed.kubectl("apply", "--server-side", "--dry-run=server", "-k", str(MANIFESTS / "policies"))


def test_all_of_the_install_is_taken(installed: Cluster) -> None:
    """Applied again it changes nothing: there is no object or field that this version drops."""
    assert installed.kubectl("diff", "--server-side", "-k", str(MANIFESTS / "before-1.36")) == ""


def told_about(cluster: Cluster, body: dict[str, Any]) -> str:
    """What the API server says where somebody wants to create an object; "" where it takes it."""
    path = collection(body["kind"], body["metadata"].get("namespace", "default"))
    status, answer = cluster.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)
    return "" if status == 201 else str(answer["message"])


def test_invalid_samples_are_refused_with_their_sentences(installed: Cluster, shop: str) -> None:
    """The CRDs' rules mean the same in the CEL of that version."""
    assert shop
    wrong = {}
    for file in sorted((SAMPLES / "invalid").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        sentence = text.splitlines()[0].removeprefix("# refused: ")
        said = [told_about(installed, body) for body in yaml.safe_load_all(text)]
        if not any(sentence in each for each in said):
            wrong[file.stem] = said
    assert wrong == {}
