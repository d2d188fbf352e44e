"""The right to lease: one broker has it at a time, and every commit of a round or beside one checks it."""

from dataclasses import dataclass


class NotLeader(Exception):
    """Another broker has taken over the rounds: this one's plan must not be committed."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The right to commit rounds, fenced by its epoch."""

    holder: str
    epoch: int
