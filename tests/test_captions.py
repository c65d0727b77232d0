"""Captions of clips at several scales: end to end on clips of shapes, with functions that know the truth.

The captioners here are functions of the frames' times and the clips' plans; the summariser is a local server that
speaks the real protocol. Checkpoints of the real classes are in `test_captioners.py`.
"""

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import caption_oracles as oracles
from chat_server import ChatServer, Fault, Request, Said
from commands import run
from forked import Forker

from whenwhere.chat import Budget, Client, RetryPolicy
from whenwhere.curate import captioning
from whenwhere.curate.captioning import CaptionReport, caption_videos, estimate, open_models
from whenwhere.curate.captions import FRAMES, MADE, CaptionJob, ChatSummariser, caption_clip, clean_summary
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.engine import open_engine
from whenwhere.errors import ModelError, OutputError, RecordError, SettingError
from whenwhere.models.backends.base import BackendOptions
from whenwhere.spans import Span
from whenwhere.store import Cache, DiskFullError, sole_run
from whenwhere.training.pretrain.data import PretrainDataSettings, open_clips
from whenwhere.training.tables import checked

COARSE, FINE = "caption_oracles:coarse", "caption_oracles:tags"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of shapes, and their tracks."""
    folder = tmp_path_factory.mktemp("videos")
    oracles.write_clips(folder, 3)
    return folder


def fuse(request: Request) -> str:
    """Says what the frames said, in a chatty way."""
    lines = [line.split(": ", 1)[1] for line in request.text().splitlines() if line.startswith("The ")]
    return f'Here is the caption: "{" and ".join(lines)[:90]}"'


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(fuse) as one:
        yield one


def job(**changes: object) -> CaptionJob:
    return CaptionJob(**({"coarse": COARSE, "fine": FINE, "shots": "whole", "fps": 2.0} | changes))  # type: ignore[arg-type]


def caption(videos: Path, out: Path, chosen: CaptionJob, server: ChatServer | None = None, **more: object
            ) -> CaptionReport:  # fmt: skip
    cache = Cache(out.parent / "cache")
    models = open_models(replace(chosen, fused=""), BackendOptions(cache), more.pop("tracks", None))  # type: ignore[arg-type]
    if server is None:
        return caption_videos([videos], out, models, chosen, cache=cache, **more)  # type: ignore[arg-type]
    retry = RetryPolicy(retries=0)
    with Client(f"{server.url}#test-model", cache=cache, retry=retry, budget=more.pop("budget", None)) as client:  # type: ignore[arg-type]
        models.summariser = ChatSummariser(client, 2)
        return caption_videos([videos], out, models, chosen, cache=cache, **more)  # type: ignore[arg-type]


def lines(out: Path) -> list[str]:
    return sorted(out.read_text().splitlines())


def test_every_scale_is_kept_for_the_same_clip(videos: Path, server: ChatServer, tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    report = caption(videos, out, job(fused="x"), server, clips=tmp_path / "clips", tracks=videos / "tracks.jsonl")
    items = list(manifest.read(out))
    assert (report.videos, report.clips, report.written, report.faults) == (3, 3, 3, [])
    for item in items:
        assert (tmp_path / item.video).is_file() and (tmp_path / item.extra["cut"]).is_file()
        assert item.extra["caption_coarse"] == oracles.coarse_text(Path(item.video).stem)
        assert len(item.extra[FRAMES]) == round(2 * item.duration) and item.extra["caption_fine"]
        assert item.extra["caption_fused"] == item.query and '"' not in item.query and "Here is" not in item.query
        assert item.extra["clip"]["copied"] and item.spans.tolist() == [[0.0, item.duration]]
        # the oracle sees what is there; what it does not see is too small a part of a frame
        assert item.extra["claims"]["fine"]["objects"]["precision"] == 1.0
    assert report.claims["fine"]["objects"]["recall"] > 0.8
    again = caption(videos, out, job(fused="x"), server, clips=tmp_path / "clips")
    assert again.resumed == 3 and again.written == 3 and len(server.requests) == 3
    with pytest.raises(SettingError, match="made otherwise"):
        caption(videos, out, job(fused="x", fps=1.0), server)


def test_a_run_that_is_cut_off_goes_on(videos: Path, server: ChatServer, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    caption(videos, whole, job(fused="x"), server)
    text = whole.read_bytes()
    part.write_bytes(text[: len(text) // 2])  # as kill -9 leaves it: a torn line
    report = caption(videos, part, job(fused="x"), server)
    assert report.written == 3 and report.resumed == 1
    read = [json.loads(line) for line in part.read_text().splitlines() if line.endswith("}") and line.startswith("{")]
    good = {line["id"]: line for line in read}
    assert good == {line["id"]: line for line in map(json.loads, lines(whole))}


def test_a_killed_run_goes_on(videos: Path, tmp_path: Path, forker: Forker) -> None:
    options = ["--coarse", COARSE, "--fine", FINE, "--shots", "whole", "--fps", "2", "--cache", str(tmp_path / "cache")]
    call = [oracles.__file__, "data", "caption", str(videos), *options, "--out", str(tmp_path / "out.jsonl")]
    killed = forker.run(call, env=os.environ | {"CAPTION_KILL": "shapes-2"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    report = caption(videos, tmp_path / "out.jsonl", job())
    caption(videos, tmp_path / "whole.jsonl", job())
    assert report.written == 3 and lines(tmp_path / "out.jsonl") == lines(tmp_path / "whole.jsonl")


def test_workers_write_what_threads_write(videos: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone.jsonl", tmp_path / "together.jsonl"
    cut = tmp_path / "clips"
    caption(videos, alone, job(), clips=cut)
    together.write_text(f"{lines(alone)[0]}\n")
    make = partial(open_models, job(), BackendOptions(Cache(enabled=False)))
    with open_engine("local", 2) as engine:
        report = caption(videos, together, job(), clips=cut, engine=engine, make=make)
    assert report.resumed == 1 and report.clips == 3 and lines(alone) == lines(together)


def test_a_bad_video_stops_nothing(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(videos, folder)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "empty.mp4").write_bytes(b"")
    os.symlink(tmp_path / "nowhere", folder / "dangling.mp4")
    report = caption(folder, tmp_path / "out.jsonl", job(shots="content"))
    assert report.written == 3 and len(report.faults) == 2
    assert report.faults[0].startswith("broken: ") and report.faults[1].startswith("empty: ")


def test_unusable_summaries_are_empty_with_a_reason(videos: Path, tmp_path: Path) -> None:
    said = iter([Said(None, refusal="I cannot."), Said("cut off in the mid", finish="length"), "Красный круг идет"])
    with ChatServer(lambda request: next(said)) as server:
        report = caption(videos, tmp_path / "out.jsonl", job(fused="x"), server)
    assert report.written == 3 and report.faults == []
    assert dict(report.empty) == {"fused: declined": 1, "fused: cut off": 1, "fused: in another script": 1}


def test_an_endpoint_that_dies_loses_nothing(videos: Path, server: ChatServer, tmp_path: Path) -> None:
    server.faults.extend([Fault("status", status=500)] * 2)
    out = tmp_path / "out.jsonl"
    first = caption(videos, out, job(fused="x"), server)
    assert first.written == 1 and len(first.faults) == 2
    assert caption(videos, out, job(fused="x"), server).written == 3


def test_a_spent_budget_is_said(videos: Path, server: ChatServer, tmp_path: Path) -> None:
    report = caption(videos, tmp_path / "out.jsonl", job(fused="x"), server, budget=Budget(tokens=10))
    assert report.written == 0 and "allow more tokens" in report.faults[0] and not server.requests
    assert not (tmp_path / "out.jsonl").exists()


def test_ids_that_differ_in_odd_characters_have_files_of_their_own(videos: Path, tmp_path: Path) -> None:
    models = open_models(job(fine=""), BackendOptions(Cache(enabled=False)))
    files = set()
    for name in ("a/b", "a__b", "a b", "é" * 300):
        item = caption_clip(Item(name, "shapes-0.mp4"), videos, models, job(fine=""), clips=tmp_path)
        files.add(item.extra["clip"]["file"])
    assert len(files) == 4 == len(list(tmp_path.iterdir()))


def test_captions_have_no_characters_that_cannot_be_seen(videos: Path) -> None:
    models = open_models(job(fine=""), BackendOptions(Cache(enabled=False)))
    models.summariser = oracles.Said(lambda: "a\x00 red\u202e\n circle \ud800")
    assert caption_clip(Item("a", "shapes-0.mp4"), videos, models, job()).extra["caption_fused"] == "a red circle"


def test_the_estimate_asks_nothing(videos: Path, server: ChatServer, tmp_path: Path) -> None:
    chosen = job(fused=f"{server.url}#test-model", coarse=f"{server.url}#test-model")
    models = open_models(chosen, BackendOptions(Cache(tmp_path)))
    plan = estimate([videos], tmp_path / "out.jsonl", models, chosen)
    assert plan["steps"]["coarse"]["calls"] == plan["steps"]["fused"]["calls"] == 3
    assert plan["steps"]["coarse"]["prompt_tokens"] > 100 and plan["steps"]["fine"]["prompt_tokens"] == 0
    assert not server.requests


def test_two_runs_cannot_write_one_file(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with sole_run(out), ThreadPoolExecutor(1) as other, pytest.raises(OutputError, match="another run"):
        other.submit(caption, videos, out, job()).result()
    assert not out.exists()
    assert caption(videos, out, job()).written == 3


def test_a_full_disk_ends_the_run_with_a_sentence(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, line: str) -> None:
        raise DiskFullError(f"cannot write {path}: No space left on device; make room there")

    monkeypatch.setattr(captioning, "append_line", full)
    with pytest.raises(DiskFullError, match="No space left"):
        caption(videos, tmp_path / "out.jsonl", job())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coarse": "", "fine": ""}, "no captioner"),
        ({"fps": 0.0}, "frames per second"),
        ({"frames": 0}, "number of frames"),
        ({"words": 1}, "number of words"),
        ({"longest": 1.0, "shortest": 2.0}, "longest clips"),
        ({"longest": float("inf")}, "longest clip"),
        ({"fps": float("nan")}, "frames per second"),
        ({"shots": "contnet"}, "did you mean content"),
        ({"shots": "no_module_here:cuts"}, "cannot be imported"),
        ({"vocabulary": ("dog",)}, "name a detector"),
        ({"coarse": "caption_oracles:nothing_here"}, "cannot be imported"),
        ({"coarse": "./no-such-folder"}, "no folder"),
        ({"aesthetics": "caption_oracles"}, "module:function"),
        ({"shots": "items"}, "shots = items takes the clips of a manifest"),
    ],
)
def test_settings_that_make_no_sense(videos: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        caption(videos, tmp_path / "out.jsonl", job(**changes))
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crash", "failed with ZeroDivisionError"),
        ("too_few", "returned 1 texts for"),
        ("no_list", "returned no list"),
        ("numbers", "return a text, or a list of tags"),
    ],
)
def test_functions_that_misbehave(videos: Path, tmp_path: Path, name: str, message: str) -> None:
    report = caption(videos, tmp_path / "out.jsonl", job(fine=f"caption_oracles:{name}"))
    assert report.written == 0 and len(report.faults) == 3 and message in report.faults[0]


def test_a_captioner_that_says_nothing(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    report = caption(videos, out, job(coarse="caption_oracles:silent"))
    assert report.written == 3 and report.empty == {"coarse: empty": 3}
    assert all(item.query == item.extra["caption_fine"] for item in manifest.read(out))


def test_clips_of_a_manifest_keep_their_ids(videos: Path, tmp_path: Path) -> None:
    name = sorted(p.name for p in videos.glob("*.mp4"))[0]
    given = [
        Item("first", name, window=Span(0.5, 2.0)),
        Item("asked", name, "what a person wrote", span_array([(1.0, 3.0)])),
        Item("outside", name, window=Span(99.0, 100.0)),
        Item("missing", "gone.mp4"),
        Item("first", name),
    ]
    manifest.write(given, videos / "own.jsonl")
    out = tmp_path / "out.jsonl"
    models = open_models(job(shots="items"), BackendOptions(Cache(enabled=False)))
    report = caption_videos([videos / "own.jsonl"], out, models, job(shots="items"))
    found = {item.id: item for item in manifest.read(out)}
    assert set(found) == {"first", "asked"} and found["asked"].query == "what a person wrote"
    assert found["first"].window == Span(0.5, 2.0) and len(found["first"].extra[FRAMES]) == 3
    assert [fault.split(":")[0] for fault in report.faults] == ["gone.mp4 does not exist, and its items are left out",
                                                                "first", "outside"]  # fmt: skip


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    models = open_models(job(), BackendOptions(Cache(enabled=False)))
    with pytest.raises(RecordError, match="does not exist"):
        caption_videos([tmp_path / "nowhere"], tmp_path / "out.jsonl", models, job())
    with pytest.raises(SettingError, match="no video"):
        caption_videos([tmp_path], tmp_path / "out.jsonl", models, job())
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SettingError, match=r"ends in \.jsonl"):
        caption_videos([tmp_path], tmp_path / "out.parquet", models, job())


def test_one_clip_is_a_function_of_its_item(videos: Path) -> None:
    """What an engine calls: nothing is kept between calls, and the item is not changed."""
    name = sorted(p.name for p in videos.glob("*.mp4"))[0]
    models = open_models(job(encoder="", aesthetics="caption_oracles:brightness"), BackendOptions(Cache(enabled=False)))
    item = Item("a", name, spans=span_array([(0.0, 2.0)]))
    one, two = (caption_clip(item, videos, models, job()) for _ in range(2))
    assert one.extra == two.extra and not item.extra and one.extra[MADE]["fine"] == FINE
    assert 0 < one.extra["aesthetic"] < 1
    models.aesthetics = lambda images: "good"
    with pytest.raises(ModelError, match="number for each frame"):
        caption_clip(item, videos, models, job())


def test_what_cannot_be_asked_from_threads_is_asked_by_one(videos: Path, tmp_path: Path) -> None:
    """The user's functions and the encoder keep state that two threads would spoil."""
    oracles.busy.clear()
    chosen = job(fused="caption_oracles:join", aesthetics="caption_oracles:alone", fine="caption_oracles:slow_tags")
    models = open_models(chosen, BackendOptions(Cache(enabled=False)))
    for k in range(6):
        shutil.copy(videos / "shapes-0.mp4", tmp_path / f"shapes-{k}.mp4")
    report = caption_videos([tmp_path], tmp_path / "out.jsonl", models, chosen)
    assert report.written == 6 and not report.faults and report.words["fused"] > 2


