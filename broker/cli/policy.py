"""Commands about placement policies: check a signed one, make a key that signs them. Neither asks the broker."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import ExitCode, complain, usage
from broker.cli.options import AsJson, examples
from broker.cli.output import print_json, show, table
from broker.cli.settings import home_of

if TYPE_CHECKING:
    from broker.policy.keys import SignedPolicy, TrustedKeys

app = typer.Typer(
    name="policy",
    help="Placement policies: where a job may run, signed by the broker for every lease.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=examples(
        "xisuan job job-42 --json > job-42.json; xisuan policy verify job-42.json",
        "xisuan policy verify job-42.json --key ed25519:MCowBQYDK2VwAyEA...",
        "Exit codes: 0 it holds, 1 it does not, 2 wrong usage.",
    )
)
def verify(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `xisuan job JOB --json` printed; - is stdin.")],
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Public key to trust; may be repeated [keys/policy-signing.pub at home]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check offline that the broker signed a placement policy, and that the placement keeps it."""
    from broker.policy.statement import PolicyRefused

    signed = _signed(file, as_json=as_json)
    trusted = _trusted(home_of(ctx), key or [], as_json=as_json)
    try:
        policy = trusted.verified(signed)
        problem = policy.objection()
        if problem is not None:
            raise problem
    except PolicyRefused as error:
        complain(str(error), reason=error.fault, code="FAILED_PRECONDITION", as_json=as_json)
        raise typer.Exit(ExitCode.REFUSED) from None
    facts = json.loads(policy.to_text())
    if as_json:
        print_json({"verified": True, "policy": facts})
        return
    rows = [(name, ", ".join(v) or "every one" if isinstance(v, list) else str(v)) for name, v in facts.items()]
    show(table(["", ""], rows), "signed by a trusted key, and the placement keeps it")


@app.command(epilog=examples("xisuan policy keygen next.pem", "xisuan serve --set policy_key=next.pem"))
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the private key; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Make a private key that signs placement policies, and print its public key for agents' `policy_keys`.

    To change keys: add the public key to every agent, then give the private one to every broker, and when no lease that
    the old key signed waits to start, take the old public key out.
    """
    from broker.policy import key_file

    try:
        key_file.make(file)
    except OSError as error:
        usage(f"{file} cannot be made: {error.strerror}", as_json=as_json)
    signer = key_file.read(file)
    if as_json:
        print_json({"public_key": signer.public_key, "key_id": signer.key_id, "file": str(file)})
    else:
        show(signer.public_key)


def _signed(file: Path, *, as_json: bool) -> "SignedPolicy":
    import base64
    import sys

    from broker.policy.keys import SignedPolicy
    from broker.policy.statement import TEXT_CHARACTERS_MAX

    limit = 16 * TEXT_CHARACTERS_MAX  # the job around it has a command and an environment
    try:
        if str(file) == "-":
            text = sys.stdin.read(limit)
        else:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(limit)
        found: Any = json.loads(text)
        found = found.get("policy", found)
        return SignedPolicy(str(found["statement"]), base64.b64decode(found["signature"], validate=True))
    except OSError as error:
        usage(f"{file} cannot be read: {error.strerror}", as_json=as_json)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        usage(
            f"{file} holds no signed policy: give it what `xisuan job JOB --json` prints of a job that was placed",
            as_json=as_json,
        )


def _trusted(home: Path, keys: list[str], *, as_json: bool) -> "TrustedKeys":
    from broker.policy.key_file import NAME
    from broker.policy.keys import BadKey, TrustedKeys

    public = (home / NAME).with_suffix(".pub")
    try:
        return TrustedKeys.parse(keys or public.read_text(encoding="ascii").split())
    except BadKey as error:
        usage(f"--key: {error}", as_json=as_json)
    except (OSError, UnicodeDecodeError):
        usage(f"which key is trusted? Give --key; there is none in {public}", as_json=as_json)
