"""One address for several processes of one broker, and for nobody else."""

import socket

import pytest

from broker.calls.address import reserve
from broker.rpc.tls import CannotListen, ListenAddress


def listening(port: int, *, shared: bool) -> socket.socket:
    made = socket.socket()
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


def test_any_free_port_becomes_one_that_processes_share() -> None:
    taken, listen = reserve("127.0.0.1:0")

    with taken, listening(ListenAddress.parse(listen).port, shared=True) as one:
        port = one.getsockname()[1]
        with listening(port, shared=True), socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises(OSError, match="in use"):
            listening(port, shared=False)


@pytest.mark.parametrize("shared", [False, True])
def test_an_address_where_somebody_listens_is_refused(shared: bool) -> None:
    """Also where they would share it: else a second broker took half of the first one's calls."""
    with listening(0, shared=shared) as there, pytest.raises(CannotListen, match="choose another one"):
        reserve(f"127.0.0.1:{there.getsockname()[1]}")


def test_two_brokers_that_start_at_once_do_not_get_one_address() -> None:
    """Before any of their processes listens."""
    taken, listen = reserve("127.0.0.1:0")

    with taken, pytest.raises(CannotListen, match="choose another one"):
        reserve(listen)


def test_an_ipv6_address_can_be_shared() -> None:
    taken, listen = reserve("[::1]:0")

    with taken:
        assert listen.startswith("[::1]:")
        assert ListenAddress.parse(listen).port == taken.getsockname()[1]
