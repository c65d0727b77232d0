"""Captions of one clip at several scales, and what is measured about them: `caption_clip`.

The scales are those of InternVid (arXiv 2307.06942, section 3): the *coarse* caption is that of the middle frame, the
*fine* one joins the captions or tags of single frames at a low rate, and the *fused* one is a language model's summary
of both.
A record keeps all of them for the same clip, which InternVid's release does not, so that a model can be trained from
each, on the same clips (`captions = "coarse"` in a recipe).

`caption_clip` is a function of one item: it reads the frames, asks the models, measures, and returns the item with its
captions. `caption_videos` (`curate.captioning`) calls it for a whole corpus, and other engines can too.

A caption that cannot be used (empty, refused, cut off, in another script) is left empty, and its reason is recorded. If
a call fails, the clip fails too, because asking again may help.

Left out: a language model that merges the fine captions. InternVid publishes neither its prompt nor its rate; here the
captions are joined in order of time, without those that repeat the one before, and the fusing model sees all of them.
"""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.chat import ChatRequest, Client
from whenwhere.curate.claims import check_claims
from whenwhere.curate.clip_tracks import TrackSource
from whenwhere.curate.shots import check_shots
from whenwhere.curate.similarity import normalised
from whenwhere.curate.trajectory_checks import foreign_share
from whenwhere.datasets.item import Item
from whenwhere.errors import ModelError, SettingError, check_range
from whenwhere.models.captioners import Captioner, ClipFrames, call_function, load_function
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.spans import Span
from whenwhere.store import checksum
from whenwhere.video import VideoInfo, probe, read_frames
from whenwhere.video.extract import extract_clip

#: The scales of captions; a record keeps each under `caption_<scale>` of its `extra`.
SCALES = ("coarse", "fine", "fused")
#: Keys of an item's `extra` for how its captions were made, and for the captions of single frames.
MADE, FRAMES = "captions_of", "frame_captions"
#: Number of frames, evenly spaced, that are scored for aesthetics and that an image encoder sees; InternVid takes four.
FEW = 4

PROMPT = (
    "One video clip of {seconds:.1f} seconds was captioned by models that each saw single frames of it.\n{captions}\n"
    "Write one plain English sentence of at most {words} words that says what the clip shows and what happens in it, "
    "in order of time. Say nothing that the captions do not say. Output the sentence alone."
)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)
_LEAD = re.compile(
    r"^(?:sure[,!.]?\s*)?(?:(?:fused |video |clip )?(?:caption|summary|sentence)\s*:"
    r"|here(?: is|'s) [\w ]{0,30}\b(?:caption|summary|sentence|description)\b[^:\n]{0,40}:)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CaptionJob:
    """Which captions are made of a clip, by which models, and from which frames.

    Attributes:
        coarse: Name of the captioner of the middle frame (`models.captioners`). "" makes no coarse captions.
        fine: Name of the captioner or tagger of the frames. "" makes no fine captions.
        fused: The language model that fuses both: the address of a server, or `module:function` of a function
            from the coarse caption and the list of (seconds, text) of the frames to a text. "" fuses nothing.
        coarse_prompt: What the coarse captioner is asked; "" is the default of its kind.
        fine_prompt: What the fine captioner is asked, such as `<OD>` for tags of Florence-2; "" is the default.
        fps: Frames per second that the fine captioner sees.
        frames: Most frames of a clip that the fine captioner sees, evenly spaced.
        width: Largest width of a frame in pixels.
        words: Most words of a fused caption that the language model is asked for.
        shots: How clips are found: a name or function of `curate.shots`.
        shortest: Shots that last fewer seconds are left out.
        longest: Shots that last more seconds are divided into equal parts.
        encoder: Video-text encoder that measures the similarity of clip and captions. "" measures none.
        aesthetics: `module:function` of a function from frames, shape (n, h, w, 3), uint8 RGB, to one score or n. ""
            measures none.
        detector: Detector whose tracks the claims of captions are compared with. "" uses given tracks, or none.
        vocabulary: What the detector looks for in each clip besides what the captions name, to measure recall.

    Raises:
        SettingError: A setting is out of its range, or there is neither a coarse nor a fine captioner.
    """

    coarse: str = ""
    fine: str = ""
    fused: str = ""
    coarse_prompt: str = ""
    fine_prompt: str = ""
    fps: float = 1.0
    frames: int = 32
    width: int = 384
    words: int = 30
    shots: str = "content"
    shortest: float = 2.0
    longest: float = 30.0
    encoder: str = ""
    aesthetics: str = ""
    detector: str = ""
    vocabulary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.coarse or self.fine):
            raise SettingError("there is no captioner: give a coarse one, a fine one, or both")
        if self.vocabulary and not self.detector:
            raise SettingError("a vocabulary is what a detector looks for: name a detector, or leave it out")
        check_range(self.fps, 1e-3, 1000, "the number of frames per second")
        check_range(self.frames, 1, 10_000, "the number of frames of a clip")
        check_range(self.width, 16, 8192, "the width of frames in pixels")
        check_range(self.words, 5, 500, "the number of words of a fused caption")
        check_range(self.shortest, 0, 1e6, "the length of the shortest clip in seconds")
        check_range(self.longest, 0, 1e6, "the length of the longest clip in seconds")
        if not self.longest > max(self.shortest, 0.1):
            raise SettingError(
                f"the longest clips last {self.longest:g} s, which must be more than the shortest "
                f"({self.shortest:g} s) and more than 0.1 s"
            )
        check_shots(self.shots)

    def made(self) -> dict[str, Any]:
        """The settings that the result depends on, as JSON values; they are kept with every captioned item."""
        return {key: value for key, value in asdict(self).items() if value not in ("", (), [])}


