"""The page of settings: what can be set for `serve`, for an agent, and for every command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from broker.agent.config import AgentConfig, PoolConfig
from broker.config import Settings
from broker.reference import markdown as md

HOME: Final = "`$XISUAN_HOME`, else `~/.local/share/xisuan`"
ENVIRONMENT: Final[Mapping[str, str]] = {
    "XISUAN_HOME": "Folder for data, keys and profile; else `~/.local/share/xisuan`. Option `--home`.",
    "XISUAN_ENDPOINT": "Where the broker listens, `host:port`; else the profile's. Option `--endpoint`.",
    "XISUAN_API_KEY": "API key; else a key file of the profile, chosen by city. Option `--api-key`.",
    "XISUAN_CITY": "Whose key file to take from the profile. Option `--city`.",
    "XISUAN_TLS_CA": "Certificates to trust (PEM); else the profile's, else the system's. Option `--tls-ca`.",
    "XISUAN_DSN": "PostgreSQL of `serve`, `migrate`, `admin audit`, or `@FILE`; else the embedded one. Option `--dsn`.",
    "XISUAN_BACKUP_DSN": "PostgreSQL of `backup`, as a login that sees every row, or `@FILE`. Option `--dsn`.",
}
"""Variables that clients and commands read (a test compares with the code)."""

INTRODUCTION: Final = """\
Settings of `xisuan serve` are options (`--listen`) or, for all of them, `--set NAME=VALUE`; `xisuan serve --settings`
prints them. A wrong name or value is refused before anything starts, with the field's name and the way out."""


def page() -> str:
    """Return the page."""
    lines = md.generated("Settings", "`broker/config.py` and `broker/agent/config.py`", INTRODUCTION)
    lines += ["## xisuan serve", "", *_table(Settings)]
    lines += [
        "`report_interval_seconds` < `suspect_after_seconds` < `lost_after_seconds`, and `kill_after_seconds` leaves",
        "room before `lost_after_seconds`: an agent must have killed a job before the broker may start it again.",
        "",
    ]
    lines += ["## An agent's configuration file", ""]
    lines += [
        "`xisuan cluster attach` writes it. Paths are relative to the file.",
        "",
        *_table(AgentConfig),
        "Each entry of `pools`:",
        "",
        *_table(PoolConfig),
    ]
    lines += ["## Environment", "", "Options come first, then these, then the profile that `serve` wrote.", ""]
    lines += md.table(["variable", "meaning"], [(md.code(name), meaning) for name, meaning in ENVIRONMENT.items()])
    return md.text(lines)


def _table(model: type[BaseModel]) -> list[str]:
    columns = ["setting", "default", "range", "unit", "meaning"]
    return md.table(columns, [_row(name, field) for name, field in model.model_fields.items()])


def _row(name: str, field: FieldInfo) -> tuple[str, ...]:
    if not field.description:
        raise ValueError(f"setting {name} has no description")
    return md.code(name), _default(name, field), md.range_of(field), md.unit_of(name), md.prose(field.description)


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if name == "home":
        return HOME
    value = field.get_default(call_default_factory=True)
    if value in (None, "", PydanticUndefined):
        return "none"
    return md.code(value.as_posix() if isinstance(value, Path) else value)
