"""Reasoning trajectories: a teacher's reasoning about when something happens and to which thing, with true numbers.

Each item of a manifest is shown to a teacher, which reasons and answers without being told the truth (a teacher that
knows the answer writes reasoning that cannot be learned from the video). `teacher_reply.make_trajectory` makes a
trajectory of its reply or says what is wrong with it; then the teacher is asked again, with a temperature. What was
replaced, and the teacher's own error, are kept beside each trajectory. `coordinates` decides which numbers a policy
learns from: the true ones, or the teacher's own in the same sentences.

`OUT` is a manifest that grows by one line for each trajectory, `OUT-rejected.jsonl` grows by one line for each item
without one. A rerun continues where the last run stopped: an item in either file is not asked about again, and replies
in the back end's cache cost nothing. An item whose call failed (endpoint gone, budget spent, video unreadable) is in
neither file.

Left out: prices. A budget is in tokens, which every server counts; what a token costs is known to whoever pays.
"""

import dataclasses
import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whenwhere.answers import FORMS
from whenwhere.answers.dialects.prompt import fill_prompt
from whenwhere.chat import Budget
from whenwhere.curate.item_sets import moved, read_set
from whenwhere.curate.teacher_error import TrajectoryLimits
from whenwhere.curate.teacher_prompt import question_of, teacher_prompt
from whenwhere.curate.teacher_reply import make_trajectory, teacher_text, trajectory_form
from whenwhere.curate.training_formats import TRAJECTORY
from whenwhere.curate.trajectory_checks import Trajectory
from whenwhere.curate.trajectory_report import MADE, TEACHER, TrajectoryReport, rejected_file, stored_lines, summed
from whenwhere.datasets.choices import right_letter
from whenwhere.datasets.item import Item, shifted
from whenwhere.datasets.schema import to_json
from whenwhere.engine import Engine, by_cost
from whenwhere.errors import OutputError, RecordError, SettingError, WhenwhereError
from whenwhere.grounders.call_runner import CallRunner, FrameRequest, plan_costs, request_costs
from whenwhere.grounders.grounder import GroundingRequest
from whenwhere.grounders.second_level import MAX_BOX, MAX_START
from whenwhere.grounders.windows import SamplingConfig, clip_span, frames_per_call, shown_width
from whenwhere.models.backends.base import ModelBackend
from whenwhere.store import append_line, sole_run
from whenwhere.verify import Truth
from whenwhere.video import VideoInfo, probe
from whenwhere.video.picture import output_size

#: Most tokens of a reasoning, and tokens of a usual one for estimates.
MOST_THOUGHT, USUAL_THOUGHT = 1024, 250
#: Seconds by which the truth may end after its video, because the clocks of annotators and containers differ a little.
SLACK = 1.0


