"""An HTTP connection that carries one request at a time and limits how long a request may take.

A server that sends a byte now and then never runs into a time-out between two bytes, so a timer shuts the socket when
the whole time of a request is over. This needs a connection for each request that is under way: a client has as many
connections as requests that it may send at a time.

Redirects are not followed, since the key and the pictures are for the host that the user typed. A response larger than
`LARGEST` is refused: no answer is as large, and memory is finite.
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
from whenwhere.chat.api_key import ApiKey
from whenwhere.chat.retry import RetryPolicy

if TYPE_CHECKING:
    import httpx2

#: Largest number of bytes in one response, unpacked, and in the body of an error, of which a sentence is shown.
LARGEST, LARGEST_ERROR = 32 << 20, 1 << 16
#: How the HTTP library says that the other side hung up. Its other protocol errors are real ones.
_BROKEN_OFF = re.compile(r"disconnected|closed|incomplete", re.IGNORECASE)


class RequestFailure(Exception):
    """One request failed.

    Attributes:
        sentence: What happened, as the rest of a sentence that begins with the address.
        again: Whether a later attempt may succeed.
        wait: Seconds that the server asked to wait before the next attempt; None if it did not ask.
        connection: Whether the connection failed and not the request.
    """

    def __init__(self, sentence: str, again: bool = False, wait: float | None = None, connection: bool = False) -> None:
        super().__init__(sentence)
        self.sentence, self.again, self.wait, self.connection = sentence, again, wait, connection


@dataclass
class IncomingResponse:
    """A response while it comes in.

    Attributes:
        status: The HTTP status.
        headers: The headers, with names in lower case.
        chunks: The body in pieces, unpacked.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)

    def beginning(self) -> bytes:
        """The first `LARGEST_ERROR` bytes of the body, which is not read any further."""
        data = b""
        for chunk in self.chunks:
            data += chunk
            if len(data) >= LARGEST_ERROR:
                break
        return data[:LARGEST_ERROR]


class Connection:
    """A connection to one server, opened when it is first needed.

    Args:
        address: The server.
        key: The key that is sent in the header of every request.
        retry: The time-outs.
    """

    def __init__(self, address: Address, key: ApiKey, retry: RetryPolicy) -> None:
        self.address, self._key, self.retry = address, key, retry
        self._socket: socket.socket | None = None

    @cached_property
    def _http(self) -> "httpx2.Client":
        import httpx2

        # At the last moment, so that stored answers can be read where the host's name cannot be resolved.
        self.address.check()
        log = logging.getLogger("httpcore2")
        if self._key and log.level < logging.INFO:
            # its debug log writes down what servers send in headers, and some repeat the key
            log.setLevel(logging.INFO)
        p = self.retry
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
            raise RequestFailure(
                f"cannot be asked: look at the proxy and certificates in the environment ({detail})"
            ) from None

    @contextmanager
    def request(self, method: str, url: str, body: bytes | None = None) -> Iterator[IncomingResponse]:
        """Send a request. Whatever goes wrong inside the block is raised as a `RequestFailure`."""
        import httpx2

        over = threading.Event()

        def end() -> None:
            over.set()
            self.cut()

        timer = threading.Timer(self.retry.total, end)
        timer.daemon = True
        timer.start()
        began = time.monotonic()
        try:
            request = self._http.build_request(
                method,
                url,
                content=body,
                headers={"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
                extensions={"trace": self._watch},
            )
            response = self._http.send(request, stream=True, auth=_Bearer(self._key))
            try:
                headers = {k.lower(): v for k, v in response.headers.items()}
                yield IncomingResponse(response.status_code, headers, _limited(response.iter_bytes()))
                if over.is_set():
                    raise httpx2.ReadTimeout("")
            finally:
                with suppress(httpx2.HTTPError, OSError):
                    response.close()
        except RequestFailure as e:
            if over.is_set():
                # A body without a declared length ends when the timer shuts the socket, and then looks cut off.
                raise self._fault(e, True, time.monotonic() - began) from None
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as e:
            raise self._fault(e, over.is_set(), time.monotonic() - began) from None
        finally:
            timer.cancel()

    def cut(self) -> None:
        """End the request that is under way; may be called from any thread."""
        if (held := self._socket) is not None:
            with suppress(OSError):
                # not the method of a TLS socket, which would first decrypt what it still holds
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if "_http" in self.__dict__:
            self._http.close()

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def _fault(self, e: Exception, over: bool, seconds: float) -> RequestFailure:
        import httpx2

        p = self.retry
        if over:
            return RequestFailure(
                f"did not finish its answer in {p.total:g} s: allow more time, or ask for less at once"
            )
        if isinstance(e, httpx2.ConnectTimeout):
            return RequestFailure(
                f"does not take the connection within {p.connect:g} s: is the server up?", True, connection=True
            )
        if isinstance(e, httpx2.TimeoutException):
            return RequestFailure(
                f"went silent for {min(p.read, p.total):g} s after {seconds:.1f} s: is the server stuck?"
            )
        detail = " ".join(str(e).split())[:200] or type(e).__name__
        if isinstance(e, httpx2.ConnectError) and "SSL" in detail:
            return RequestFailure(
                f"does not get a secure connection ({detail}): is its certificate right, does it speak https?"
            )
        if isinstance(e, httpx2.ConnectError):
            return RequestFailure(
                f"cannot be reached ({detail}): is the server up, is the address right?", True, connection=True
            )
        if isinstance(e, httpx2.DecodingError):
            return RequestFailure(f"packed its answer wrongly ({detail})")
        if isinstance(e, httpx2.RemoteProtocolError) and not _BROKEN_OFF.search(detail):
            return RequestFailure(f"does not speak HTTP ({detail}): is this the address of a chat server?")
        if isinstance(e, (httpx2.NetworkError, httpx2.RemoteProtocolError, OSError)):
            return RequestFailure(f"broke off the connection ({detail})", True, connection=True)
        return RequestFailure(f"cannot be asked ({detail}): check the address")


class _Bearer:
    """Puts the key into a request at the last moment, so that no object of the HTTP library keeps it."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def __call__(self, request: "httpx2.Request") -> "httpx2.Request":
        request.headers.update(self._key.header())
        return request


def _limited(chunks: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST:
            raise RequestFailure(f"sends more than {LARGEST >> 20} MiB as one answer: this is not a chat server")
        yield chunk
