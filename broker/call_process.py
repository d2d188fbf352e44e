"""The program of one process that takes calls: `python -m broker.call_process FD`; a broker's keeper starts it.

The first line on the socket says what is to be done: as an argument, everybody could read the passwords in it.
"""

import json
import socket
import sys
from typing import Any

import structlog

from broker import bootstrap
from broker.calls.seat import Seat
from broker.config import Settings
from broker.die_with_parent import die_with_parent
from broker.errors import BrokerError
from broker.log_lines import LogStyle, open_log
from broker.rpc.tls import CannotListen
from broker.store.database import RoleUnusable


def main() -> None:
    """Take calls until the broker is gone, or says so."""
    die_with_parent()
    line = socket.socket(fileno=int(sys.argv[1]))
    charge = _first_line(line)
    process = int(charge["process"])
    open_log(LogStyle(charge["log_style"]), call_process=process)
    try:
        bootstrap.serve_calls(
            Settings.model_validate(charge["settings"]),
            bootstrap.Dsns(**charge["dsns"]),
            Seat(process, str(charge["listen"]), line),
        )
    except (BrokerError, CannotListen, RoleUnusable) as error:
        structlog.get_logger("broker").error("calls_not_taken", error=str(error))
        raise SystemExit(1) from None


def _first_line(line: socket.socket) -> dict[str, Any]:
    """Read one line and not a byte more: what follows is for the loop of events."""
    with line.makefile("rb", buffering=0) as file:
        found: dict[str, Any] = json.loads(file.readline())
    return found


if __name__ == "__main__":
    main()
