"""`sluice audit`: the whole record, what is wrong with it and where, also after the Rollout is gone."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sluice.adapters.audit.keys import SigningKey
from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.common import ObjectRef
from sluice.api.names import ROLLOUT_LABEL, ROLLOUT_NAMESPACE_LABEL, ROLLOUT_UID_LABEL, Kind
from sluice.api.rollout import Audit
from sluice.decide.audit import Telling, append, entry_id, trimmed
from sluice.decide.exported import event_of
from sluice.decide.signatures import Statement
from sluice.errors import Forbidden
from sluice.sim.clock import START
from unit.decide.signing import private_key, signing_key

SYSTEM = "sluice-system"


def chain(count: int) -> Audit:
    """So many entries."""
    audit = Audit()
    for number in range(1, count + 1):
        told = Telling(entry_id("u", number, "", "step"), "Intended", f"step-{number}", "rita", "Why", f"no. {number}")
        audit = append(audit, told, START)
    return audit


def seal(shell: Any, audit: Audit, first: int, last: int, uid: str, *, key: SigningKey | None = None) -> None:
    """Store a segment of some entries."""
    owner = AuditedRollout(namespace="shop", name="checkout", uid=uid)
    spec = AuditSegmentSpec.of(owner, audit.entries[first - 1 : last])
    spec = spec.signed(key.sign(Statement(owner, 1, last, spec.head)) if key is not None else None)
    labels = {ROLLOUT_NAMESPACE_LABEL: "shop", ROLLOUT_LABEL: "checkout", ROLLOUT_UID_LABEL: uid}
    shell.add(
        Kind.AUDIT_SEGMENT,
        {"metadata": {"name": spec.name, "namespace": SYSTEM, "labels": labels}, "spec": spec.dump()},
    )


@pytest.fixture
def audited(shell: Any, rollout: Any) -> Any:
    """Checkout with 20 entries, 16 of them sealed."""
    shell.add(Kind.NAMESPACE, {"metadata": {"name": SYSTEM}})
    body = rollout()
    body["status"]["audit"] = trimmed(chain(20), 16).dump()
    uid = shell.add(Kind.ROLLOUT, body)["metadata"]["uid"]
    seal(shell, chain(20), 1, 8, uid)
    seal(shell, chain(20), 9, 16, uid)
    return shell


@pytest.fixture
def signed(shell: Any, rollout: Any) -> Any:
    """The same, all of it signed."""
    shell.add(Kind.NAMESPACE, {"metadata": {"name": SYSTEM}})
    uid = shell.add(Kind.ROLLOUT, rollout())["metadata"]["uid"]
    sign_tail(shell, chain(20), 16, uid)
    for first in (1, 9):
        seal(shell, chain(20), first, first + 7, uid, key=signing_key("operator"))
    return shell


def sign_tail(shell: Any, audit: Audit, sealed: int, uid: str) -> None:
    """Write a tail and the signature of its head into checkout's status."""
    owner = AuditedRollout(namespace="shop", name="checkout", uid=uid)
    signature = signing_key("operator").sign(Statement(owner, 1, audit.seq, audit.head))
    tamper(shell, trimmed(audit, sealed).model_copy(update={"signature": signature}))


def public(folder: Path, *names: str) -> str:
    """A file with public keys."""
    file = folder / f"{'-'.join(names)}.pem"
    pems = (
        private_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for name in names
    )
    file.write_bytes(b"".join(pems))
    return str(file)


def uid_of(shell: Any) -> str:
    """Checkout's."""
    found: str = shell.cluster.store.get(Kind.ROLLOUT, "shop", "checkout")["metadata"]["uid"]
    return found


def tamper(shell: Any, audit: Audit) -> None:
    """Write another audit into checkout's status."""
    body = {"status": {"audit": audit.dump()}}
    shell.cluster.store.merge(Kind.ROLLOUT, "shop", "checkout", body, subresource="status", manager="mallory")


