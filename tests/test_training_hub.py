"""Pushing a finished run's model to the hub, against a local server that speaks the hub's protocol."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import regression_stage

from whenwhere.errors import OutputError, SettingError
from whenwhere.training.recipe import load
from whenwhere.training.run import train

pytestmark = pytest.mark.torch

RECIPE = '[train]\nstage = "regression"\nmax_steps = 3\nlearning_rate = 0.1\n'


class Hub(ThreadingHTTPServer):
    """A hub with one account; keeps what it is sent.

    Attributes:
        asked: Path and body of each request.
        status: Status of each answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, bytes]] = []
        self.status = 200
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hub: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.asked.append((self.path, body))
        found: dict[str, Any] = {"url": f"{hub.address}/me/line", "error": "no write access"}
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            found = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if "/commit/" in self.path:
            found = {"success": True, "commitOid": "0" * 40, "commitUrl": f"{hub.address}/me/line/commit/{'0' * 40}"}
        text = json.dumps(found).encode()
        self.send_response(hub.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "line.toml"
    path.write_text(RECIPE)
    with regression_stage.registered():
        yield path


def test_a_finished_run_is_pushed(hub: Hub, recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", ["push_to_hub=me/line"], callbacks=[])
    (made,) = [json.loads(body) for path, body in hub.asked if path.endswith("/repos/create")]
    assert (made["name"], made["organization"]) == ("line", "me")
    assert made.get("private") or made.get("visibility") == "private"  # by the version of the client
    (body,) = [body for path, body in hub.asked if path.startswith("/api/models/me/line/commit/")]
    files = [json.loads(line) for line in body.splitlines()]
    assert [f["value"]["path"] for f in files if f["key"] == "file"] == ["line.json"]


def test_a_push_that_fails_loses_nothing(hub: Hub, recipe: Path, tmp_path: Path) -> None:
    """The run is finished; the same command pushes again, and trains nothing."""
    hub.status = 403
    with pytest.raises(OutputError, match=r"run.checkpoint is written, but was not pushed to me/line \(.*403"):
        train(recipe, tmp_path / "run", ["push_to_hub=me/line"], callbacks=[])
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "run" / "checkpoint" / "line.json").exists()
    hub.status = 200
    train(recipe, tmp_path / "run", ["push_to_hub=me/line"], callbacks=[])
    assert [path for path, _ in hub.asked if "/commit/" in path]
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_nothing_is_pushed_unless_asked(hub: Hub, recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", callbacks=[])
    assert not hub.asked and load(str(recipe)).hash == load(str(recipe), ["push_to_hub=me/line"]).hash
    with pytest.raises(SettingError, match="push_to_hub is 'line': name a repository of the hub, owner/name"):
        load(str(recipe), ["push_to_hub=line"])


def test_without_a_network(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OutputError, match="was not pushed to me/line") as error:
        train(recipe, tmp_path / "run", ["push_to_hub=me/line"], callbacks=[])
    assert "\n" not in str(error.value)