class Summariser(Protocol):
    """Fuses the captions of a clip into one.

    Attributes:
        concurrency: Number of clips about which it can be asked at the same time.
    """

    concurrency: int

    def fuse(self, coarse: str, frames: Sequence[tuple[float, str]], seconds: float, words: int) -> tuple[str, str]:
        """Fuse the captions of a clip.

        Args:
            coarse: The coarse caption; may be "".
            frames: Seconds from the clip's start and caption of each frame.
            seconds: Length of the clip in seconds.
            words: Most words of the fused caption.

        Returns:
            The caption, and why it cannot be used ("" if it can).

        Raises:
            ChatError, ModelError: There is no answer.
        """


class ChatSummariser:
    """Asks a language model at an address to fuse captions.

    Args:
        client: The connection to its server.
        concurrency: Number of clips about which it is asked at the same time.
    """

    def __init__(self, client: Client, concurrency: int = 8) -> None:
        self.client, self.concurrency = client, concurrency

    def fuse(self, coarse: str, frames: Sequence[tuple[float, str]], seconds: float, words: int) -> tuple[str, str]:
        """See `Summariser`."""
        answer = self.client.complete(self.request(coarse, frames, seconds, words))
        if answer.finish != "stop":
            return "", "declined" if answer.finish == "refused" else "cut off"
        return clean_summary(answer.text), ""

    def request(self, coarse: str, frames: Sequence[tuple[float, str]], seconds: float, words: int) -> ChatRequest:
        """The request that `fuse` sends, with the same arguments."""
        lines = [f"The middle frame: {coarse}"] if coarse else []
        lines += [f"The frame at {t:.1f} s: {text}" for t, text in frames]
        text = PROMPT.format(seconds=seconds, captions="\n".join(lines), words=words)
        return ChatRequest.of(text, max_tokens=max(64, 4 * words))


class FunctionSummariser:
    """Calls a user's function that fuses captions, in one thread at a time.

    Args:
        name: The function, `module:function`, from the coarse caption and a list of (seconds, text) to a text.

    Raises:
        SettingError: There is no such function.
    """

    concurrency = 1

    def __init__(self, name: str) -> None:
        self.name, self._function = name, load_function(name, "a function that fuses captions")
        self._lock = threading.Lock()

    def fuse(self, coarse: str, frames: Sequence[tuple[float, str]], seconds: float, words: int) -> tuple[str, str]:
        """See `Summariser`."""
        with self._lock:
            given = call_function(self.name, self._function, coarse, list(frames))
        if not isinstance(given, str):
            raise ModelError(
                f"{self.name} returned {type(given).__name__} where a text is expected: mend that function"
            )
        return " ".join(given.split()), ""


@dataclass(eq=False)
class CaptionModels:
    """The models that `caption_clip` asks; each of them may be None.

    Attributes:
        coarse: The captioner of the middle frame.
        fine: The captioner of the frames.
        summariser: Fuses both captions.
        encoder: The encoder for the similarity of clip and captions.
        aesthetics: The function that scores frames.
        tracks: Source of the tracks that the claims of captions are compared with.
        lock: Held while a model is asked that takes one thread at a time.
    """

    coarse: Captioner | None = None
    fine: Captioner | None = None
    summariser: Summariser | None = None
    encoder: Encoder | None = None
    aesthetics: Callable[[NDArray[np.uint8]], Any] | None = None
    tracks: TrackSource | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def concurrency(self) -> int:
        """Number of clips that are worth working on at the same time, at least 2."""
        return max(2, *(one.concurrency for one in (self.coarse, self.fine, self.summariser) if one is not None))


