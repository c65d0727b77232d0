"""The reader beside the ffmpeg command, frame for frame, on files of every kind that can be made here.

    python benchmarks/reader_against_ffmpeg.py [--minutes 20] [--only TEXT] [--redo] [--keep FOLDER]

A file is a container, a codec, a timing (constant rates, gaps, a rate that changes), a start of its clock, a turn
written in its header, and a way in which several recordings were put into it one after the other. All combinations that
this FFmpeg can write are tried, one small file each. What is compared: the number of frames, the pixels of each (a mean
difference of at most 6 of 255), the time of each (at most half a frame), and that frames read alone, in any order, are
those of the whole.

What ffmpeg itself does with a file is not always right, so both are also compared with what was written into it. A file
is *equal*; or *better*, if ffmpeg's frames or times are not those that were written and ours are; or *named*, if each
difference is named by a warning that fits it (see `NAMES`): of its kind, and of its place where the warning has one. A
file that both read only in part must say so, too, and is called *named* then. All else *differs*, which is a fault:
also a warning without a cause, and frames that are others when they are read alone or in a stream.

Results are stored by file in benchmarks/results/reader_against_ffmpeg.json. A rerun goes on where the last one stopped,
and begins anew if the reader has changed, or with `--redo`, as after a change of this script. The table is printed and
written to benchmarks/results/reader_against_ffmpeg.md.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# The encoder of AV1 writes a page of its settings for each file otherwise.
os.environ.setdefault("SVT_LOG", "0")
import av

RESULTS = Path(__file__).parent / "results" / "reader_against_ffmpeg.json"
WIDTH, HEIGHT, BITS = 96, 64, 8
#: Width and height of the second recording where they differ.
OTHER_SIZE = (128, 96)
#: Frames of a recording; its key frames are ten frames apart.
LENGTH = 24

Images = list[NDArray[np.uint8]]

# name -> (encoder, options, pixel format, B-frames, frames between key frames)
_FAST = {"preset": "ultrafast", "crf": "20", "sc_threshold": "0"}
_X264 = {"preset": "ultrafast", "crf": "20"}
CODECS: dict[str, tuple[str, dict[str, str], str, int, int]] = {
    "h264": ("libx264", {**_X264, "x264-params": "bframes=3:b-adapt=0:scenecut=0"}, "yuv420p", 3, 10),
    "h264 open": ("libx264", {**_X264, "x264-params": "bframes=3:b-adapt=0:open-gop=1"}, "yuv420p", 3, 10),
    "h264 no B": ("libx264", _FAST, "yuv420p", 0, 10),
    "h264 intra": ("libx264", _FAST, "yuv420p", 0, 1),
    "h264 refresh": ("libx264", {**_X264, "x264-params": "intra-refresh=1:bframes=0"}, "yuv420p", 0, 10),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:pools=1"}, "yuv420p", 3, 10),
    "mpeg1": ("mpeg1video", {"b": "900000"}, "yuv420p", 2, 10),
    "mpeg2": ("mpeg2video", {"b": "900000"}, "yuv420p", 2, 10),
    "mpeg4": ("mpeg4", {"b": "900000"}, "yuv420p", 0, 10),
    "mpeg4 B": ("mpeg4", {"b": "900000"}, "yuv420p", 2, 10),
    "msmpeg4": ("msmpeg4", {"b": "900000"}, "yuv420p", 0, 10),
    "wmv2": ("wmv2", {"b": "900000"}, "yuv420p", 0, 10),
    "flv1": ("flv", {"b": "900000"}, "yuv420p", 0, 10),
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "b": "900000"}, "yuv420p", 0, 10),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "900000"}, "yuv420p", 0, 10),
    "vp9 alt": ("libvpx-vp9", {"deadline": "good", "cpu-used": "8", "b": "500000", "lag-in-frames": "16",
                               "auto-alt-ref": "1"}, "yuv420p", 0, 24),
    "av1": ("libsvtav1", {"preset": "12", "crf": "30", "svtav1-params": "lp=1"}, "yuv420p", 0, 10),
    "mjpeg": ("mjpeg", {"q": "4"}, "yuvj420p", 0, 1),
    "ffv1": ("ffv1", {}, "yuv420p", 0, 1),
    "prores": ("prores_ks", {}, "yuv422p10le", 0, 1),
    "png": ("png", {}, "rgb24", 0, 1),
    "huffyuv": ("huffyuv", {}, "yuv422p", 0, 1),
}  # fmt: skip
# ending -> the format's name if the ending does not say it
CONTAINERS: dict[str, str | None] = {
    "mp4": None, "mov": None, "fragments.mp4": "mp4", "mkv": None, "webm": None, "ts": None, "m2ts": None, "mpg": None,
    "vob": None, "avi": None, "flv": None, "nut": None, "asf": None, "ogv": None, "mxf": None, "3gp": None,
    "h264": None, "hevc": None, "m2v": "mpeg2video", "m4v": "m4v", "ivf": None, "mjpeg": "mjpeg",
}  # fmt: skip
TIMINGS = ("25", "ntsc", "gaps", "change")
STARTS = (0.0, 5.0, -0.4)
TURNS = ("90", "180", "270", "hflip", "vflip", "transpose", "transverse")
JOINS = ("cat", "thrice", "overlap", "back", "hour", "other size", "other rate")
# A turn as the matrix (a, b, c, d) that maps stored to displayed coordinates.
_MATRICES = {
    "90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0), "hflip": (-1, 0, 0, 1), "vflip": (1, 0, 0, -1),
    "transpose": (0, 1, 1, 0), "transverse": (0, -1, -1, 0),
}  # fmt: skip


# Containers that count frames and store no times; what the codec says of its rate is all there is.
UNTIMED = {"mxf", "h264", "hevc", "m2v", "mjpeg"}
# Containers that store when packets are decoded, so that the times of the last of reordered frames are lost.
DECODING_TIMES = {"avi", "asf"}
# Containers whose edit list cuts off what lies before the clock's zero.
EDITED = {"mp4", "mov", "3gp"}

#: For each kind of difference, what a warning that names it says.
NAMES = {
    "frames": ("is not read", "no picture that can be read", "is cut off", "frames there are lost", "refused"),
    "pictures": ("damaged:",),
    "times": ("restart or jump", "are assumed", "times are estimates", "same time stamp"),
}
#: What each way of being named means, for the table: (difference, a part of the warning) -> why it cannot be equal.
REASONS = {
    ("frames", "is not read"): "recordings put together byte by byte: the container has one index or header, which "
    "ends the first; both read one recording, or ffmpeg takes the second for a continuation at wrong times",
    ("frames", "is cut off"): "the header of the last recording says how long it is; ffmpeg reads as little",
    ("frames", "no picture"): "what follows is in no stream that either of them opens",
    (
        "frames",
        "damaged",
    ): "an edit list begins in the middle of an intra refresh: ffmpeg leaves out the frames that cannot "
    "be decoded, ours fill their times",
    ("pictures", "damaged"): "pictures that cannot be decoded: what is shown in their place is the decoder's choice",
    (
        "times",
        "restart or jump",
    ): "ffmpeg repeats the restarted times; ours are on one clock, and within half a second of "
    "what was written, which the container does not keep exactly",
    ("times", "are assumed"): "the codec's rate is absent or absurd (600 a second): ffmpeg takes it, ours is 25",
    ("times", "are estimates"): "one frame of several has a time; ffmpeg gives the others times that go backwards",
    ("times", "same time stamp"): "several frames of one time: ffmpeg's command gives all, a player shows the last",
}


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        container: A key of `CONTAINERS`.
        codec: A key of `CODECS`.
        timing: One of `TIMINGS`.
        start: Seconds at which its clock begins.
        turn: One of `TURNS`, or nothing.
        join: One of `JOINS`, or nothing.
    """

    container: str
    codec: str
    timing: str = "25"
    start: float = 0.0
    turn: str = ""
    join: str = ""

    @property
    def name(self) -> str:
        """Its key in the results."""
        more = [f"from {self.start:g} s"] * bool(self.start) + [x for x in (self.turn, self.join) if x]
        return " · ".join([self.container, self.codec, self.timing, *more])


