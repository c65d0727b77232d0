"""The address of a model as a user types it: `https://host/v1#model-name`.

One rule keeps keys and pictures from travelling unencrypted through public networks: plain http is allowed only for
hosts without a public address (loopback, private networks, VPNs); every other host needs https. For an http-only server
elsewhere, open a tunnel (`ssh -L 8000:localhost:8000 host`) and name `http://localhost:8000/v1`. No option switches the
rule off.
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from whenwhere.errors import ChatError, SettingError


@dataclass(frozen=True)
class Address:
    """A server and the name of a model on it.

    Attributes:
        base: The address without a trailing slash and without `/chat/completions`, which requests add to it.
        model: The model's name on that server. An empty name means the only model that the server has.

    >>> Address.parse("http://localhost:8000/v1/#Qwen/Qwen3-VL-8B-Instruct")
    Address(base='http://localhost:8000/v1', model='Qwen/Qwen3-VL-8B-Instruct')
    """

    base: str
    model: str = ""

    @classmethod
    def parse(cls, name: str) -> "Address":
        """Read an address as it was typed.

        Raises:
            SettingError: it is not an http(s) address, or it carries a password or a query.
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
    def root(self) -> str:
        """The address without `/v1`: servers have addresses of their own beside those of the OpenAI protocol.

        >>> Address("http://localhost:8000/v1").root
        'http://localhost:8000'
        """
        return self.base.removesuffix("/v1")

    @property
    def host(self) -> str:
        """Host name or IP address of the server."""
        return urlsplit(self.base).hostname or ""

    @property
    def secure(self) -> bool:
        """Whether the server is spoken to over TLS."""
        return self.base.startswith("https:")

    def check(self) -> None:
        """Refuse plain http to a host with a public address.

        Raises:
            SettingError: the host has a public address.
            ChatError: the host's name cannot be resolved.
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


def is_public(ip: str) -> bool:
    """Whether an IP address belongs to the public internet.

    >>> [is_public(x) for x in ("127.0.0.1", "10.1.2.3", "100.64.0.1", "fe80::1", "8.8.8.8", "::ffff:8.8.8.8")]
    [False, False, False, False, True, True]
    """
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global