def caption_clip(
    item: Item, folder: Path, models: CaptionModels, job: CaptionJob, info: VideoInfo | None = None,
    clips: Path | None = None, threads: int | None = 1,
) -> Item:  # fmt: skip
    """Caption the clip of an item at every scale, and measure the captions.

    Args:
        item: The item. Its clip is its window, or else its first span, or else the whole video.
        folder: Folder that the path of its video is relative to.
        models: The models that are asked.
        job: Which captions are made, and from which frames.
        info: The probed video; None probes it.
        clips: Folder into which the clip is written as a file of its own. None writes none.
        threads: Threads for decoding; None uses all cores.

    Returns:
        The item with `caption_coarse`, `frame_captions`, `caption_fine`, `caption_fused` and further keys in `extra`.
        Its `query` is the last of the three scales that has a text, unless the item had a query.

    Raises:
        MediaError: The video cannot be read.
        ChatError, ModelError: A model gave no answer, or the clip lies outside its video.
        OutputError: The clip's file cannot be written.
    """
    info = info or probe(folder / item.video)
    span = clip_of(item, info)
    times = _times(job, info, span, models)
    wanted = np.unique(np.concatenate(list(times.values())))
    found = read_frames(info, wanted, min(job.width, info.width), threads)

    def frames(role: str) -> ClipFrames:
        rows = np.searchsorted(wanted, times[role])
        return ClipFrames(info.path, span.start, span.end, found.times[rows], found.images[rows])

    said: dict[str, str] = {}
    faults: dict[str, str] = {}
    rows: list[tuple[float, str]] = []
    if models.coarse is not None:
        said["coarse"] = plain_text(models.coarse.caption(frames("coarse"))[0])
    if models.fine is not None:
        shown = frames("fine")
        texts = map(plain_text, models.fine.caption(shown))
        rows = [(round(float(t), 3), text) for t, text in zip(shown.times, texts, strict=True)]
        said["fine"] = merge_frames([text for _, text in rows])
    if models.summariser is not None and any(said.values()):
        heard = [(max(t - span.start, 0.0), text) for t, text in rows if text]
        text, fault = models.summariser.fuse(said.get("coarse", ""), heard, span.duration, job.words)
        said["fused"] = text = plain_text(text)
        if not fault and text and foreign_share(text) > 0.3 and foreign_share(" ".join(said.values())) < 0.3:
            fault = "in another script"
        if fault:
            said["fused"], faults["fused"] = "", fault
    for scale, text in said.items():
        if not text:
            faults.setdefault(scale, "empty")
    extra: dict[str, Any] = {f"caption_{scale}": said.get(scale, "") for scale in SCALES}
    extra[FRAMES] = [[t, text] for t, text in rows]
    if faults:
        extra["caption_faults"] = faults
    extra |= _measured({k: v for k, v in said.items() if v}, frames, models, info, span)
    if clips is not None:
        extra |= _written(item, info, span, clips)
    query = item.query or next((said[scale] for scale in reversed(SCALES) if said.get(scale)), "")
    return replace(
        item, query=query, duration=item.duration or info.duration, fps=item.fps or info.fps, width=info.width,
        height=info.height, extra=item.extra | extra | {MADE: job.made()},
    )  # fmt: skip


def clip_of(item: Item, info: VideoInfo) -> Span:
    """The part of a video that an item is about: its window, or else its first span, or else all of it.

    Args:
        item: The item.
        info: The probed video, to which the part is cut.

    Raises:
        ModelError: The part lies outside the video.
    """
    spans = [Span(float(a), float(b)) for a, b in item.spans if a < b]
    span = item.window or (spans[0] if spans else Span(0.0, info.duration))
    start, end = max(span.start, 0.0), min(span.end, info.duration)
    if not start < end:
        raise ModelError(
            f"the clip ({span.start:g} to {span.end:g} s) lies outside its video, which lasts {info.duration:.2f} s: "
            "correct or remove the item"
        )
    return Span(start, end)