def test_similarity_tells_the_right_caption(videos: Path) -> None:
    models = open_models(job(), BackendOptions(Cache(enabled=False)))
    models.encoder = oracles.Brightness()
    name = sorted(p.name for p in videos.glob("*.mp4"))[0]
    found = caption_clip(Item("a", name), videos, models, job()).extra["similarity"]
    assert set(found) == {"coarse", "fine"} and all(np.isfinite(list(found.values())))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("A dog runs.", "A dog runs."),
        ('"A dog runs."', "A dog runs."),
        ("Caption: a dog\n runs", "a dog runs"),
        ("Sure! Here's the sentence: A dog runs.", "A dog runs."),
        ("**Summary:** A dog runs.", "A dog runs."),
        ("<think>hm</think> A dog runs.", "A dog runs."),
        ("<think>never ends", ""),
        ("", ""),
        ("Here is a dog that runs: it is brown.", "Here is a dog that runs: it is brown."),
    ],
)
def test_summaries_are_cleaned(answer: str, text: str) -> None:
    assert clean_summary(answer) == text


def test_the_command(videos: Path, server: ChatServer, tmp_path: Path) -> None:
    out, model = tmp_path / "captions.jsonl", f"{server.url}#test-model"
    options = ["--coarse", COARSE, "--fine", FINE, "--fused", model, "--shots", "whole", "--out", out]
    options += ["--cache", tmp_path / "cache", "--tracks", videos / "tracks.jsonl"]
    planned = run("data", "caption", videos, *options, "--dry-run").stdout
    assert "9 calls" in planned or "calls" in planned
    assert not out.exists()
    done = run("data", "caption", videos, *options)
    assert "3 of 3 clips of 3 videos have captions" in done.stdout and "fused" in done.stdout
    report = json.loads(run("data", "caption", videos, *options, "--json").stdout)
    assert report["resumed"] == 3 and report["claims"]["fine"]["objects"]["precision"] == 1.0
    table = tmp_path / "table.jsonl"
    run("data", "sample", out, "--out", table, "--how", "div", "--count", 2, "--table")
    assert len(table.read_text().splitlines()) == 2