def test_log_lists_what_was_sealed_too(audited: Any) -> None:
    """Oldest first, with what is sealed marked; or the newest only."""
    lines = audited("audit log checkout").stdout.splitlines()
    assert lines[0].split() == ["SEQ", "AT", "STAGE", "ACTION", "ACTOR", "REASON", "SEALED", "MESSAGE"]
    assert [line.split()[0] for line in lines[1:]] == [str(seq) for seq in range(1, 21)]
    assert [line.split()[6] for line in lines[16:18]] == ["yes", "-"]
    assert [line.split()[0] for line in audited("audit log checkout --last 2").stdout.splitlines()[1:]] == ["19", "20"]


def test_verify_tells_how_far_it_is_sealed(audited: Any) -> None:
    """Anchored, signed, and the tail that is neither."""
    result = audited("audit verify checkout")
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            f"Rollout shop/checkout ({uid_of(audited)}): 20 entries",
            "anchored to 16, in 2 segments",
            "signed to 0: there are no signatures",
            "unsigned tail 17 to 20, in the status",
            "nothing is wrong",
        ],
    )
    told = json.loads(audited("audit verify checkout -o json").stdout)
    assert (told["anchoredTo"], told["signedTo"], told["last"], told["whole"]) == (16, 0, 20, True)


def test_verify_locates_what_was_changed(audited: Any) -> None:
    """Which entry, where, and what is wrong with it; exit code 1."""
    tail = trimmed(chain(20), 16)
    changed = tail.entries[1].model_copy(update={"actor": "nobody"})
    tamper(audited, tail.model_copy(update={"entries": (tail.entries[0], changed, *tail.entries[2:])}))
    result = audited("audit verify checkout")
    assert result.exit_code == 1
    assert "wrong at 18 in status: Changed: entry 18 does not continue entry 17" in result.stdout
    assert "nothing is wrong" not in result.stdout
    told = json.loads(audited("audit verify checkout -o json").stdout)
    assert [(each["seq"], each["where"], each["fault"]) for each in told["findings"]] == [(18, "status", "Changed")]
    for line in ("audit log checkout", "audit export checkout"):
        reading = audited(line)
        assert reading.exit_code == 0
        assert reading.stderr == "the audit is not whole, 1 finding: sluice audit verify checkout -n shop\n"


def test_verify_tells_of_a_segment_that_was_deleted(audited: Any) -> None:
    """By the numbers that are missing."""
    audited.cluster.store.delete(
        Kind.AUDIT_SEGMENT, SYSTEM, f"{uid_of(audited)}-0000000001", uid=None, manager="mallory"
    )
    result = audited("audit verify checkout")
    assert (result.exit_code, "entries 1 to 8 are missing" in result.stdout) == (1, True)
    assert "anchored to 0, in 1 segment\n" in result.stdout


def test_export_prints_what_was_written(audited: Any) -> None:
    """A line of JSON for each entry, as it was hashed, and where it is."""
    lines = [json.loads(line) for line in audited("audit export checkout").stdout.splitlines()]
    assert [line["entry"] for line in lines] == [entry.dump() for entry in chain(20).entries]
    assert {line["rollout"]["uid"] for line in lines} == {uid_of(audited)}
    assert [line["place"] for line in lines[15:17]] == [f"{uid_of(audited)}-0000000009", "status"]


def test_a_rollout_that_is_gone(audited: Any) -> None:
    """Its segments are found by its name, or by its UID where there were several of that name."""
    uid = uid_of(audited)
    audited.cluster.store.delete(Kind.ROLLOUT, "shop", "checkout", uid=None, manager="alice")
    result = audited("audit verify checkout")
    assert (result.exit_code, "which is gone or elsewhere: 16 entries" in result.stdout) == (0, True)
    assert "no tail in the status" in result.stdout
    seal(audited, chain(3), 1, 3, "another")
    several = audited("audit verify checkout")
    assert (several.exit_code, "Say which, with --uid: " in several.stderr) == (1, True)
    assert "another" in several.stderr
    assert uid in several.stderr
    assert "anchored to 3" in audited("audit verify checkout --uid another").stdout
    assert audited("audit verify checkout --uid nobody").exit_code == 3


