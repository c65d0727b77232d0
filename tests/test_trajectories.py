"""The whole path of trajectories against a local server that plays an imperfect teacher, computed from the truth.

Each item gets one planted error, or none; the checks are scored against what was planted.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request, Said
from commands import run

from whenwhere.answers import parse
from whenwhere.chat import Budget, RetryPolicy
from whenwhere.curate.teacher_error import true_box
from whenwhere.curate.training_formats import TRAJECTORY
from whenwhere.curate.trajectories import TrajectoryJob, estimate, make_trajectories
from whenwhere.curate.trajectory_report import MADE, TEACHER, TrajectoryReport, rejected_file
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item
from whenwhere.engine import open_engine
from whenwhere.errors import RecordError, SettingError
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.models.backends.resolve import load_model
from whenwhere.stage.shapes import ShapesWorld
from whenwhere.stage.shapes.files import write_shapes
from whenwhere.store import Cache
from whenwhere.training.builders import source_of
from whenwhere.training.policy_tables import DataSettings, ModelSettings
from whenwhere.verify import Truth, Verifier

SIDE, CLIPS = 64, 4
#: What is planted, and the reason under which it must be counted (None: the item is kept).
PLANTED = {
    "none": None, "jitter": None, "shift": None, "wrong span": "wrong_span", "wrong target": "wrong_target",
    "refusal": "refused", "truncation": "truncated", "no claim": "no_claim", "copy": "only_repeats",
}  # fmt: skip


class Teacher:
    """Answers about items whose sentence ends in their number."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.planted = [self._plan(k, item) for k, item in enumerate(items)]
        self.apart = self.learns = False

    def _plan(self, k: int, item: Item) -> str:
        kind = list(PLANTED)[k % len(PLANTED)]
        spans = item.span_set
        duration = item.duration or 0.0
        if not spans:
            return kind if kind in ("refusal", "truncation") else "none"
        room = all(s.end + 0.3 * s.duration <= duration for s in spans) and len(spans) == 1
        return "jitter" if kind == "shift" and not room else kind

    def __call__(self, request: Request) -> "str | Said":
        k = int(request.text().split("(number ")[1].split(")")[0])
        item, kind = self.items[k], self.planted[k]
        if self.learns and request.body.get("temperature"):
            kind = "none"
        truth = Truth(item.span_set, item.tubes[0] if item.tubes else None, item.duration, (SIDE, SIDE), fps=item.fps)
        if kind == "refusal":
            return Said(None, refusal="I cannot help with that.")
        rows, words = [], []
        for s in item.span_set:
            a, b = self._said(kind, s.start, s.end)
            times = [a, *(t / 2 for t in range(int(2 * a) + 1, int(2 * b) + 1) if a < t / 2 < b)]
            boxes = [(t, self._box(truth, t, kind == "wrong target")) for t in times]
            text = ", ".join(f"[{t}, {', '.join(map(str, box))}]" for t, box in boxes if box)
            rows.append(f'{{"span": [{a}, {b}], "boxes": [{text}]}}')
            if kind == "copy":
                words.append(f"It happens from {a} s to {b} s.")
            elif kind == "no claim":
                words.append("Something small drifts across a plain background and later vanishes behind an edge.")
            else:
                first = next(((t, box) for t, box in boxes if box), None)
                words.append(f"A small bright shape becomes distinct against its plain background at {a} s.")
                words.append(f"Nothing remains of it after {b} s.")
                if first:
                    words.append(f"Its outline sits at {list(first[1])} at {first[0]} s.")
        thought = " ".join([*words, *([] if item.span_set else ["Nothing of that sort ever appears anywhere here."])])
        answer = f"<answer>[{', '.join(rows)}]</answer>"
        if kind == "truncation":
            return Said(f"<think>{thought}"[:60], finish="length")
        return Said(answer, thought=thought) if self.apart else f"<think>{thought}</think>\n{answer}"

    def _said(self, kind: str, start: float, end: float) -> tuple[float, float]:
        """A span as the teacher states it; errors are at least 0.2 s, since text has a tenth."""
        long = end - start
        if kind == "jitter":
            start, end = start + max(0.2 * long, 0.2), end - max(0.15 * long, 0.1)
        elif kind == "shift":
            start, end = start + max(0.25 * long, 0.2), end + max(0.25 * long, 0.2)
        elif kind == "wrong span":
            end -= 0.85 * long
        return round(start, 1), round(end, 1)

    def _box(self, truth: Truth, t: float, wrong: bool) -> tuple[int, ...] | None:
        found = true_box(truth, t, 2.0)
        if found is None:
            return None
        x1, y1, x2, y2 = (round(v / SIDE * 1000) for v in found)
        if wrong:  # the far corner
            x1, y1, x2, y2 = (0, 0, 60, 60) if x1 + y1 > 700 else (900, 900, 999, 999)
        return x1, y1, x2, y2


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of clips whose sentences name their number."""
    folder = tmp_path_factory.mktemp("clips")
    write_shapes(folder, CLIPS, 3, ShapesWorld(side=SIDE, fps=4))
    items = list(manifest.read(folder / "manifest.jsonl"))
    numbered = [replace(item, query=f"{item.query} (number {k})") for k, item in enumerate(items)]
    manifest.write(numbered, folder / "asked.jsonl")
    return folder / "asked.jsonl"


@pytest.fixture(scope="module")
def teacher(clips: Path) -> Teacher:
    return Teacher(list(manifest.read(clips)))


@pytest.fixture
def server(teacher: Teacher) -> Iterator[ChatServer]:
    teacher.apart = teacher.learns = False
    with ChatServer(teacher) as one:
        yield one


def backend(server: ChatServer, folder: Path, **options: object) -> EndpointBackend:
    retry = RetryPolicy(retries=0)
    return EndpointBackend(f"{server.url}#test-model", cache=Cache(folder), retry=retry, **options)  # type: ignore[arg-type]


def made(server: ChatServer, clips: Path, tmp_path: Path, name: str = "out", **job: object) -> TrajectoryReport:
    with backend(server, tmp_path / "cache") as teacher:
        return make_trajectories(clips, clips.parent / f"{tmp_path.name}-{name}.jsonl", teacher, TrajectoryJob(**job))  # type: ignore[arg-type]


def test_what_is_kept_is_right_and_errors_are_counted(
    server: ChatServer, clips: Path, teacher: Teacher, tmp_path: Path
) -> None:
    report = made(server, clips, tmp_path, tries=1)
    out = clips.parent / f"{tmp_path.name}-out.jsonl"
    assert not report.faults and report.items == len(teacher.items)
    planted = {item.id: kind for item, kind in zip(teacher.items, teacher.planted, strict=True)}
    verifier = Verifier()
    kept = {item.id: item for item in manifest.read(out)}
    rejected = {line["id"]: line for line in map(json.loads, rejected_file(out).read_text().splitlines())}
    assert kept.keys() | rejected.keys() == planted.keys() and not kept.keys() & rejected.keys()
    for id, item in kept.items():
        truth = Truth(item.span_set, item.tubes[0] if item.tubes else None, item.duration, (SIDE, SIDE), fps=item.fps)
        text = item.extra[TRAJECTORY]
        assert verifier.score(text, truth).reward == pytest.approx(verifier.ceiling(truth)), id
        assert parse(text, "strict", "second-level").valid
    # precision and recall of each kind of error, and of each reason
    found = {id: item.extra[TEACHER]["replies"][0]["kind"] for id, item in kept.items()}
    found |= {id: line["replies"][0].get("kind", "") for id, line in rejected.items()}
    for kind in ("jitter", "shift", "wrong span", "wrong target"):
        right, said = {i for i in planted if planted[i] == kind}, {i for i in found if found[i] == kind}
        print(f"{kind}: precision {len(right & said)}/{len(said)}, recall {len(right & said)}/{len(right)}")
        assert right and said == right, kind
    assert {i: rejected[i]["reason"] if i in rejected else None for i in planted} == {
        i: PLANTED[kind] for i, kind in planted.items()
    }
    assert report.rejected == Counter(PLANTED[kind] for kind in planted.values() if PLANTED[kind])
    assert report.kept == len(kept) and 0 < report.copy_rate < 1


def test_interrupted_and_resumed_is_the_same_file(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    made(server, clips, tmp_path, "whole", tries=1)
    out = clips.parent / f"{tmp_path.name}-parts.jsonl"

    def stop(done: int, of: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with backend(server, tmp_path / "other") as one, pytest.raises(KeyboardInterrupt):
        make_trajectories(clips, out, one, TrajectoryJob(tries=1), stop)
    before = len(out.read_text().splitlines()) + len(rejected_file(out).read_text().splitlines())
    assert before == 4
    report = made(server, clips, tmp_path, "parts", tries=1)
    assert report.resumed == 4
    for file in (out, rejected_file(out)):
        whole = file.with_name(file.name.replace("parts", "whole"))
        assert sorted(file.read_text().splitlines()) == sorted(whole.read_text().splitlines())
    asked = len(server.requests)
    assert made(server, clips, tmp_path, "parts", tries=1).kept == report.kept
    assert len(server.requests) == asked
    with pytest.raises(SettingError, match="made otherwise"):
        made(server, clips, tmp_path, "parts", tries=1, form="time-r1")


def test_a_spent_budget_and_a_lost_server_lose_nothing(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    out = clips.parent / f"{tmp_path.name}-out.jsonl"
    with backend(server, tmp_path / "cache", budget=Budget(calls=3), concurrency=1) as one:
        report = make_trajectories(clips, out, one, TrajectoryJob(tries=1))
    assert 1 <= report.kept + sum(report.rejected.values()) <= 4
    assert "allow more calls" in report.faults[0] and "in a row failed" in report.faults[-1]
    report = made(server, clips, tmp_path, tries=1)
    assert not report.faults and report.kept + sum(report.rejected.values()) == report.items


def test_the_teachers_numbers_are_one_setting_away(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    made(server, clips, tmp_path, tries=1)
    asked = len(server.requests)
    made(server, clips, tmp_path, "noisy", tries=1, coordinates="teacher")
    # the same replies, from the cache; only what was refused, and not paid for, is asked again
    assert len(server.requests) - asked <= 0.2 * asked
    true, noisy = (
        {item.id: item for item in manifest.read(clips.parent / f"{tmp_path.name}-{name}.jsonl")}
        for name in ("out", "noisy")
    )
    assert true.keys() == noisy.keys()
    for id, item in true.items():
        kind = item.extra[TEACHER]["replies"][0]["kind"]
        assert noisy[id].extra[MADE]["coordinates"] == "teacher"
        spans = [parse(x.extra[TRAJECTORY], "strict", "second-level").spans for x in (item, noisy[id])]
        assert (spans[0] == spans[1]) == (kind == "none"), (id, kind)


def test_reasoning_that_a_server_keeps_apart(server: ChatServer, clips: Path, teacher: Teacher, tmp_path: Path) -> None:
    teacher.apart = True
    report = made(server, clips, tmp_path, tries=1, form="time-r1")
    assert report.kept and "no_thought" not in report.rejected


def test_what_was_rejected_is_asked_again(server: ChatServer, clips: Path, teacher: Teacher, tmp_path: Path) -> None:
    teacher.learns = True
    report = made(server, clips, tmp_path)
    assert report.kept == report.items and not report.rejected
    planted = Counter(PLANTED[kind] for kind in teacher.planted if PLANTED[kind])
    assert report.replies == planted


def test_a_choice_is_asked_with_its_options_and_learned_with_them(clips: Path, tmp_path: Path) -> None:
    one = next(item for item in manifest.read(clips) if len(item.span_set) == 1)
    asked = replace(one, tubes=[], options=["a square", "a disc"], answer="a disc")
    file, out = clips.parent / f"{tmp_path.name}.jsonl", clips.parent / f"{tmp_path.name}-out.jsonl"
    manifest.write([asked, replace(asked, id="open", answer=None)], file)
    (span,) = one.span_set
    a, b = round(span.start, 1), round(span.end, 1)
    thought = f"A bright shape with a round outline appears from {a} s until {b} s, without any corner."
    prompts: list[str] = []

    def teach(request: Request) -> str:
        prompts.append(request.text())
        return f'<think>{thought}</think><answer>[{{"span": [{a}, {b}], "boxes": []}}]</answer>\\boxed{{B}}'

    with ChatServer(teach) as server, backend(server, tmp_path) as teacher:
        report = make_trajectories(file, out, teacher, TrajectoryJob("tvg-r1-qa"))
    assert "(A) a square\n(B) a disc" in prompts[0] and "\\boxed{X}" in prompts[0]
    # without a right option no reply is of use, so none is asked for
    assert len(prompts) == 1 and report.kept == 1 and report.rejected == {"not_strict": 1}
    (kept,) = manifest.read(out)
    assert kept.extra[TRAJECTORY].endswith("\\boxed{B}") and kept.query == one.query
    data = DataSettings(kind="manifest", annotations=str(out), trajectories="truth")
    source = source_of(data, ModelSettings("tiny", form="tvg-r1-qa"))
    (question,) = source[0].questions
    assert question.text.endswith("(B) a disc") and question.truth.choice == "B"


def test_boxes_in_pixels_of_what_the_policy_is_shown(clips: Path, tmp_path: Path) -> None:
    from whenwhere.models.shipped import shipped_weights
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.prefix.policy import Policy

    one = next(item for item in manifest.read(clips) if len(item.span_set) == 1 and item.tubes)
    one = replace(one, query="the shape (number 0)")
    file = clips.parent / f"{tmp_path.name}.jsonl"
    manifest.write([one], file)
    model = ModelSettings("tiny", form="open-o3-boxes")
    policy = Policy(Checkpoint(str(shipped_weights()), device="cpu"), form=model.form, prompt="{query}")
    data = DataSettings(kind="manifest", annotations=str(file))
    sample = source_of(data, model)[0]
    seen = policy.truth(sample, sample.questions[0]).shown
    assert seen is not None
    learned = {}
    for shown in ((int(seen[0]), int(seen[1])), (40, 30)):
        out = clips.parent / f"{tmp_path.name}-{shown[0]}.jsonl"
        with ChatServer(Teacher([one])) as server, backend(server, tmp_path) as teacher:
            job = TrajectoryJob("open-o3-boxes", shown=shown)
            assert make_trajectories(file, out, teacher, job).kept == 1
            assert make_trajectories(file, out, teacher, job).resumed == 1
        learned[shown] = source_of(replace(data, annotations=str(out), trajectories="truth"), model)[0]
    right, other = learned.values()
    assert len(policy.target(right, right.questions[0])) > 20
    with pytest.raises(RecordError, match=f"40x30.*--shown {seen[0]:g}x{seen[1]:g}"):
        policy.target(other, other.questions[0])


def test_command(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    out = clips.parent / f"{tmp_path.name}-cli.jsonl"
    args = ("data", "trajectories", clips, "--model", f"{server.url}#test-model", "--out", out, "--cache", tmp_path)
    plan = json.loads(run(*args, "--dry-run", "--json").stdout)
    assert plan["calls"] > 10 and plan["prompt_tokens"] > 1000 and not out.exists() and not server.requests
    done = run(*args, "--tries", "1", "--max-cost", "10000000", "--json")
    assert json.loads(done.stdout)["kept"] == len(out.read_text().splitlines())
    again = run(*args, "--tries", "1")
    assert "were done before" in again.stdout and "wrong_target" in again.stdout


def test_several_processes_make_the_same_file(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    """Also with a budget, which is never passed, and a server that dies half-way and comes back."""
    made(server, clips, tmp_path, "whole", tries=1)
    name = f"{server.url}#test-model"
    out = clips.parent / f"{tmp_path.name}-parts.jsonl"
    load = partial(load_model, name, concurrency=1, cache=tmp_path / "workers")
    with open_engine("local", 2) as engine, load_model(name, cache=tmp_path / "mine") as one:
        more = {"engine": engine, "load": load}
        asked = len(server.requests)
        first = make_trajectories(clips, out, one, TrajectoryJob(tries=1), tokens=12_000, **more)  # type: ignore[arg-type]
        assert 0 < first.kept < first.items and "allow more tokens" in " ".join(first.faults)
        assert sum(map(server.prompt_tokens, server.requests[asked:])) <= 12_000
        server.always = Fault("status", status=403)
        second = make_trajectories(clips, out, one, TrajectoryJob(tries=1), **more)  # type: ignore[arg-type]
        assert second.kept == first.kept and "in a row failed" in second.faults[-1]
        server.always = None
        last = make_trajectories(clips, out, one, TrajectoryJob(tries=1), **more)  # type: ignore[arg-type]
    assert not last.faults and last.resumed == second.kept + sum(second.rejected.values())
    for file in (out, rejected_file(out)):
        whole = file.with_name(file.name.replace("parts", "whole"))
        assert sorted(file.read_text().splitlines()) == sorted(whole.read_text().splitlines())


@pytest.mark.torch
def test_a_policy_learns_the_reasoning_with_either_numbers(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    """One manifest, one key: `data.trajectories` is the truth's numbers, or the teacher's own."""
    from whenwhere.training.builders import open_source
    from whenwhere.training.recipe import load
    from whenwhere.training.run import train

    made(server, clips, tmp_path, tries=1)
    out = clips.parent / f"{tmp_path.name}-out.jsonl"
    items = list(manifest.read(out))
    lost = replace(items[0], id="without", extra={})
    manifest.write([*items, lost], out)
    changes = [
        "kind=manifest", f"annotations={out}", "min_duration=0", "form=second-level", "max_steps=1",
        "samples_per_step=1", "prompt={query}",
    ]  # fmt: skip
    learned = {}
    for numbers in ("truth", "teacher"):
        told: list[str] = []
        source = open_source(load("tiny-sft", [*changes, f"trajectories={numbers}"]), told.append)
        samples = [source[k] for k in range(len(source))]
        learned[numbers] = {q.id: q.written for sample in samples for q in sample.questions}
        assert "without a trajectory: 1 sentences" in " ".join(told) and "without" not in learned[numbers]
    assert learned["truth"] == {i.id: i.extra[TRAJECTORY] for i in items if i.id in learned["truth"]}
    assert learned["teacher"] == {i.id: i.extra[TEACHER]["text"] for i in items if i.id in learned["teacher"]}
    assert learned["truth"].keys() == learned["teacher"].keys() and learned["truth"] != learned["teacher"]
    plain = open_source(load("tiny-sft", changes))
    assert all(q.written is None for k in range(len(plain)) for q in plain[k].questions)
    result = train(load("tiny-sft", [*changes, "trajectories=teacher"]), tmp_path / "run", device="cpu")
    assert result.steps == 1 and not result.skipped
    with pytest.raises(SettingError, match="is in the form second-level, and the policy answers in time-r1"):
        open_source(load("tiny-sft", [*changes, "trajectories=truth", "form=time-r1"]))
    with pytest.raises(SettingError, match="trajectories is answer, truth or teacher"):
        load("tiny-sft", [*changes, "trajectories=noisy"])


def test_items_that_cannot_be_asked_about(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    good = next(item for item in manifest.read(clips) if len(item.spans))
    late = replace(good, id="late", spans=good.spans + 100, tubes=[])
    items = [good, good, late, replace(good, id="lost", video="lost.mp4")]
    file = clips.parent / f"{tmp_path.name}-bad.jsonl"
    manifest.write(items, file)
    with backend(server, tmp_path / "cache") as one:
        report = make_trajectories(file, file.with_name("bad-out.jsonl"), one, TrajectoryJob(tries=1))
        with pytest.raises(SettingError, match="a name that ends in"):
            estimate(file, file.with_name("out.parquet"), one)
    text = "\n".join(report.faults)
    assert "must be unique" in text and "lies outside its video" in text and "lost: " in text
    assert report.items == 3
