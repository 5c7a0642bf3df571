"""A signed audit on a real API server: whoever may write everything, but has no key, is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from e2e.support.app import App, Json
from e2e.support.manifests import canary, pause, weight
from e2e.support.world import World
from sluice.api.rollout import AuditEntry
from sluice.decide.audit import chain_hash
from unit.decide.signing import private_key, signing_key

ENTRIES = 42


Keys = tuple[Path, Path]


def make_keys(folder: Path, name: str) -> Keys:
    """A private key, and its public half, as openssl writes them."""
    key, files = private_key(name), (folder / f"{name}.pem", folder / f"{name}.pub.pem")
    files[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return files


def verify(world: World, app: App, *options: object) -> tuple[int, Json]:
    """The exit code, and what is told."""
    done = world.sluice("audit", "verify", app.name, "-n", app.namespace, "-o", "json", *map(str, options))
    told: Any = json.loads(done.out)
    return done.code, told


def tell(world: World, app: App, entries: int) -> None:
    """Pause and resume until there are so many entries."""
    for verb in ("pause", "resume") * entries:
        if app.status["audit"]["seq"] >= entries:
            return
        done = world.sluice(verb, app.name, "-n", app.namespace, "--reason", "for the audit")
        assert done.code == 0, done
    raise AssertionError(f"only {app.status['audit']['seq']} entries")


def write_anew(app: App, actor: str) -> None:
    """As a cluster's administrator: every entry told of somebody else, each hash and object made anew."""
    listed = app.hub.kubectl(
        *("-n", "sluice-system", "get", "auditsegments", "-l", f"sluice.dev/rollout-namespace={app.namespace}"),
        "-o",
        "json",
    )
    segments = sorted(json.loads(listed)["items"], key=lambda each: int(each["spec"]["first"]))
    audit, head = app.status["audit"], ""
    for part in (*(each["spec"] for each in segments), audit):
        for entry in part["entries"]:
            entry["actor"] = actor
            entry["hash"] = head = chain_hash(head, AuditEntry.model_validate(entry))
        part["head"] = head
    for each in segments:
        meta = each["metadata"]
        app.hub.kubectl("-n", "sluice-system", "delete", "auditsegment", meta["name"])
        body = {**each, "metadata": {key: meta[key] for key in ("name", "namespace", "labels")}}
        app.hub.kubectl("create", "-f", "-", input=json.dumps(body))
    app.kubectl(
        *("patch", "rollouts.sluice.dev", app.name, "--subresource=status", "--type=merge", "-p"),
        json.dumps({"status": {"audit": audit}}),
    )


def test_a_history_that_was_written_anew_is_found_by_the_key_alone(world: World, app: App, tmp_path: Path) -> None:
    """All is signed to the newest entry. Then all is rewritten, and what the operator goes on to tell hides nothing."""
    private, public = make_keys(tmp_path, "operator")
    app.deploy()
    with world.lone_operator() as operator:
        operator.arguments += ["--audit-key", str(private)]
        operator.start()
        app.manage(canary(weight(10), pause(), weight(50), pause()))
        app.release()
        app.wait_step(2, kind="pause")
        tell(world, app, ENTRIES)
        code, told = verify(world, app, "--key", public)
        assert (code, told["signedFrom"], told["signedTo"], told["findings"]) == (0, 1, told["last"], [])
        assert told["segments"] >= 2
        assert told["signedBy"] == [signing_key("operator").key_id]

        write_anew(app, "nobody")
        assert verify(world, app)[0] == 0, "the chain is whole in itself"
        code, told = verify(world, app, "--key", public)
        assert (code, told["signedTo"], told["whole"]) == (1, 0, False)
        assert {(each["seq"], each["fault"]) for each in told["findings"]} >= {(1, "Unsigned"), (8, "SignedWrong")}
        forged_to = told["last"]

        tell(world, app, forged_to + 33)  # so that none of it is in the status any more
        code, told = verify(world, app, "--key", public)
        assert code == 1
        unsigned = [each for each in told["findings"] if each["fault"] == "Unsigned"]
        assert [each["message"] for each in unsigned] == [f"entries 1 to {forged_to} are not signed"]
        assert told["anchoredTo"] > forged_to
        assert private.read_text().splitlines()[1] not in operator.log


def test_a_key_takes_over_from_another(world: World, app: App, tmp_path: Path) -> None:
    """As the guide has it, both halves in one file: the newer key alone then vouches for all that was told."""
    old, new = make_keys(tmp_path, "old"), make_keys(tmp_path, "new")
    file = tmp_path / "audit-key.pem"
    file.write_bytes(old[0].read_bytes() + new[1].read_bytes())
    app.deploy()
    with world.lone_operator() as operator:
        operator.arguments += ["--audit-key", str(file)]
        operator.start()
        app.manage(canary(weight(10), pause(), weight(50), pause()))
        app.release()
        app.wait_step(2, kind="pause")
        assert verify(world, app, "--key", old[1])[0] == 0
        assert verify(world, app, "--key", new[1])[0] == 1

        operator.stop()
        file.write_bytes(new[0].read_bytes() + old[1].read_bytes())
        operator.start()
        assert verify(world, app, "--key", old[1])[0] == 0, "nothing was told since"
        tell(world, app, app.status["audit"]["seq"] + 2)
        code, told = verify(world, app, "--key", new[1])
        assert (code, told["signedFrom"], told["signedTo"]) == (0, 1, told["last"]), told
        assert told["signedBy"] == [signing_key("new").key_id]