def test_a_rollout_that_never_was(audited: Any) -> None:
    """Not found, and where to look."""
    result = audited("audit log payments")
    assert (result.exit_code, "See what there is: sluice get rollouts -A" in result.stderr) == (3, True)


def test_who_may_not_read_segments_is_told(audited: Any) -> None:
    """Which right it takes, and where: no half of a record is taken for the whole."""

    def refuse(call: Any) -> None:
        if call.kind is Kind.AUDIT_SEGMENT:
            raise Forbidden("auditsegments is forbidden")

    audited.cluster.faults.append(refuse)
    result = audited("audit verify checkout")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "It takes list on auditsegments.sluice.dev in namespace sluice-system" in result.stderr


def events(shell: Any, audit: Audit) -> list[str]:
    """Lines of what a receiver got of checkout."""
    ref = ObjectRef(namespace="shop", name="checkout", uid=uid_of(shell))
    return [json.dumps(event_of(ref, "", entry)) for entry in audit.entries]


def test_a_copy_is_compared(audited: Any, tmp_path: Path) -> None:
    """Events and exports both, in any order, doubled, with gaps, with others' lines and half a line in between."""
    lines = events(audited, chain(20))
    other = lines[0].replace(uid_of(audited), "other-uid").replace("rita", "eve")
    (tmp_path / "copy.jsonl").write_text("\n".join([lines[2], *lines[:12], other, '{"specversion', lines[19], "", "7"]))
    result = audited(f"audit verify checkout --copy {tmp_path}/copy.jsonl")
    assert result.exit_code == 0, result.output
    assert "copied to 12: 13 of 20 are the same in the copy, 2 lines unreadable" in result.stdout
    (tmp_path / "export.jsonl").write_text(audited("audit export checkout").stdout)
    told = json.loads(audited(f"audit verify checkout -o json --copy {tmp_path}/export.jsonl").stdout)
    assert (told["copied"], told["copiedTo"], told["unreadable"], told["whole"]) == (20, 20, 0, True)


def test_a_history_that_was_written_anew_is_found_by_a_copy(audited: Any, tmp_path: Path) -> None:
    """It is whole in itself, and sealed to 16: only the copy from outside tells where it differs."""
    anew = chain(22)
    first = anew.entries[9].model_copy(update={"actor": "eve", "hash": "0" * 64})
    told = events(audited, Audit(seq=22, head=anew.head, entries=(*anew.entries[:9], first, *anew.entries[10:])))
    (tmp_path / "copy.jsonl").write_text("\n".join(told))
    assert audited("audit verify checkout").exit_code == 0
    result = audited(f"audit verify checkout --copy {tmp_path}/copy.jsonl")
    assert result.exit_code == 1
    assert "anchored to 9," in result.stdout
    assert "copied to 9: 19 of 20 are the same in the copy" in result.stdout
    assert "wrong at 10 in copy: Changed: entry 10 is told differently in the copy" in result.stdout
    assert "wrong at 21 in copy: Missing: entry 21 is in the copy, and not in the cluster" in result.stdout
    assert "nothing is wrong" not in result.stdout
    assert audited(f"audit verify checkout --copy {tmp_path}/none.jsonl").exit_code == 2


def test_verify_checks_signatures(signed: Any, tmp_path: Path) -> None:
    """To its last entry, by which key; without one it says that nobody looked."""
    key = signing_key("operator").key_id
    result = signed(f"audit verify checkout --key {public(tmp_path, 'operator')}")
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        0,
        [
            "anchored to 16, in 2 segments",
            f"signed to 20 by key {key[:16]}",
            "tail 17 to 20, in the status",
            "nothing is wrong",
        ],
    )
    told = json.loads(signed(f"audit verify checkout -o json --key {public(tmp_path, 'operator')}").stdout)
    assert (told["signaturesChecked"], told["signedFrom"], told["signedTo"], told["signedBy"]) == (True, 1, 20, [key])
    assert f"signed by key {key[:16]}, not checked: see --key" in signed("audit verify checkout").stdout
    told = json.loads(signed("audit verify checkout -o json").stdout)
    assert (told["signaturesChecked"], told["signedTo"], told["signedBy"]) == (False, 0, [key])


