from __future__ import annotations

import os
import socket
from errno import EADDRINUSE

import pytest

from tests.ports import free_port


def test_a_free_port_is_kept_for_the_server_that_names_it() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match=os.strerror(EADDRINUSE)):
        other.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        pass
