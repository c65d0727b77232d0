"""One connection that carries one request at a time, and never longer than it may.

A server that sends a byte now and then defeats every time-out between two bytes; so a timer shuts the socket when the
request's whole time is over. For that each line has a connection of its own, and a client has as many lines as it may
ask questions at once.

Redirects are not followed (the key and the pictures are for the host that the user typed). Answers larger than
`LARGEST` are cut off: no answer is, and memory is finite.
"""

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from whenwhere.chat.address import Address
from whenwhere.chat.key import Key
from whenwhere.chat.patience import Patience

if TYPE_CHECKING:
    import httpx2

#: Most bytes of one answer, unpacked.
LARGEST = 64 << 20
#: How the HTTP library says that the other side hung up; anything else that it calls a protocol error is one.
_BROKEN_OFF = re.compile(r"disconnected|closed|incomplete", re.IGNORECASE)


class Fault(Exception):
    """One request failed.

    Attributes:
        sentence: what happened, as the end of a sentence that begins with the address.
        again: a later try may do better.
        wait: seconds that the server asked for.
        line: it is the connection that failed, not the server's answer.
    """

    def __init__(self, sentence: str, again: bool = False, wait: float | None = None, line: bool = False) -> None:
        super().__init__(sentence)
        self.sentence, self.again, self.wait, self.line = sentence, again, wait, line


@dataclass
class Incoming:
    """An answer as it comes in.

    Attributes:
        status: of HTTP.
        headers: names in lower case.
        chunks: the body, unpacked.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks)


class Line:
    """A connection to one server, opened when it is first needed.

    Args:
        address: the server.
        key: sent in the header of every request.
        patience: its time-outs.
    """

    def __init__(self, address: Address, key: Key, patience: Patience) -> None:
        self.address, self._key, self.patience = address, key, patience
        self._socket: socket.socket | None = None

    @cached_property
    def _http(self) -> "httpx2.Client":
        import httpx2

        # At the last moment, so that what is stored can be had where the host's name is not known.
        self.address.check()
        log = logging.getLogger("httpcore2")
        if self._key and log.level < logging.INFO:
            # its debug log writes down what servers send in headers, and some repeat the key
            log.setLevel(logging.INFO)
        p = self.patience
        silence = min(p.read, p.total)
        try:
            return httpx2.Client(
                timeout=httpx2.Timeout(connect=p.connect, read=silence, write=silence, pool=None),
                limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
                follow_redirects=False,
                # loading certificates takes a while, and plain http has no use for them
                verify=self.address.secure,
                # A proxy from the environment is fine for TLS, which it cannot read; plain http goes there directly.
                trust_env=self.address.secure,
            )
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as e:
            detail = " ".join(str(e).split())[:200]
            raise Fault(f"cannot be asked: look at the proxy and certificates in the environment ({detail})") from None

    @contextmanager
    def request(self, method: str, path: str, body: bytes | None = None) -> Iterator[Incoming]:
        """Send a request; what goes wrong inside the block is a `Fault`."""
        import httpx2

        over = threading.Event()

        def end() -> None:
            over.set()
            self.cut()

        timer = threading.Timer(self.patience.total, end)
        timer.daemon = True
        timer.start()
        began = time.monotonic()
        try:
            request = self._http.build_request(
                method,
                self.address.base + path,
                content=body,
                headers={"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
                extensions={"trace": self._watch},
            )
            response = self._http.send(request, stream=True, auth=_Bearer(self._key))
            try:
                headers = {k.lower(): v for k, v in response.headers.items()}
                yield Incoming(response.status_code, headers, _limited(response.iter_bytes()))
                if over.is_set():
                    raise httpx2.ReadTimeout("")
            finally:
                with suppress(httpx2.HTTPError, OSError):
                    response.close()
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as e:
            raise self._fault(e, over.is_set(), time.monotonic() - began) from None
        finally:
            timer.cancel()

    def cut(self) -> None:
        """End what is under way, from any thread."""
        if (held := self._socket) is not None:
            with suppress(OSError):
                # not the method of a TLS socket, which would first unpack what it still holds
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if "_http" in self.__dict__:
            self._http.close()

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def _fault(self, e: Exception, over: bool, seconds: float) -> Fault:
        import httpx2

        p = self.patience
        if over:
            return Fault(f"did not finish its answer in {p.total:g} s: allow more time, or ask for less at once")
        if isinstance(e, httpx2.ConnectTimeout):
            return Fault(f"does not take the connection within {p.connect:g} s: is the server up?", True, line=True)
        if isinstance(e, httpx2.TimeoutException):
            return Fault(f"went silent for {min(p.read, p.total):g} s after {seconds:.1f} s: is the server stuck?")
        detail = " ".join(str(e).split())[:200] or type(e).__name__
        if isinstance(e, httpx2.ConnectError) and "SSL" in detail:
            return Fault(f"does not get a secure connection ({detail}): is its certificate right, does it speak https?")
        if isinstance(e, httpx2.ConnectError):
            return Fault(f"cannot be reached ({detail}): is the server up, is the address right?", True, line=True)
        if isinstance(e, httpx2.DecodingError):
            return Fault(f"packed its answer wrongly ({detail})")
        if isinstance(e, httpx2.RemoteProtocolError) and not _BROKEN_OFF.search(detail):
            return Fault(f"does not speak HTTP ({detail}): is this the address of a chat server?")
        if isinstance(e, (httpx2.NetworkError, httpx2.RemoteProtocolError, OSError)):
            return Fault(f"broke off the connection ({detail})", True, line=True)
        return Fault(f"cannot be asked ({detail}): check the address")


class _Bearer:
    """Puts the key into a request at the last moment; no object of the HTTP library keeps it."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def __call__(self, request: "httpx2.Request") -> "httpx2.Request":
        request.headers.update(self._key.header())
        return request


def _limited(chunks: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST:
            raise Fault(f"sends more than {LARGEST >> 20} MiB as one answer: this is not a chat server")
        yield chunk