def test_verify_takes_several_keys(signed: Any, tmp_path: Path) -> None:
    """In one file or in several; those of which nobody said so count for nothing."""
    for keys in (
        public(tmp_path, "older", "operator"),
        f"{public(tmp_path, 'older')} --key {public(tmp_path, 'operator')}",
    ):
        assert signed(f"audit verify checkout --key {keys}").exit_code == 0
    result = signed(f"audit verify checkout --key {public(tmp_path, 'older')}")
    assert result.exit_code == 1
    name = signing_key("operator").key_id[:16]
    assert f"signed to 0 by the keys that were given; those by key {name} were not checked" in result.stdout
    assert f"wrong at 1 in {uid_of(signed)}-0000000001: Unsigned: entries 1 to 16 are not signed" in result.stdout
    assert "wrong at 17 in status: Unsigned: entries 17 to 20 are not signed" in result.stdout
    assert "unsigned tail 17 to 20, in the status" in result.stdout


def test_verify_tells_a_wrong_signature_of_a_known_key(signed: Any, tmp_path: Path) -> None:
    """Where it is, and of which key: it was looked at."""
    body = {"status": {"audit": {"signature": {"value": "A" * 86 + "=="}}}}
    signed.cluster.store.merge(Kind.ROLLOUT, "shop", "checkout", body, subresource="status", manager="mallory")
    key = signing_key("operator").key_id[:16]
    result = signed(f"audit verify checkout --key {public(tmp_path, 'operator')}")
    assert result.exit_code == 1
    assert f"signed to 16 by key {key}\n" in result.stdout
    assert (
        f"wrong at 20 in status: SignedWrong: its signature, by key {key}, is not of what stands there" in result.stdout
    )
    assert "wrong at 17 in status: Unsigned: entries 17 to 20 are not signed" in result.stdout


def test_verify_finds_a_history_that_was_written_anew(signed: Any, tmp_path: Path) -> None:
    """Whole in itself, without a signature: nothing else in the cluster tells."""
    anew = chain(20).model_copy(update={"signature": None})
    body = {"status": {"audit": {**trimmed(anew, 16).dump(), "signature": None}}}
    signed.cluster.store.merge(Kind.ROLLOUT, "shop", "checkout", body, subresource="status", manager="mallory")
    for first in (1, 9):
        name = f"{uid_of(signed)}-{first:010d}"
        signed.cluster.store.delete(Kind.AUDIT_SEGMENT, SYSTEM, name, uid=None, manager="mallory")
        seal(signed, anew, first, first + 7, uid_of(signed))
    assert signed("audit verify checkout").exit_code == 0
    assert "signed to 0: there are no signatures" in signed("audit verify checkout").stdout
    assert signed(f"audit verify checkout --key {public(tmp_path, 'operator')}").exit_code == 1


def test_verify_lets_pass_what_is_of_before_the_key(audited: Any, tmp_path: Path) -> None:
    """By the time at which there was one; that says nothing without a key."""
    key = public(tmp_path, "operator")
    assert audited(f"audit verify checkout --key {key}").exit_code == 1
    result = audited(f"audit verify checkout --key {key} --signed-since 2999-01-01")
    assert (result.exit_code, "signed to 0" in result.stdout, "unsigned tail 17 to 20" in result.stdout) == (
        0,
        True,
        True,
    )
    assert audited(f"audit verify checkout --key {key} --signed-since 1999-01-01").exit_code == 1
    refused = audited("audit verify checkout --signed-since 2999-01-01")
    assert (refused.exit_code, "give the operator's public key, too" in refused.stderr) == (2, True)


def test_verify_refuses_what_is_no_public_key(signed: Any, tmp_path: Path) -> None:
    """A private one above all; which file, and what to give in its place."""
    file = tmp_path / "private.pem"
    file.write_bytes(private_key("operator").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    refused = signed(f"audit verify checkout --key {file}")
    assert (refused.exit_code, "Give its public half: openssl pkey -in" in " ".join(refused.stderr.split())) == (
        2,
        True,
    )
    assert signed(f"audit verify checkout --key {tmp_path}/none.pem").exit_code == 2
