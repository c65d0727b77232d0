"""Where videos come from: every way in, and every way it can go wrong."""

import http.server
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whenwhere.errors import MediaError, SettingError
from whenwhere.video import open_video, probe, read_frames

sys.path.insert(0, str(Path(__file__).parent))
import clips


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return clips.write(tmp_path / "a film.mp4", n=40, gop=20).path


def test_a_file_is_itself(movie: Path) -> None:
    with open_video(movie) as source:
        assert (source.path, source.name, source.warnings) == (str(movie), "a film", ())
    assert movie.exists()


@pytest.mark.parametrize(
    ("ending", "count"), [(".jpg", 12), (".png", 11), (".bmp", 5), (".webp", 4), (".tif", 3), (".JPEG", 3)]
)
def test_a_folder_of_pictures(tmp_path: Path, ending: str, count: int) -> None:
    for k in range(count):
        Image.fromarray(clips.picture(k)).save(tmp_path / f"f{k}{ending}")
    (tmp_path / "notes.txt").write_text("not a picture")
    with open_video(tmp_path, fps=29.97) as source:
        assert source.name == tmp_path.name
        info = probe(source.path)
        frames = read_frames(info, info.times)
        # Numbers sort as numbers: f2 before f10.
        assert [clips.code(image) for image in frames.images] == list(range(count))
        assert info.times == pytest.approx(np.arange(count) * 1001 / 30_000)
        assert (info.width, info.height) == (160, 120)
        path = source.path
    assert not os.path.exists(path)
    assert not os.path.exists(os.path.dirname(path))


def test_a_folder_of_mixed_and_damaged_pictures(tmp_path: Path) -> None:
    for k in range(6):
        Image.fromarray(clips.picture(k)).save(tmp_path / f"{k}.{'png' if k % 2 else 'jpg'}")
    (tmp_path / "6.png").write_bytes(b"torn")
    with open_video(tmp_path, fps=10) as source:
        assert source.warnings == ("unreadable pictures were left out: 6.png",)
        info = probe(source.path)
        assert [clips.code(image) for image in read_frames(info, info.times).images] == list(range(6))


def test_folders_that_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="folder without pictures"):
        open_video(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match="none of the 1 pictures"):
        open_video(tmp_path)
    with pytest.raises(SettingError, match="pictures per second"):
        open_video(tmp_path, fps=0)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nothing.mp4", "does not exist"),
        ("rtsp://camera/1", "only http, https and file"),
        ("file:///nothing.mp4", "does not exist"),
        ("http://127.0.0.1:9/a.mp4", "cannot be downloaded"),
        ("http://", "cannot be downloaded"),
    ],
)
def test_what_cannot_be_opened(source: str, sentence: str) -> None:
    with pytest.raises(MediaError, match=sentence) as caught:
        open_video(source)
    assert "\n" not in str(caught.value)


def test_standard_input(movie: Path, tmp_path: Path) -> None:
    program = (
        "from whenwhere.video import open_video, probe\n"
        "with open_video('-') as s:\n    i = probe(s.path)\n    print(s.name, len(i.times))\n"
        "import os; print(os.path.exists(s.path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=movie.read_bytes(), capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode().split() == ["stdin", "40", "False"]


def test_standard_input_empty_or_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        def __init__(self, data: bytes) -> None:
            self.buffer = io.BytesIO(data)

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Pipe(b""))
    with pytest.raises(MediaError, match="empty"):
        open_video("-")
    monkeypatch.setattr(sys, "stdin", Pipe(b"x" * 5000))
    with pytest.raises(MediaError, match="larger than"):
        open_video("-", max_bytes=1000)


@pytest.fixture
def server(movie: Path) -> Iterator[str]:
    data = movie.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", "/film.mp4")
                self.end_headers()
            elif self.path.startswith("/film") or self.path.startswith("/slow"):
                self.send_response(200)
                self.send_header("Content-Type", "video/mp4")
                self.end_headers()
                if self.path.startswith("/slow"):
                    for k in range(50):
                        try:
                            self.wfile.write(data[k * 10 : k * 10 + 10])
                            self.wfile.flush()
                        except OSError:
                            return
                        threading.Event().wait(0.1)
                self.wfile.write(data)
            elif self.path.startswith("/page"):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(b"<html></html>")
            else:
                self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


@pytest.mark.parametrize("path", ["/film.mp4?token=1", "/moved/x.mp4"])
def test_an_address(server: str, path: str) -> None:
    with open_video(server + path) as source:
        assert source.name in ("film", "x")
        info = probe(source.path)
        assert clips.code(read_frames(info, [1.0]).images[0]) == 30
        local = source.path
    assert not os.path.exists(local)


@pytest.mark.parametrize(
    ("path", "sentence", "limits"),
    [
        ("/gone.mp4", "answers 404", {}),
        ("/page", "web page", {}),
        ("/film.mp4", "larger than", {"max_bytes": 2000}),
        ("/slow.mp4", "takes longer|cannot be downloaded", {"max_seconds": 0.5}),
    ],
)
def test_addresses_that_fail(server: str, path: str, sentence: str, limits: dict, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=sentence) as caught:
        open_video(server + path, **limits)
    assert "\n" not in str(caught.value)
