"""Hides the connections: they can be cut by another thread, and go to no machine that they may not reach."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, cast
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from pipeline.http.answers import NeverError

TICK_S = 0.1  # how often it is asked whether a request under way is overdue or stopped
NAT64, LOCAL_NAT64 = IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")  # RFC 6052, RFC 8215
COMPATIBLE = IPv6Network("::/96")  # with an IPv4 address inside; RFC 4291 gave it up
PRIVATE = "set private_hosts = true for this source if that machine is meant"


@dataclass(eq=False)
class Wire:
    """The connections of one thread, so that another can cut them: http.client reads headers without an end."""

    private: bool  # may reach this machine and those of a private network
    cut: bool = False
    connected: Callable[[], None] = lambda: None  # told when a connection stands: what is asked is sent only now
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, connection: object) -> None:
        """Remember a connection that was just made."""
        if isinstance(connection, socket.socket):
            with self._lock:
                self._sockets.add(connection)

    def sever(self) -> None:
        """Let every read that waits return at once."""
        self.cut = True
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):  # closed already
                    # Not one.shutdown: that of TLS forgets its keys, while another thread still reads.
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


@dataclass(eq=False)
class Watch:
    """Severs the wires whose time is over, from one thread that lives only while there is something to watch."""

    _due: dict[Wire, Callable[[], bool]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _awake: bool = False

    @contextmanager
    def over(self, wire: Wire, due: Callable[[], bool]) -> Iterator[None]:
        """Sever *wire* as soon as *due* says so; it has `cut` set then."""
        wire.cut = False
        with self._lock:
            self._due[wire] = due
            if not self._awake:
                self._awake = True
                threading.Thread(target=self._run, name="watch", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._due[wire]

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            with self._lock:
                if not self._due:
                    self._awake = False
                    return
                for wire, due in self._due.items():
                    if due():
                        wire.sever()


class Session(requests.Session):
    """A session that looks at no redirect: it would read all of its body first, and trip over an odd address."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  as the base class has it
        """Give none."""
        return


class Adapter(HTTPAdapter):
    """Tells *wire* of every connection that is made."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        """Give the pool of a host, or of a proxy; its connections are ours."""
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*args, **kwargs))
        if not issubclass(pool.ConnectionCls, _Told):
            wire = self._wire
            pool.ConnectionCls = type("_Connection", (_Told, pool.ConnectionCls), {"wire": wire})
        return pool


class _Told(HTTPConnection):
    """Mixed into the class of connection that a pool would use, whichever it is."""

    wire: Wire

    def connect(self) -> None:
        """Connect, and say so."""
        super().connect()
        self.wire.add(self.sock)
        self.wire.connected()

    def _new_conn(self) -> socket.socket:
        """Look the host up once, refuse a private one before a packet is sent to it, and connect so that it can be cut.

        A proxy looks names up itself, and may well be near.
        """
        if self.proxy is not None or hasattr(self, "_socks_options"):
            return super()._new_conn()
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        if not self.wire.private:
            for *_, address in found:
                _refuse_private(self.host, str(address[0]))
        trouble = OSError("no address")
        for family, kind, protocol, _, address in found:
            one = socket.socket(family, kind, protocol)
            self.wire.add(one)
            try:
                one.settimeout(self.timeout)
                for option in self.socket_options or ():
                    one.setsockopt(*option)
                one.connect(address)
            except OSError as error:
                one.close()
                trouble = error
            else:
                return one
            if self.wire.cut:
                break
        raise NewConnectionError(self, str(trouble)) from trouble


def refuse_private_name(host: str) -> None:
    """Refuse what says by itself that it is a private address, whoever would look it up.

    Raises:
        NeverError: It does.
    """
    if host.lower().rstrip(".").endswith("localhost"):
        raise NeverError("is this very machine", advice=PRIVATE)
    with suppress(OSError):  # not like 127.1 or 0x7f000001, by which a resolver means 127.0.0.1
        _refuse_private(host, socket.inet_ntoa(socket.inet_aton(host.rstrip("."))))
    with suppress(ValueError):  # a name
        _refuse_private(host, str(ip_address(host)))


def _refuse_private(host: str, address: str) -> None:
    if not _is_public(address):
        raise NeverError(f"{host} is on a private network", advice=PRIVATE)


def _is_public(address: str) -> bool:
    one = ip_address(address.partition("%")[0])  # a link's own address names its interface
    if isinstance(one, IPv6Address):
        inner = _ipv4_in(one)
        return _is_public(str(inner)) if inner is not None else one.is_global and not _odd(one)
    return one.is_global and not one.is_multicast


def _ipv4_in(address: IPv6Address) -> IPv4Address | None:
    """Give the address that a gateway on the way makes of it, or the machine itself."""
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def _odd(address: IPv6Address) -> bool:
    """Whether it leads to no single machine of the world, which `is_global` of Python 3.11 does not tell."""
    return address.is_multicast or address.is_site_local or address in LOCAL_NAT64 or address in COMPATIBLE


def is_loopback(host: str) -> bool:
    """Say whether *host*, without a port, is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