@dataclass(frozen=True)
class TrajectoryJob:
    """Settings of trajectories.

    Attributes:
        form: Form of the answers (`whenwhere.answers.FORMS`), one with a place for reasoning.
        coordinates: Whose times and boxes a trajectory holds: those of the `truth`, or the `teacher`'s own.
        tries: How often the teacher is asked about an item before it is given up.
        frames: Most frames that the teacher is shown.
        temperature: Sampling temperature from the second try on, 0 to 2; the first try takes the likeliest tokens.
        seed: Seed of the sampling.
        limits: Limits of what is accepted of a teacher.
        shown: Width and height in pixels of the picture that the policy is shown, for a form that answers in its
            pixels. None for any other form.

    Raises:
        SettingError: A setting is out of its range, or the form cannot hold trajectories.
    """

    form: str = "second-level"
    coordinates: Literal["truth", "teacher"] = "truth"
    tries: int = 2
    frames: int = 64
    temperature: float = 0.7
    seed: int = 0
    limits: TrajectoryLimits = field(default_factory=TrajectoryLimits)
    shown: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        trajectory_form(self.form, self.shown)
        if self.coordinates not in ("truth", "teacher"):
            raise SettingError(f"coordinates is {self.coordinates!r}: choose truth or teacher")
        for name in ("tries", "frames"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is 1 or more, not {getattr(self, name)}")
        if not 0 <= self.temperature <= 2:
            raise SettingError(f"the temperature is between 0 and 2, not {self.temperature:g}")


@dataclass(frozen=True)
class _Question:
    """An item with everything that is needed to ask about it.

    Attributes:
        item: The item.
        info: Its probed video.
        truth: Its truth, with times that count from the first frame that is shown.
        request: The call to the teacher.
    """

    item: Item
    info: VideoInfo
    truth: Truth
    request: FrameRequest


def make_trajectories(
    manifest: Path,
    out: Path,
    backend: ModelBackend,
    job: TrajectoryJob | None = None,
    tell: Callable[[int, int], None] | None = None,
    *,
    engine: Engine | None = None,
    load: Callable[..., ModelBackend] | None = None,
    tokens: int | None = None,
) -> TrajectoryReport:
    """Ask a teacher about all items of a manifest that are not done yet, and write what becomes of them.

    Args:
        manifest: The manifest (.jsonl or .parquet), with the true times and boxes.
        out: Manifest to which the items with a trajectory are added (.jsonl).
        backend: The teacher; as many items are asked about at the same time as it can take.
        job: Settings of the trajectories; None takes the defaults.
        tell: Called with the number of items done in this run, and of all items of this run.
        engine: Workers that read the videos and ask. None asks from this process.
        load: With an engine: function of a `budget` that loads the same teacher in a worker.
        tokens: With an engine: most tokens to spend. Without one, the back end has its own budget.

    Returns:
        What became of the items, those of earlier runs included.

    Raises:
        RecordError: The manifest cannot be read.
        SettingError: `out` is not JSON Lines or holds trajectories that were made with other settings, or `load` is
            missing.
        OutputError: A file cannot be written, or another run writes to it.
    """
    job = job or TrajectoryJob()
    made = _made(backend, job)
    report = TrajectoryReport()
    with sole_run(out):
        items, folder = _usable(manifest, report)
        done = _done(out, made)
        todo = [item for item in items if item.id not in done]
        report.items, report.resumed = len(items), len(items) - len(todo)
        if engine is None:
            at_once, replies = backend.concurrency, _asked_here(todo, ItemAsker(backend, folder, out, job, made))
        else:
            if load is None:
                raise SettingError("an engine loads the teacher in each worker: give the function `load`")
            make = partial(_asker, load, folder, out, job, made)
            at_once, replies = engine.workers, _asked_by_engine(todo, folder, engine, make, tokens)
        in_vain, most = 0, max(8, 2 * at_once)
        with closing(replies):
            for number, (item, reply) in enumerate(replies, 1):
                if reply.line:
                    append_line(out if reply.kept else rejected_file(out), reply.line)
                elif reply.error:
                    report.faults.append(f"{item.id}: {reply.error}")
                in_vain = in_vain + 1 if reply.error else 0
                if tell is not None:
                    tell(number, len(todo))
                if in_vain >= most and number < len(todo):
                    report.faults.append(
                        f"{len(todo) - number} items were not asked about, because {in_vain} in a row failed: run the "
                        "same command again to go on"
                    )
                    break
        return summed(report, out)


@dataclass(frozen=True)
class ItemReply:
    """What became of an item.

    Attributes:
        kept: Whether the item has a trajectory.
        line: The line to write about it; "" if it could not be asked about.
        error: Why it could not be asked about; "" if it could.
        spent: Number of tokens that it cost, where a budget is kept.
    """

    kept: bool = False
    line: str = ""
    error: str = ""
    spent: int = 0


class ItemAsker:
    """Asks a teacher about single items, in this process or in a worker.

    Args:
        backend: The teacher.
        folder: Folder that the paths of videos are relative to.
        out: The manifest that will hold the items.
        job: Settings of the trajectories.
        made: The settings as they are written on each line.
        budget: Budget of the back end, which each item raises by its allowance. None leaves the budget alone.

    Attributes:
        concurrency: Number of items that the teacher is asked about at the same time.
    """

    def __init__(
        self,
        backend: ModelBackend,
        folder: Path,
        out: Path,
        job: TrajectoryJob,
        made: dict[str, Any],
        budget: Budget | None = None,
    ) -> None:
        self._backend, self._folder, self._out, self._job, self._made = backend, folder, out, job, made
        self._budget = budget
        self.concurrency = backend.concurrency

    def __call__(self, task: tuple[Item, int | None]) -> ItemReply:
        """Ask about an item.

        Args:
            task: The item, and the most tokens that it may cost; None sets no limit.
        """
        item, allowance = task
        before = 0
        if self._budget is not None:
            before = self._budget.spent_tokens
            self._budget.tokens = None if allowance is None else before + allowance
        try:
            kept, line = _answered(item, self._folder, self._out, self._backend, self._job, self._made)
            reply = ItemReply(kept, line)
        except WhenwhereError as e:
            reply = ItemReply(error=str(e))
        return reply if self._budget is None else replace(reply, spent=self._budget.spent_tokens - before)


def _asker(
    load: Callable[..., ModelBackend], folder: Path, out: Path, job: TrajectoryJob, made: dict[str, Any]
) -> ItemAsker:
    """Load the teacher in a worker."""
    budget = Budget()
    return ItemAsker(load(budget=budget), folder, out, job, made, budget)


def _asked_here(todo: list[Item], ask: ItemAsker) -> Generator[tuple[Item, ItemReply], None, None]:
    """Yield the replies about items, in the order in which they arrive, from threads of this process."""
    pool = ThreadPoolExecutor(ask.concurrency, thread_name_prefix="whenwhere-trajectories")
    try:
        futures = {pool.submit(ask, (item, None)): item for item in todo}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    finally:
        # an interrupt does not wait for replies that may take minutes
        pool.shutdown(wait=False, cancel_futures=True)


def _asked_by_engine(
    todo: list[Item],
    folder: Path,
    engine: Engine,
    make: Callable[[], Callable[[tuple[Item, int | None]], ItemReply]],
    tokens: int | None,
) -> Generator[tuple[Item, ItemReply], None, None]:
    """Yield the replies about items from workers; each item may spend one worker's share of the remaining tokens."""
    left = tokens

    def tasks() -> Iterator[tuple[Item, int | None]]:
        nonlocal left
        for k in by_cost([[str(folder / item.video)] for item in todo], engine):
            share = None if left is None else left // engine.workers
            if left is not None and share is not None:
                left -= share
            yield todo[k], share

    for done in engine.run(make, tasks()):
        if isinstance(done.error, OutputError) or (done.error and not isinstance(done.error, WhenwhereError)):
            raise done.error
        item, share = done.task
        reply = done.result or ItemReply(error=str(done.error))
        if left is not None and share is not None:
            left += share - reply.spent
        yield item, reply


def estimate(manifest: Path, out: Path, backend: ModelBackend, job: TrajectoryJob | None = None) -> dict[str, Any]:
    """Estimate what one try for every item that is not done yet would cost, without asking the teacher.

    Args:
        manifest: The manifest, with the true times and boxes.
        out: Manifest to which the items with a trajectory would be added (.jsonl).
        backend: The teacher.
        job: Settings of the trajectories; None takes the defaults.

    Returns:
        Numbers of calls, frames and tokens, and the faults (`plan_costs`).

    Raises:
        RecordError: The manifest cannot be read.
        SettingError: `out` is not JSON Lines, or holds trajectories that were made with other settings.
    """
    job = job or TrajectoryJob()
    report = TrajectoryReport()
    items, folder = _usable(manifest, report)
    done = _done(out, _made(backend, job))
    steps = []
    for item in items:
        if item.id not in done:
            try:
                q = _question(item, folder, backend, job, 0)
            except WhenwhereError as e:
                report.faults.append(f"{item.id}: {e}")
            else:
                steps.append(request_costs(backend, q.info, [q.request]))
    total = {key: sum(step[key] for step in steps) for key in ("calls", "frames", "prompt_tokens", "output_tokens")}
    return plan_costs({"trajectory": total}, faults=report.faults)


def _made(backend: ModelBackend, job: TrajectoryJob) -> dict[str, Any]:
    """The settings that the result depends on besides the items; they are on every line."""
    settings = asdict(job)
    size = settings.pop("shown")
    return {"model": backend.name, **settings, **({"shown": list(size)} if size else {})}


def _usable(manifest: Path, report: TrajectoryReport) -> tuple[list[Item], Path]:
    """The items that can be asked about, and the folder of their videos; the faults of others go to the report."""
    own = read_set(manifest)
    report.faults += own.faults
    if own.folder is None:
        raise SettingError(f"{manifest} is not a manifest: convert it with `whenwhere data convert` first")
    items: dict[str, Item] = {}
    for item in own.items:
        if not item.id or item.id in items:
            report.faults.append(f"{item.id or 'an item'}: ids must be unique and not empty; this item is left out")
        elif item.status != "valid":
            report.faults.append(f"{item.id}: {item.fault or 'the release marks it as invalid'}; it is left out")
        else:
            items[item.id] = item
    return list(items.values()), own.folder


def _done(out: Path, made: dict[str, Any]) -> set[str]:
    """The ids of the items that either file holds already.

    Raises:
        SettingError: The file is not JSON Lines, or its lines were made with other settings.
    """
    if out.suffix.lower() not in (".jsonl", ".ndjson"):
        raise SettingError(
            f"trajectories are added line by line: give --out a name that ends in .jsonl, not {out.name}"
        )
    done = set()
    for file, line in stored_lines(out):
        other = line.get(MADE) if file != out else line.get("extra", {}).get(MADE)
        if other != made:
            raise SettingError(
                f"{file} holds lines that were made otherwise (another model, form or limit): choose another --out, or "
                "remove that file"
            )
        done.add(str(line.get("id")))
    return done


def _question(item: Item, folder: Path, backend: ModelBackend, job: TrajectoryJob, attempt: int) -> _Question:
    """The question about an item for the try with this index.

    Raises:
        MediaError: The video cannot be read.
        RecordError: The truth lies outside the video.
    """
    info = probe(folder / item.video)
    part = clip_span(info, item.window)
    clock = 0.0 if item.window is None else item.window.start
    # times count from what the teacher is shown, as in training data
    own = item if item.window is None else shifted(item, item.offset - item.window.start)
    if len(own.spans) and (own.spans.min() < 0 or own.spans.max() > part.end - clock + SLACK):
        raise RecordError(
            f"its truth ({own.spans.min():g} to {own.spans.max():g} s) lies outside its video, which has "
            f"{part.end - clock:.2f} s: correct or remove the item"
        )
    tube = own.tubes[0] if len(own.tubes) == 1 else None
    size = (float(item.width or info.width), float(item.height or info.height))
    truth = Truth(
        own.span_set, tube, part.end - clock, size, job.shown, right_letter(item), item.fps or info.fps, item.query
    )  # fmt: skip
    width = shown_width(info, SamplingConfig().side)
    pixels = backend.dialect.coordinates == "pixels"
    template, fields = teacher_prompt(item, job.form, part.start - clock, part.end - clock, tube is not None, pixels)
    longest = fill_prompt(template, n=str(job.frames), **fields)
    n = min(job.frames, frames_per_call(backend, *output_size(info, width), longest, SamplingConfig().tokens))
    grid = part.start + part.duration * (np.arange(n) + 0.5) / n
    times = info.times[np.unique(info.shown(grid))]
    most = MOST_THOUGHT + MAX_START + MAX_BOX * int(min(part.duration, 64) + 2)
    request = FrameRequest(
        "trajectory", times, width, fill_prompt(template, n=str(len(times)), **fields), None, most, USUAL_THOUGHT,
        temperature=job.temperature if attempt else 0.0, seed=job.seed + attempt, clock=clock,
    )  # fmt: skip
    return _Question(item, info, truth, request)


def _answered(
    item: Item, folder: Path, out: Path, backend: ModelBackend, job: TrajectoryJob, made: dict[str, Any]
) -> tuple[bool, str]:
    """Ask about an item until a reply is accepted or all tries are used; whether it was, and the line to write."""
    replies: list[dict[str, Any]] = []
    t = None
    for attempt in range(job.tries):
        q = _question(item, folder, backend, job, attempt)
        if (lacking := _unholdable(q.truth, job.form)) is not None:
            # no reply could change that, so none is paid for
            return False, _rejected(item, "not_strict", lacking, [], made)
        runner = CallRunner(backend, q.info, GroundingRequest(item.query))
        (reply,) = runner.ask([q.request])
        if reply.error is not None:
            raise backend.error_type(reply.error)
        pixels = backend.dialect.coordinates == "pixels"
        shown = reply.shown if min(reply.shown) > 0 else (q.info.width, q.info.height)
        t = make_trajectory(
            reply.text, q.truth, question_of(item, job.form), job.form, job.limits, id=item.id, finish=reply.finish,
            thought=reply.thought, coordinates="pixels" if pixels else "thousand", shown=shown,
        )  # fmt: skip
        text = t.text if job.coordinates == "truth" else teacher_text(t)
        if t.reason is None and not text:
            t.reason = "not_strict"
        replies.append(_said(t))
        if t.reason is None:
            assert t.replacement is not None
            more = {
                TRAJECTORY: text,
                MADE: made,
                TEACHER: {
                    "replies": replies, "times": [list(pair) for pair in t.replacement.times],
                    "box_iou": [round(x, 4) for x in t.replacement.boxes],
                    "dropped": [list(pair) for pair in t.replacement.dropped], "text": teacher_text(t),
                },
            }  # fmt: skip
            kept = replace(moved(item, folder / item.video, out.parent), extra=item.extra | more)
            return True, to_json(kept)
    assert t is not None
    return False, _rejected(item, t.reason, t.saw, replies, made)


def _rejected(item: Item, reason: str | None, saw: str, replies: list[dict[str, Any]], made: dict[str, Any]) -> str:
    """The line about an item without a trajectory."""
    line = {"id": item.id, "reason": reason, "saw": saw, "replies": replies, MADE: made}
    return json.dumps(line, ensure_ascii=False)


def _unholdable(truth: Truth, form: str) -> str | None:
    """Why a form cannot hold the right answer; None if it can."""
    try:
        FORMS[form].quantise(truth.answer(), truth.size, truth.shown)
    except RecordError as e:
        return str(e)
    return None


def _said(t: Trajectory) -> dict[str, Any]:
    """What is kept of a reply: the teacher's own error, and why the reply was rejected."""
    error = {} if t.error is None else {k: v for k, v in dataclasses.asdict(t.error).items() if v is not None}
    return error if t.reason is None else error | {"reason": t.reason, "saw": t.saw}