def cases() -> Iterator[Case]:
    """All combinations of container and codec, each with one thing more: timing and start, turn, or join."""
    pairs = [(container, codec) for container in CONTAINERS for codec in CODECS]
    for container, codec in pairs:
        for join in JOINS:
            yield Case(container, codec, join=join)
    for container, codec in pairs:
        for timing in TIMINGS:
            for start in STARTS if timing in ("25", "gaps") else (0.0,):
                yield Case(container, codec, timing, start)
        for turn in TURNS if container in ("mp4", "mov") else ():
            yield Case(container, codec, turn=turn)


# --- making files ---


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """A soft picture, different at all sides, with its number in 8 black and white cells along the top."""
    y, x = np.mgrid[:height, :width]
    red = 60 + 120 * x / width
    green = 60 + 120 * y / height
    blue = 128 + 50 * np.sin(2 * np.pi * (x / width + number / 13))
    image = np.stack([red, green, blue], -1).astype(np.uint8)
    for bit in range(BITS):
        image[: height // 4, bit * width // BITS : (bit + 1) * width // BITS] = 220 if number >> bit & 1 else 30
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """The number on a picture of any size."""
    height, width = image.shape[:2]
    rows = slice(height // 16, height // 5)
    cells = [image[rows, int((b + 0.3) * width / BITS) : int((b + 0.7) * width / BITS)].mean() for b in range(BITS)]
    return sum(1 << b for b, grey in enumerate(cells) if grey > 125)


def times_of(timing: str) -> list[Fraction]:
    """Seconds at which the frames of a recording are shown."""
    if timing == "gaps":
        steps = [1, 1, 4, 2, 1, 9, 1, 3] * 3
        return [Fraction(sum(steps[:k]), 25) for k in range(LENGTH)]
    if timing == "change":
        return [Fraction(k, 25) if k < 12 else Fraction(12, 25) + Fraction(k - 12, 10) for k in range(LENGTH)]
    rate = {"ntsc": Fraction(30_000, 1001)}.get(timing) or Fraction(timing)
    return [k / rate for k in range(LENGTH)]


def record(path: Path, case: Case, first: int = 0, start: float = 0.0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """Write one recording whose frames are numbered from `first`."""
    encoder, options, pix_fmt, b_frames, gop = CODECS[case.codec]
    times = times_of(case.timing)
    rate = 1 / (times[1] - times[0])
    uneven = case.timing in ("gaps", "change") and case.container not in ("avi", "mxf")
    clock = Fraction(1, 600) if uneven else 1 / rate
    muxer = {"movflags": "frag_keyframe+empty_moov"} if case.container == "fragments.mp4" else {}
    with av.open(str(path), "w", format=CONTAINERS[case.container], options=muxer) as out:
        stream = out.add_stream(encoder, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = clock
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.options = dict(options)
        shift = round(Fraction(start) / clock)
        packets = []
        for k, t in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(first + k, *size), "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(t / clock), clock
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            assert packet.pts is not None and packet.dts is not None
            packet.pts += shift
            packet.dts += shift
            packet.stream = stream
            out.mux(packet)


def make(folder: Path, case: Case) -> tuple[Path, list[int]]:
    """The file of a case and the numbers on its pictures; fails if FFmpeg cannot write it."""
    path = folder / f"file.{case.container}"
    length = float(times_of(case.timing)[-1]) + 0.04
    if not case.join:
        record(path, case, start=case.start)
        if case.turn:
            turn(path, case.turn)
        return path, list(range(LENGTH))
    begins = {"thrice": [0, 0, 0], "overlap": [0, length - 0.12], "back": [3, 1], "hour": [0, 3600]}
    data = b""
    for k, begin in enumerate(begins.get(case.join, [0, 0])):
        part = folder / f"part.{case.container}"
        other = Case(case.container, case.codec, "10") if k and case.join == "other rate" else case
        size = OTHER_SIZE if k and case.join == "other size" else (WIDTH, HEIGHT)
        record(part, other, LENGTH * k, begin, size)
        data += part.read_bytes()
    path.write_bytes(data)
    return path, list(range(LENGTH * len(begins.get(case.join, [0, 0]))))


def turn(path: Path, name: str) -> None:
    """Write a turn into the header of an mp4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = _MATRICES[name]
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


# --- reading them ---


def read_by_ffmpeg(path: Path) -> tuple[Images, list[float]]:
    """All frames in the order in which the ffmpeg command gives them, and their seconds from the first."""
    command = ["ffmpeg", "-nostdin", "-v", "info", "-i", f"file:{path}", "-map", "0:V:0", "-fps_mode", "passthrough"]
    command += ["-vf", "showinfo", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    told = done.stderr.decode(errors="replace")
    sizes = re.findall(r"\bn: *\d+ pts: *\S+ pts_time:(\S+) .*? s:(\d+)x(\d+) ", told)
    out = re.search(r"Video: rawvideo.*?, (\d+)x(\d+)", told)
    if not sizes or out is None:
        return [], []
    width, height = int(out[1]), int(out[2])
    images = list(np.frombuffer(done.stdout, np.uint8)[: len(sizes) * width * height * 3].reshape(-1, height, width, 3))
    seconds = [float(t) if t != "NOPTS" else float("nan") for t, _, _ in sizes]
    return images, [t - seconds[0] for t in seconds[: len(images)]]


def read_by_us(path: Path) -> tuple[Images, list[float], list[str]]:
    """All frames, their seconds, and warnings; a warning too if frames read alone or in a stream are others."""
    from whenwhere.video import probe, read_frames, stream_frames

    info = probe(path)
    frames = read_frames(info, info.times)
    streamed: list[str] = []
    faults = []
    whole = [image for _, image in stream_frames(info, warnings=streamed)]
    if len(whole) != len(frames) or any((a != b).any() for a, b in zip(whole, frames.images, strict=True)):
        faults.append("FAULT: the stream gives other frames")
    for k in (len(info.times) - 2, len(info.times) // 2, 3):
        if 0 <= k < len(frames) and (read_frames(info, [info.times[k]]).images[0] != frames.images[k]).any():
            faults.append(f"FAULT: frame {k} read alone is another")
    return list(frames.images), info.times.tolist(), [*frames.warnings, *faults]


@dataclass(frozen=True)
class Written:
    """What was written into a file, and what of it can be found there.

    Attributes:
        numbers: The numbers on its pictures.
        seconds: When each of them is shown, from the first; NaN where the container does not keep it.
    """

    numbers: list[int]
    seconds: list[float]

    def is_read(self, images: Images, seconds: list[float]) -> bool:
        """Whether these frames are those that were written, as far as they go."""
        if [number_of(image) for image in images] != self.numbers[: len(images)]:
            return False
        known = np.array(self.seconds[: len(images)])
        return bool(np.allclose(seconds, np.where(np.isnan(known), seconds, known), atol=0.02))


def written(case: Case, numbers: list[int]) -> list[Written]:
    """What a right reading of a case gives; several where it is a matter of taste."""
    times = [float(t) for t in times_of("25" if case.container in UNTIMED and case.timing != "ntsc" else case.timing)]
    step = times[1]
    whole: list[float] = []
    for part in range(len(numbers) // LENGTH):
        slow = 2.5 if part and case.join == "other rate" and case.container not in UNTIMED | {"avi"} else 1
        begin = whole[-1] + step if whole else 0.0
        whole += [begin + slow * t for t in times]
    if case.container in DECODING_TIMES and CODECS[case.codec][3]:
        whole[-3:] = [float("nan")] * 3
    if case.container == "ogv" and case.join == "other rate":
        # FFmpeg counts on at the first header's rate.
        whole[LENGTH:] = [float("nan")] * (len(whole) - LENGTH)
    if case.container == "avi" and case.join:
        # A second recording is counted on, after as many empty places as its clock is ahead.
        whole[LENGTH - 3 :] = [float("nan")] * (len(whole) - LENGTH + 3)
    found = [Written(numbers, whole)]
    if case.start < 0 and case.container in EDITED:
        first = next(k for k, t in enumerate(times) if t >= -case.start)
        found = [Written(numbers[first:], [t - times[first] for t in times[first:]])]
    return found


def differences(ours: Images, our_times: list[float], theirs: Images, their_times: list[float]) -> dict[str, str]:
    """How two readings differ, by the kinds of `NAMES`; the places of the frames follow after an @."""
    if len(ours) != len(theirs):
        return {"frames": f"{len(ours)} frames, ffmpeg {len(theirs)}"}
    if ours and ours[0].shape != theirs[0].shape:
        (height, width, _), (their_height, their_width, _) = ours[0].shape, theirs[0].shape
        return {"pictures": f"{width}x{height} pictures, ffmpeg {their_width}x{their_height}"}
    found = {}
    if far := [k for k, (a, b) in enumerate(zip(ours, theirs, strict=True)) if np.abs(a.astype(int) - b).mean() > 6]:
        places = ", ".join(f"{our_times[k]:.2f}" for k in far)
        found["pictures"] = f"{len(far)} other pictures, of {len(ours)}@{places}"
    step = float(np.median(np.diff(our_times))) if len(our_times) > 1 else 1.0
    late = [k for k, (a, b) in enumerate(zip(our_times, their_times, strict=True)) if not abs(a - b) <= step / 2]
    if late:
        k = late[0]
        text = f"{len(late)} other times: frame {k} at {our_times[k]:.3f} s, ffmpeg {their_times[k]:.3f} s"
        found["times"] = f"{text}@{our_times[k]:.2f}"
    return found


def names(warning: str, kind: str, places: str) -> bool:
    """Whether a warning names a difference of a kind at some places, which are seconds separated by commas."""
    if not any(part in warning for part in NAMES[kind]):
        return False
    seconds = [float(place) for place in places.split(", ")] if places else []
    if "damaged:" in warning:
        spans = re.findall(r"(\d+\.\d)(?:-(\d+\.\d))? s", warning)
        return "more places" in warning or all(
            any(float(a) - 0.06 <= t <= float(b or a) + 0.06 for a, b in spans) for t in seconds
        )
    if "restart or jump" in warning:
        first = min(float(t) for t in re.findall(r"(\d+\.\d) s", warning.partition(" at ")[2]))
        return all(t >= first - 0.06 for t in seconds)
    return True


def compare(path: Path, case: Case, numbers: list[int]) -> str:
    """What both make of a file: equal, better, named or differs, and what is different."""
    from whenwhere.errors import WhenwhereError

    theirs, their_times = read_by_ffmpeg(path)
    truths = written(case, numbers)
    try:
        ours, our_times, warnings = read_by_us(path)
    except WhenwhereError as e:
        return f"{'named' if theirs else 'equal'}: refused: {e.args[0].replace(str(path), 'it')}"
    except Exception as e:
        return f"differs: {type(e).__name__}: {e}"
    begun = [truth for truth in truths if truth.is_read(ours, our_times)]
    theirs_begun = [truth for truth in truths if truth.is_read(theirs, their_times)]
    right = any(len(ours) == len(truth.numbers) for truth in begun)
    theirs_right = any(len(theirs) == len(truth.numbers) for truth in theirs_begun)
    found = differences(ours, our_times, theirs, their_times)
    if begun and len(ours) == len(theirs) and "pictures" not in found:
        # Times that the container does not keep, or those that ffmpeg alone has wrong in what both read.
        found = found if right and not theirs_begun else {}
    shown = [number_of(image) for image in ours]
    if "frames" in found and not theirs_begun and not right and any(shown == truth.numbers for truth in truths):
        # All pictures are there, as they are not in ffmpeg's; only their times can be wrong.
        found = {"times": f"{len(ours)} frames at other times than were written, ffmpeg has {len(theirs)} others"}
    better = bool(found) and right and not theirs_right
    least = min(len(truth.numbers) for truth in truths)
    if not better and "frames" not in found and len(ours) < least:
        found["frames"] = f"{len(ours)} of {len(numbers)} frames, as ffmpeg"
    damaged = any("damaged:" in w for w in warnings)
    # What a decoder makes of damaged frames depends on where it began.
    faults = [w for w in warnings if w.startswith("FAULT") and not damaged]
    estimated = any("are assumed" in w or "are estimates" in w for w in warnings)
    if (
        "times" in found
        and not estimated
        and all(abs(our_times[-1] - t.seconds[len(ours) - 1]) > 0.5 for t in truths if len(ours) <= len(t.seconds))
    ):
        faults.append("FAULT: the times lead astray")
    unnamed = [
        text for kind, text in found.items() if not any(names(w, kind, text.partition("@")[2]) for w in warnings)
    ]
    if "frames" in found and (damaged or any("restart or jump" in w for w in warnings)) and len(ours) >= least:
        # More frames than were written, or than ffmpeg shows: only the pictures or their times can be wrong.
        unnamed = [text for text in unnamed if text != found["frames"]]
    faults += [f"without a cause: {w}" for w in warnings if right and is_false(w, case)]
    texts = [text.partition("@")[0] for text in found.values()]
    verdict = "differs" if faults or (unnamed and not better) else "better" if better else "named" if found else "equal"
    return f"{verdict}: {'; '.join([*texts, *faults, *warnings])}".removesuffix(": ")


def is_false(warning: str, case: Case) -> bool:
    """Whether a warning about a file all of whose frames are read, at the right times, has no cause."""
    if "are assumed" in warning:
        return case.container not in UNTIMED
    if "times are estimates" in warning:
        # A programme stream stamps one frame of a pack.
        return case.container not in ("mpg", "vob")
    # Ogg's times before zero are written as huge numbers.
    restarts = case.join or (case.container == "ogv" and case.start < 0)
    return not (restarts and "restart or jump" in warning)


def run(case: Case, folder: Path) -> str:
    """Make the file of a case and compare; impossible where FFmpeg cannot write it."""
    try:
        path, numbers = make(folder, case)
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as e:
        return f"impossible: {type(e).__name__}"
    return compare(path, case, numbers)


def verdict_of(result: str) -> str:
    """The first word of a result."""
    return result.split(":")[0]


def table(results: dict[str, str]) -> str:
    """Counts by kind of file, the reasons of those that cannot be equal, and every file that differs."""
    verdicts = ("equal", "better", "named", "differs")
    lines = [f"| files | {' | '.join(verdicts)} |", "|---|" + "---:|" * len(verdicts)]
    kinds = {
        "timing and start": lambda c: not c.turn and not c.join,
        "turns": lambda c: c.turn,
        "joins": lambda c: c.join,
    }
    made = [(c, r) for c in cases() if (r := results.get(c.name)) and verdict_of(r) != "impossible"]
    for kind, belongs in [*kinds.items(), ("all", lambda c: True)]:
        counts = Counter(verdict_of(r) for c, r in made if belongs(c))
        lines.append(f"| {kind} | {' | '.join(str(counts[v]) for v in verdicts)} |")
    lines += ["", f"{len(made)} files were compared with {results.get('ffmpeg', 'ffmpeg')}.", ""]
    reasons: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], Counter[str]] = {}
    for case, result in made:
        if verdict_of(result) in ("better", "named"):
            reason = reason_of(result)
            reasons[reason] += 1
            where.setdefault(reason, Counter())[case.container] += 1
    lines += ["| files | verdict | why | containers |", "|---:|---|---|---|"]
    for (verdict, why), count in reasons.most_common():
        containers = ", ".join(f"{name} {n}" for name, n in where[verdict, why].most_common())
        lines.append(f"| {count} | {verdict} | {why} | {containers} |")
    lines += ["", *(f"- {c.name}: {r}" for c, r in made if verdict_of(r) == "differs")]
    return "\n".join(lines).rstrip() + "\n"


def reason_of(result: str) -> tuple[str, str]:
    """The verdict, and in words why a file is not equal."""
    verdict, _, text = result.partition(": ")
    parts = text.split("; ")
    kind = next(
        (
            k
            for k, word in (("times", "other times"), ("frames", " frames"), ("pictures", "pictures"))
            if word in parts[0]
        ),
        "times",
    )
    if verdict == "better":
        other = {"frames": "has fewer or more frames", "pictures": "has other pictures", "times": "has other times"}
        return verdict, f"ours is what was written, ffmpeg {other[kind]}"
    if parts[0].startswith("refused"):
        return verdict, parts[0]
    for (named, word), why in REASONS.items():
        if named == kind and any(word in part for part in parts[1:]):
            return verdict, f"{word}: {why}"
    return verdict, "other"


def code_version() -> str:
    """A hash of the reader, so that results of two versions of it are never mixed."""
    import whenwhere.video

    files = sorted(Path(whenwhere.video.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def main() -> None:
    """Run what is missing, then print the table."""
    from whenwhere.store import write_text

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", default="", help="only files whose name contains this text")
    parser.add_argument("--redo", action="store_true")
    parser.add_argument("--keep", type=Path, help="a folder for the files that differ")
    args = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    results: dict[str, str] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    if args.redo or results.get("code") != code_version():
        results = {"code": code_version()}
    results["ffmpeg"] = f"ffmpeg {version.split('-')[0]}"
    until = time.monotonic() + 60 * args.minutes
    saved = time.monotonic()
    for case in cases():
        if args.only not in case.name or case.name in results:
            continue
        if time.monotonic() > until:
            print("time is over: run it again to go on")
            break
        with tempfile.TemporaryDirectory() as folder:
            results[case.name] = run(case, Path(folder))[:240]
            if verdict_of(results[case.name]) == "differs":
                print(f"{case.name}: {results[case.name]}", flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    kept = args.keep / (re.sub(r"[^\w.]+", "_", case.name) + "." + case.container)
                    shutil.copy(Path(folder) / f"file.{case.container}", kept)
        if time.monotonic() - saved > 20:
            write_text(RESULTS, json.dumps(results, indent=0, ensure_ascii=False) + "\n")
            saved = time.monotonic()
    write_text(RESULTS, json.dumps(results, indent=0, ensure_ascii=False) + "\n")
    write_text(RESULTS.with_suffix(".md"), table(results))
    print(table(results))


if __name__ == "__main__":
    main()
