"""Python processes for tests that start in milliseconds: each is forked from one that has imported the whole package.

A command of `whenwhere` spends a second or more on imports, and one that needs torch several, which hundreds of tests
would pay again and again. A forked process is otherwise one of its own: it has its own streams, working folder,
environment and exit status, and it can be killed. Imports themselves, closed streams and the encoding of streams are
tested in processes that are not forked.

`Forker` is the side of the tests; run as a script, this file is the process from which the others are forked.
"""

import atexit
import gc
import importlib.util
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

#: What functions of the package import when they are called.
USUAL = (
    "cv2", "scipy.interpolate", "scipy.ndimage", "scipy.optimize", "scipy.special", "rich.progress", "rich.table",
    "matplotlib.figure", "matplotlib.backends.backend_svg",
)  # fmt: skip
#: What a local model and a training run import; LoRA needs peft too.
TORCH = ("torch", "transformers", "accelerate", "safetensors.torch")
LONGEST_REQUEST = 1 << 20


class Child:
    """A forked process, whose output is kept in files."""

    def __init__(self, forker: "Forker", pid: int, arguments: Sequence[str], out: IO[bytes], err: IO[bytes]) -> None:
        self.forker, self.pid, self.arguments, self.streams = forker, pid, list(arguments), (out, err)

    def wait(self, timeout: float = 240) -> "subprocess.CompletedProcess[bytes]":
        """Wait for its end; after `timeout` seconds it is killed."""
        try:
            status = self.forker.status_of(self.pid, timeout)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            self.forker.status_of(self.pid, 10)
            raise subprocess.TimeoutExpired(self.arguments, timeout, *self._said()) from None
        return subprocess.CompletedProcess(self.arguments, os.waitstatus_to_exitcode(status), *self._said())

    @property
    def errors(self) -> str:
        """What it has written to stderr so far."""
        return os.pread(self.streams[1].fileno(), 1 << 20, 0).decode(errors="replace")

    def _said(self) -> list[bytes]:
        said = []
        for stream in self.streams:
            stream.seek(0)
            said.append(stream.read())
            stream.close()
        return said


class Forker:
    """Starts processes by forking; the first one starts the process from which they are forked."""

    def __init__(self) -> None:
        self.server: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None
        self.ended: dict[int, int] = {}

    def run(self, arguments: Sequence[str], timeout: float = 120, **how: Any) -> "subprocess.CompletedProcess[bytes]":
        """Start a process (see `start`) and wait for its end."""
        return self.start(arguments, **how).wait(timeout)

    def run_together(self, arguments: Sequence[str], count: int, **how: Any) -> None:
        """Run a script in processes that train together, as `accelerate launch` starts them; all must succeed."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ranks = [
            {name: str(value) for name, value in {**common, "RANK": r, "LOCAL_RANK": r}.items()} for r in range(count)
        ]
        children = [self.start(arguments, env=os.environ | rank, **how) for rank in ranks]
        for child in children:
            done = child.wait()
            assert done.returncode == 0, done.stderr.decode()

    def start(
        self,
        arguments: Sequence[str],
        *,
        imports: Iterable[str] = (),
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
    ) -> Child:
        """Start `python ARGUMENTS...`.

        Args:
            arguments: A script and its arguments, or "-m", a module and its arguments.
            imports: Modules that are imported before the process is forked, and so are there for all later ones.
            cwd: The process's working folder.
            env: Its whole environment.
            stdin: An open file, or `subprocess.DEVNULL`.
        """
        if self.server is None:
            self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for end in (self.control, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
            self.server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            theirs.close()
        assert self.control is not None
        request = {
            "arguments": list(arguments), "imports": list(imports), "cwd": os.fspath(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
        }  # fmt: skip
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        source = open(os.devnull, "rb") if stdin == subprocess.DEVNULL else stdin  # noqa: SIM115
        assert not isinstance(source, int)
        socket.send_fds(self.control, [json.dumps(request).encode()], [f.fileno() for f in (source, out, err)])
        if source is not stdin:
            source.close()
        while "started" not in (told := self._told(300)):
            self.ended[told["ended"]] = told["status"]
        return Child(self, told["started"], arguments, out, err)

    def status_of(self, pid: int, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while pid not in self.ended:
            told = self._told(deadline - time.monotonic())
            self.ended[told["ended"]] = told["status"]
        return self.ended.pop(pid)

    def close(self) -> None:
        if self.server is not None and self.control is not None:
            self.control.close()
            self.server.wait(30)

    def _told(self, seconds: float) -> dict[str, int]:
        assert self.control is not None
        if not select.select([self.control], [], [], max(0, seconds))[0]:
            raise TimeoutError
        message = self.control.recv(4096)
        assert message, "the process that forks others has ended"
        told: dict[str, int] = json.loads(message)
        return told


# the process from which the others are forked


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each request. Returns its request in the forked one, None when the tests have ended."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            for pid in [pid for pid in running if (ended := os.waitpid(pid, os.WNOHANG))[0]]:
                running.discard(pid)
                control.send(json.dumps({"ended": pid, "status": ended[1]}).encode())
        if control in ready:
            message, files, _, _ = socket.recv_fds(control, LONGEST_REQUEST, 3)
            if not message:
                return None
            request: dict[str, Any] = json.loads(message)
            import_all(request["imports"])
            # A forked process that collects garbage, at its end too, need not look at what it inherited.
            gc.freeze()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for number, file in enumerate(files):
                    os.dup2(file, number)
                for end in (control, woken, wake):
                    end.close()
                for file in files:
                    os.close(file)
                return request
            for file in files:
                os.close(file)
            running.add(pid)
            control.send(json.dumps({"started": pid}).encode())


def become(request: dict[str, Any]) -> None:
    """Run what was asked as if this process had been started for it."""
    # A shell's background job has Ctrl-C switched off, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    tempfile.tempdir = None
    first, *rest = request["arguments"]
    if first == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(first).parent)
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def import_all(names: Iterable[str]) -> None:
    """Import these modules as far as their packages are installed."""
    for name in names:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)


def import_package() -> None:
    import whenwhere

    for module in pkgutil.walk_packages(whenwhere.__path__, "whenwhere."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    import_all(USUAL)


def leave(status: int) -> None:
    """End as an interpreter does, but without taking apart all that was inherited, which takes a tenth of a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    import_package()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        try:
            become(asked)
        except SystemExit as e:
            # Anything else than a number is left to the interpreter, and so are other exceptions.
            if not isinstance(e.code, int | None):
                raise
            leave(e.code or 0)
        leave(0)
