"""Only the broker's key makes a signature that holds, and it holds for exactly the statement that was signed."""

import os
import threading
from dataclasses import fields, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.policy import key_file
from broker.policy.keys import BadKey, SignedPolicy, Signer, TrustedKeys, key_id
from broker.policy.statement import PlacementPolicy, PolicyFault, PolicyRefused
from tests.policy.statements import statement, statements

OURS, THEIRS = Signer.generate(), Signer.generate()
TRUSTED = TrustedKeys.parse([OURS.public_key])


def fault_of(signed: SignedPolicy, trusted: TrustedKeys = TRUSTED) -> PolicyFault:
    with pytest.raises(PolicyRefused) as caught:
        trusted.verified(signed)
    assert str(caught.value).startswith(f"{caught.value.fault}: ")
    return caught.value.fault


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements)
def test_what_was_signed_is_verified(policy: PlacementPolicy) -> None:
    policy = replace(policy, key_id=OURS.key_id)

    assert TRUSTED.verified(OURS.sign(policy)) == policy


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy=statements, other=statements)
def test_a_change_of_any_field_is_noticed(policy: PlacementPolicy, other: PlacementPolicy) -> None:
    """Each field by itself takes another statement's value."""
    policy = replace(policy, key_id=OURS.key_id)
    other = replace(other, domestic_only=not policy.domestic_only)
    signed = OURS.sign(policy)
    for name in (f.name for f in fields(PlacementPolicy)):
        changed = replace(policy, **{name: getattr(other, name)})
        if changed != policy:
            expected = PolicyFault.KEY_UNKNOWN if name == "key_id" else PolicyFault.SIGNATURE_WRONG
            assert fault_of(SignedPolicy(changed.to_text(), signed.signature)) is expected


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_other_signature_will_do(signature: bytes) -> None:
    """Neither a shorter nor a longer one: the check must refuse, never break."""
    signed = OURS.sign(statement(key_id=OURS.key_id))

    assert fault_of(SignedPolicy(signed.statement, signature)) is PolicyFault.SIGNATURE_WRONG


def test_another_key_is_not_believed() -> None:
    """Also when it claims to be ours."""
    honest = THEIRS.sign(statement(key_id=THEIRS.key_id))
    claim = statement(key_id=OURS.key_id)
    theirs = THEIRS.sign(statement(key_id=THEIRS.key_id)).signature

    assert fault_of(honest) is PolicyFault.KEY_UNKNOWN
    assert fault_of(SignedPolicy(claim.to_text(), theirs)) is PolicyFault.SIGNATURE_WRONG
    with pytest.raises(ValueError, match="names key"):
        THEIRS.sign(claim)


def test_while_keys_change_both_are_believed() -> None:
    both = TrustedKeys.parse([OURS.public_key, THEIRS.public_key])

    for signer in (OURS, THEIRS):
        assert both.verified(signer.sign(statement(key_id=signer.key_id))).key_id == signer.key_id


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 44, "ed25519:" + "A" * 45, "é"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(BadKey, match="is no public key"):
        key_id(text)


def test_the_key_is_made_once_private_and_shared(tmp_path: Path) -> None:
    """Brokers of one home that start at once sign with one key."""
    found: list[Signer] = []
    starts = [threading.Thread(target=lambda: found.append(key_file.read_or_make(tmp_path))) for _ in range(8)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()

    assert len(found) == 8
    assert len({signer.key_id for signer in found}) == 1
    private = tmp_path / key_file.NAME
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.with_suffix(".pub").read_text() == found[0].public_key + "\n"
    assert {path.name for path in private.parent.iterdir()} == {private.name, private.with_suffix(".pub").name}


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(BadKey, match="cannot be read"):
        key_file.read(path)
    key_file.make(path)
    with pytest.raises(FileExistsError):
        key_file.make(path)
    os.chmod(path, 0o640)
    with pytest.raises(BadKey, match="chmod 600"):
        key_file.read(path)
    os.chmod(path, 0o600)
    path.write_bytes(b"nonsense")
    with pytest.raises(BadKey, match="must be an Ed25519 private key"):
        key_file.read(path)
    other = generate_private_key(SECP256R1())
    path.write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(BadKey, match="another kind"):
        key_file.read(path)