@pytest.mark.torch
def test_each_scale_is_learned_from_the_same_clips(videos: Path, tmp_path: Path, one_thread: None) -> None:
    import pretrain_runs
    import tiny_encoders

    from whenwhere.training import run as training

    out = tmp_path / "captions.jsonl"
    texts = iter(["red circle", "", "blue square"])  # one clip has no fused caption
    chosen = job(fused="x")
    models = open_models(replace(chosen, fused=""), BackendOptions(Cache(enabled=False)))
    models.summariser = oracles.Said(lambda: next(texts))
    caption_videos([videos], out, models, chosen)
    sources = {}
    for scale in ("events", "coarse", "fine", "fused"):
        told: list[str] = []
        table = {"kind": "manifest", "annotations": str(out), "captions": scale, "nouns": "none"}
        sources[scale] = open_clips(checked(PretrainDataSettings, table, "[data]"), 4, 32, tell=told.append)
        assert len(sources[scale]) == (3 if scale == "events" else 2)
        assert bool(told) == (scale != "events")
    ids = [[source[k].id for k in range(2)] for name, source in sources.items() if name != "events"]
    assert ids[0] == ids[1] == ids[2]
    assert {sources["fused"][k].caption for k in range(2)} == {"red circle", "blue square"}
    assert sources["coarse"][0].caption.startswith("the picture of") and "circle" in sources["fused"][0].caption
    clip = tiny_encoders.save("clip", tmp_path / "clip")
    text = f'[encoder]\ncheckpoint = "{clip}"\nframes = 4\n[data]\nkind = "manifest"\nannotations = "{out}"\n'
    text += "[objective]\nnouns = 0\ntime = 0\ncut_and_paste = false\n"
    text += '[train]\nstage = "pretrain"\nbatch = 2\nmax_steps = 1\n'
    training.train(pretrain_runs.recipe(tmp_path, "data.captions=coarse", text=text), tmp_path / "run", device="cpu")
    with pytest.raises(SettingError, match="those of shapes"):
        checked(PretrainDataSettings, {"kind": "manifest", "annotations": str(out), "captions": "truth"}, "[data]")
    manifest.write([Item("a", "shapes-0.mp4", "a dog")], videos / "plain.jsonl")
    plain = {"kind": "manifest", "annotations": str(videos / "plain.jsonl"), "captions": "coarse"}
    with pytest.raises(SettingError, match="has no coarse captions: make them"):
        open_clips(checked(PretrainDataSettings, plain, "[data]"), 4, 32)


@pytest.mark.torch
def test_a_real_clip_with_a_real_class(
    real_data: Path, server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shots of a real video, captioned by a tiny BLIP-2 that was saved and loaded, and fused by a server."""
    import tiny_captioners

    monkeypatch.setattr("whenwhere.models.captioners.MOST_TOKENS", 4)
    folder = tiny_captioners.saved("blip-2", tmp_path / "blip")
    shutil.copy(real_data / "videos" / "mmaction2_demo.mp4", tmp_path / "real.mp4")
    chosen = job(coarse=str(folder), fine=str(folder), fused="x", shots="content", fps=0.5, shortest=1.0)
    report = caption(tmp_path / "real.mp4", tmp_path / "out.jsonl", chosen, server)
    items = list(manifest.read(tmp_path / "out.jsonl"))
    assert report.written == report.clips == len(items) > 1 and not report.faults
    assert all(item.extra["caption_coarse"] and item.extra["caption_fused"] for item in items)
    ends = sorted(item.spans[0].tolist() for item in items)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))
