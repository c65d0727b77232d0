"""Which server, which model: `https://host/v1#model-name`, as a user types it.

One rule keeps keys and pictures from travelling readable through other people's networks: plain http is for hosts none
of whose addresses is public (loopback, private networks, VPNs); everything else needs https. Whoever has an
http-only server elsewhere opens a tunnel (`ssh -L 8000:localhost:8000 host`) and names `http://localhost:8000/v1`.
There is no switch around it.
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from whenwhere.errors import ChatError, SettingError


@dataclass(frozen=True)
class Address:
    """Where a model answers.

    Attributes:
        base: the address without a trailing slash and without `/chat/completions`, which is added to it.
        model: its name there; empty = the only one that the server has.

    >>> Address.parse("http://localhost:8000/v1/#Qwen/Qwen3-VL-8B-Instruct")
    Address(base='http://localhost:8000/v1', model='Qwen/Qwen3-VL-8B-Instruct')
    """

    base: str
    model: str = ""

    @classmethod
    def parse(cls, name: str) -> "Address":
        """Read an address as typed.

        Raises:
            SettingError: not an http(s) address, or one that carries a password or a query.
        """
        shape = "http://host:8000/v1#model-name"
        try:
            parts = urlsplit(name.strip())
            host, _ = parts.hostname, parts.port
        except ValueError as e:
            raise SettingError(f"this is not an address of a model ({e}): write it as {shape}") from e
        if parts.username is not None or parts.password is not None:
            # not repeated in the message: it is a secret
            raise SettingError("the model's address carries a password: put the key into an environment variable")
        if parts.scheme not in ("http", "https") or not host:
            raise SettingError(f"{name!r} is not an address of a model: write it as {shape}")
        if parts.query:
            raise SettingError(f"the address of a model takes no question mark: write it as {shape}")
        path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
        return cls(f"{parts.scheme}://{parts.netloc}{path}", parts.fragment)

    @property
    def host(self) -> str:
        """Name or number of the machine."""
        return urlsplit(self.base).hostname or ""

    @property
    def secure(self) -> bool:
        """It is spoken to over TLS."""
        return self.base.startswith("https:")

    def check(self) -> None:
        """Refuse plain http to a public host (see the module).

        Raises:
            SettingError: the host is public.
            ChatError: its name is not known.
        """
        if self.secure:
            return
        try:
            found = {str(x[4][0]).split("%")[0] for x in socket.getaddrinfo(self.host, None, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError) as e:
            raise ChatError(f"{self.host} is not a name that the network knows: check the model's address") from e
        if any(is_public(number) for number in found):
            raise SettingError(
                f"{self.base} would send pictures and key unencrypted through a public network: use https, or a tunnel "
                f"(ssh -L 8000:localhost:8000 {self.host}) and http://localhost:8000"
            )


def is_public(number: str) -> bool:
    """Whether an IP address is reachable from everywhere.

    >>> [is_public(x) for x in ("127.0.0.1", "10.1.2.3", "100.64.0.1", "fe80::1", "8.8.8.8", "::ffff:8.8.8.8")]
    [False, False, False, False, True, True]
    """
    address = ipaddress.ip_address(number)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global
