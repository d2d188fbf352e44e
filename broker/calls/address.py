"""One address that several processes of one broker listen on, and nobody else."""

import socket

from broker.rpc.tls import CannotListen, ListenAddress


def reserve(listen: str) -> tuple[socket.socket, str]:
    """Take an address that several processes will listen on, without listening. Return it with its port's number.

    While the socket lives only processes of this user that ask to share it can have the port; where connections of an
    earlier broker linger, this is so once somebody listens. Raises: CannotListen: it is in use,
    also by processes that would share it.
    """
    address = ListenAddress.parse(listen)
    try:
        with _bound(address, shared=False):  # fails where anybody has it, also one who would share
            pass
        try:
            taken = _bound(address, shared=True)
        except OSError:  # connections that a broker without such processes has had may linger for a minute
            taken = _bound(address, shared=True, over_old=True)
    except OSError as error:
        raise CannotListen(
            f"{address.text} cannot be bound: it is in use or not an address of this machine "
            "(choose another one, or port 0 for any free port)"
        ) from error
    port = taken.getsockname()[1]
    return taken, ListenAddress(address.host, port).text


def _bound(address: ListenAddress, *, shared: bool, over_old: bool = False) -> socket.socket:
    """Bind. With SO_REUSEADDR anybody could have the port as well, as long as nobody listens there."""
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host or "::", address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if over_old or not shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(place)
    except BaseException:
        made.close()
        raise
    return made
