"""Stands in for a process that takes calls: it says that it is ready, answers pings, and ends with its line."""

import socket
import sys

from broker.calls.bus import PING, PONG, READY

if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as line, line.makefile("rb") as told:
        line.sendall(READY)
        for each in told:
            if each == PING:
                line.sendall(PONG)