def merge_frames(texts: Sequence[str]) -> str:
    """Join the captions of frames in their order, without those that repeat the one before.

    Args:
        texts: The captions; empty ones are left out.

    >>> merge_frames(["a dog", "A dog.", "", "a dog runs", "a dog"])
    'a dog then a dog runs then a dog'
    """
    out: list[str] = []
    for text in texts:
        if text and (not out or normalised(text) != normalised(out[-1])):
            out.append(text)
    return " then ".join(text if k == len(out) - 1 else text.rstrip(" .;,") for k, text in enumerate(out))


def plain_text(text: str) -> str:
    r"""Write a text on one line, without characters that cannot be seen.

    Args:
        text: Any text.

    >>> plain_text("a dog\x00\n runs\u202e ")
    'a dog runs'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def clean_summary(text: str) -> str:
    """Extract the sentence from a language model's answer, without thinking, announcement and quotation marks.

    Args:
        text: The answer.

    >>> clean_summary('<think>Two scales.</think>Here is the caption: "A dog runs,  then sleeps."')
    'A dog runs, then sleeps.'
    """
    text = " ".join(_THOUGHT.sub(" ", text).replace("**", "").split())
    text = _LEAD.sub("", text).strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] + text[-1] in ('""', "“”", "''") else text


def frame_times(span: Span, fps: float, most: int) -> NDArray[np.float64]:
    """Times of the frames of a clip, in the middle of equal parts, at least one and at most `most`.

    Args:
        span: The clip.
        fps: Frames per second.
        most: Most frames.

    Returns:
        Increasing seconds of the video, shape (n,).

    >>> frame_times(Span(10, 12), 1.0, 32).tolist(), frame_times(Span(0, 9), 1.0, 3).tolist()
    ([10.5, 11.5], [1.5, 4.5, 7.5])
    """
    n = int(min(max(round(span.duration * fps), 1), most))
    times: NDArray[np.float64] = span.start + span.duration * (np.arange(n) + 0.5) / n
    return times


def _times(job: CaptionJob, info: VideoInfo, span: Span, models: CaptionModels) -> dict[str, NDArray[np.float64]]:
    """Times of the frames that each use of frames needs, in seconds: `coarse`, `fine` and `few`."""
    wanted = {"coarse": np.array([(span.start + span.end) / 2]), "fine": frame_times(span, job.fps, job.frames)}
    n = FEW if models.encoder is None or models.encoder.frames == 1 else models.encoder.frames
    wanted["few"] = frame_times(span, n / span.duration, n)
    # a clip that is shorter than a frame shows it several times
    return {role: info.times[info.shown(times)] for role, times in wanted.items()}


def _measured(
    said: dict[str, str], frames: Callable[[str], ClipFrames], models: CaptionModels, info: VideoInfo, span: Span
) -> dict[str, Any]:
    """Measure the similarity of clip and captions, the aesthetics of frames and the claims of captions."""
    out: dict[str, Any] = {}
    if models.encoder is not None and said:
        with models.lock:
            clip = models.encoder.embed_clips(frames("few").images[None]).pooled[0]
            texts = models.encoder.embed_texts(list(said.values()))
        out["similarity"] = {scale: round(float(t @ clip), 4) for scale, t in zip(said, texts, strict=True)}
    if models.aesthetics is not None:
        with models.lock:
            given = call_function("aesthetics", models.aesthetics, frames("few").images)
        try:
            score = float(np.max(np.asarray(given, float)))
        except (TypeError, ValueError) as e:
            raise ModelError("the function of aesthetics did not return a number for each frame: mend it") from e
        if not np.isfinite(score):
            raise ModelError("the function of aesthetics returned a score that is not finite: mend it")
        out["aesthetic"] = round(score, 4)
    if models.tracks is not None and said:
        shown = frames("fine")
        scene = models.tracks.of_clip(shown, span, info, list(said.values()))
        if scene is not None:
            out["claims"] = {
                scale: check_claims(text, scene.tracks, scene.width, scene.height, scene.labels).as_dict(scene.complete)
                for scale, text in said.items()
            }
    return out


def _written(item: Item, info: VideoInfo, span: Span, clips: Path) -> dict[str, Any]:
    """Write the clip as a file; what the record says about that file."""
    name = re.sub(r"[^A-Za-z0-9._=-]+", "__", item.id)[:150]
    if name != item.id:
        # two ids may differ only in what a file's name cannot hold
        name = f"{name}-{checksum(item.id.encode()).hex()[:8]}"
    path = clips / f"{name}.mp4"
    done = extract_clip(info, span, path)
    clip: dict[str, Any] = {"file": path.name, "copied": done.copied}
    if done.reason:
        clip["because"] = done.reason
    return {"clip": clip}
