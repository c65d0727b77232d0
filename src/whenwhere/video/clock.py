"""When the frame of each packet is shown, on one clock for the whole video.

For most files this is what the container says. Three kinds mislead whoever believes it:

- Files put together from several (`cat a.ts b.ts`, playlists, restarted recorders): the stamps restart or jump. The
  parts are put one after the other, each beginning where the part before it ends, as the ffmpeg command does.
- Containers that store no presentation times (AVI, ASF, raw streams, Matroska's compatibility mode) and codecs that
  reorder frames: FFmpeg guesses, often wrongly. Only the decoder knows the order, so the stream is decoded once. Its
  frames are shown in the decoder's order; each waits for as many later packets as the deepest reordering needs.
- Streams in which only some packets are stamped: the decoder gives the order, and the stamps that exist the times.

A step of more than ten seconds counts as a jump only in containers whose clock may jump (MPEG streams, playlists);
elsewhere it is a picture that stands still.
"""

from bisect import insort
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whenwhere.video.info import NO_TICK, PacketTable
from whenwhere.video.order import decoded_frames, decoded_order, longest_increasing

#: Codecs whose packets may be stored in another order than their frames are shown.
REORDERING = {
    "h264", "hevc", "vvc", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "vc1", "wmv3", "rv30", "rv40", "cavs",
    "avs2", "avs3", "evc", "svq3", "dirac",
}  # fmt: skip
# The ffmpeg command takes a longer step for a jump of the clock.
_FAR = 10.0
# No frame is decoded before so many frames that are shown before it, in any codec.
_MOST_REORDERED = 16
# Packets decoded to see whether the decoder gives frames in the order of their stamps.
_HEAD = 64


@dataclass(frozen=True, eq=False)
class Clock:
    """The times of a stream's packets.

    Attributes:
        ticks: (n,) tick at which the packet's frame is shown; increases through all parts of the video.
        shown: (n,) whether the packet gives a displayed frame.
        tick: Length of a tick in seconds.
        start: The container's time of the first displayed frame, in seconds.
        joins: Increasing indices of the packets at which the container's stamps restart or jump.
        trusted: Whether the times were taken from the stamps of all packets, not found by decoding.
        resized: Increasing indices of the key packets at which the size of the pictures changes, if that is known.
        estimated: Number of frames whose times are estimates, because stamps are few and far from even.
    """

    ticks: NDArray[np.int64]
    shown: NDArray[np.bool_]
    tick: Fraction
    start: float
    joins: tuple[int, ...]
    trusted: bool
    resized: tuple[int, ...] = ()
    estimated: int = 0


def stamped_clock(
    stamps: NDArray[np.int64],
    table: PacketTable,
    durations: NDArray[np.int64],
    tick: Fraction,
    reorders: bool,
    jumps: bool,
) -> Clock:
    """The clock of a stream whose packets are all stamped.

    Args:
        stamps: (n,) when the frames of the packets are shown by the container's clock, in ticks.
        table: The packets.
        durations: (n,) declared durations in ticks, 0 if unknown.
        tick: Length of a tick in seconds.
        reorders: Whether the codec may store packets in another order than their frames are shown.
        jumps: Whether the container's clock may jump, so that a step of more than ten seconds is none.
    """
    shown = table.shown
    step = _typical_step(stamps)
    far = max(round(_FAR / tick), 10 * step) if jumps else None
    ticks, joins = stamps, tuple[int, ...]()
    keys = table.key if reorders and not table.key.all() else np.full(len(stamps), not reorders)
    if _suspicious(stamps, keys, far):
        ticks, starts = _parts(stamps, keys, step, far)
        ticks, joins = _one_after_the_other(ticks, starts, shown, durations), tuple(starts)
    return Clock(ticks, shown, tick, float(stamps[shown][np.argmin(ticks[shown])] * tick), joins, True)


def _typical_step(pts: NDArray[np.int64]) -> int:
    """The median distance of neighbouring frames, in ticks; at least 1."""
    steps = np.diff(np.unique(pts))
    return max(int(np.median(steps)), 1) if len(steps) else 1


def _suspicious(stamps: NDArray[np.int64], first: NDArray[np.bool_], far: int | None) -> bool:
    """Whether `_parts` must look closer: false for every file with one clock, and quick."""
    highest = np.maximum.accumulate(stamps)[:-1]
    later = stamps[1:]
    if far is not None and (later - highest > far).any():
        return True
    if (first[1:] & (later <= highest)).any():
        return True
    # The running 1st, 2nd ... 17th highest stamp: each is the running maximum of what the one before passed on.
    passed = stamps
    for _ in range(_MOST_REORDERED):
        passed = np.minimum(passed[1:], np.maximum.accumulate(passed)[:-1])
    return bool((stamps[_MOST_REORDERED + 1 :] < np.maximum.accumulate(passed)[:-1]).any())


def _parts(
    stamps: NDArray[np.int64], first: NDArray[np.bool_], step: int, far: int | None
) -> tuple[NDArray[np.int64], list[int]]:
    """The stamps with small disorder mended, and the packets at which the clock restarts or jumps.

    A frame that is shown after all those stored before it (`first`: a key frame, or any frame of a codec that does not
    reorder) tells of a restart if its stamp is not above theirs. So does any frame that would be shown before more of
    those stored before it than a decoder can hold back.
    """
    ticks = stamps.copy()
    joins: list[int] = []
    # The highest stamps of the part so far, in increasing order.
    top = [int(ticks[0])]
    for i in range(1, len(ticks)):
        now, highest = int(ticks[i]), top[-1]
        if far is not None and now - highest > far:
            later = stamps[i + 1 : i + 1 + _MOST_REORDERED]
            later = later[later - highest <= far]
            # A part begins with a key frame.
            restarts = bool(first[i]) or not len(later)
            if not restarts:
                # The demuxer took the stamp from the next part, for a frame that refers to those after it.
                now = max(highest, int(later.max())) + step
                ticks[i] = now
        elif first[i] and now <= highest:
            restarts = highest - now >= step or (now == highest and _goes_on(stamps[i:], step))
            if not restarts and now < highest:
                # A recorder's clock that trembles: the order of the packets counts.
                now = highest + 1
                ticks[i] = now
        else:
            restarts = len(top) > _MOST_REORDERED and now < top[0]
        if restarts:
            joins.append(i)
            top = [now]
        else:
            insort(top, now)
            del top[: -_MOST_REORDERED - 1]
    return ticks, joins


def _goes_on(pts: NDArray[np.int64], step: int) -> bool:
    """Whether the next frame follows the first one of these after a usual step, so that their clock is another one."""
    after = pts[1 : _MOST_REORDERED + 2]
    after = after[after > pts[0]]
    return bool(len(after)) and int(after.min() - pts[0]) < 1.5 * step


def _one_after_the_other(
    ticks: NDArray[np.int64], joins: list[int], shown: NDArray[np.bool_], durations: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The stamps moved so that each part begins where the part before it ends."""
    out = ticks.copy()
    borders = [0, *joins, len(ticks)]
    end: int | None = None
    for a, b in pairwise(borders):
        rows = a + np.flatnonzero(shown[a:b])
        if not len(rows):
            continue
        if end is not None:
            out[a:b] += end - int(ticks[rows].min())
        last = rows[np.argmax(out[rows])]
        end = int(out[last] + (durations[last] if durations[last] > 0 else _typical_step(ticks[rows])))
    return out


def is_guessed(path: str, table: PacketTable, stores_times: bool, declares_reordering: bool) -> bool:
    """Whether the stamps of a stream that may reorder frames are guesses of the demuxer, or wrong.

    Args:
        path: The file.
        table: The packets, all of them stamped.
        stores_times: Whether the container can store presentation times.
        declares_reordering: Whether the stream's header says that frames are reordered.
    """
    if (np.diff(table.pts) < 0).any():
        # Stamps that show reordering come from somebody who knew it.
        return not stores_times
    if stores_times and not declares_reordering:
        return False
    # No reordering in the stamps: the decoder's first frames tell whether there is none.
    order, _ = decoded_order(path, _HEAD)
    return bool((np.diff(order) < 0).any())


def in_decoded_order(path: str, clock: Clock, key: NDArray[np.bool_], second: NDArray[np.bool_]) -> Clock:
    """The clock with the frames around its joins in the order in which a decoder shows them.

    FFmpeg may guess the stamps of the last packets before a join by those after it. Only the groups of pictures beside
    joins are decoded. Times that contradict the decoder's order are put between their neighbours'.

    Args:
        path: The file.
        clock: The clock by the stamps.
        key: (n,) whether decoding may begin at the packet.
        second: (n,) whether the packet is the second field of a frame.
    """
    keys = np.append(np.flatnonzero(key), len(key))
    near = np.zeros(len(key) + 1, bool)
    starts = set(clock.joins)
    for join in clock.joins:
        place = int(np.searchsorted(keys, join))
        begin = int(keys[max(place - 2, 0)])
        near[begin : keys[min(place + 1, len(keys) - 1)]] = True
        starts |= {begin, join}
    wanted = set(np.flatnonzero(near).tolist())
    rows = np.array([row for row, _, _ in decoded_frames(path, wanted, frozenset(starts))], np.intp)
    rows = rows[rows < len(key)]
    rows = rows - second[rows]
    rows = rows[np.sort(np.unique(rows, return_index=True)[1])]
    rows = rows[clock.shown[rows]]
    ticks = clock.ticks[rows]
    if not len(rows) or (np.diff(ticks) > 0).all():
        return clock
    kept = longest_increasing(ticks.tolist())
    ticks = np.round(np.interp(np.arange(len(rows)), kept, ticks[kept])).astype(np.int64)
    out = clock.ticks.copy()
    out[rows] = ticks
    out[np.flatnonzero(second)] = out[np.flatnonzero(second) - 1]
    return replace(clock, ticks=out)


def decoded_clock(
    table: PacketTable,
    order: NDArray[np.intp],
    tick: Fraction,
    rate: Fraction,
    trusted: bool,
    jumps: bool,
    resized: tuple[int, ...] = (),
) -> Clock:
    """The clock of a stream whose frames are shown in the decoder's order.

    Args:
        table: The packets; stamps may be missing.
        order: Indices of packets in the order of their frames, as `decoded_order` gives it.
        tick: Length of a tick in seconds.
        rate: Frames per second, for streams that have no times at all.
        trusted: Whether the stamps that exist are those of their frames.
        jumps: Whether the container's clock may jump, so that a step of more than ten seconds is none.
        resized: Indices of the packets at which the size of the pictures changes.
    """
    # Of two frames of one packet, the later one stays on the screen.
    order = order[np.sort(len(order) - 1 - np.unique(order[::-1], return_index=True)[1])]
    shown = np.zeros(len(table), bool)
    shown[order] = True
    stamps = table.pts[order]
    known = np.flatnonzero(stamps != NO_TICK)
    joins = np.zeros(0, np.intp)
    start, estimated = 0.0, 0
    if trusted and len(known):
        times, restarts, even = _filled(stamps, known, float(1 / rate / tick), float(_FAR / tick) if jumps else np.inf)
        joins = np.sort(order[restarts])
        estimated = 0 if even else len(order) - len(known)
    else:
        times, joins = _from_decoding(table, order)
    if times[0] == NO_TICK or (np.diff(times) <= 0).any():
        times, tick, estimated = np.arange(len(order), dtype=np.int64), 1 / rate, 0
    else:
        start = float(times[0] * tick)
    ticks = np.full(len(table), times[0], np.int64)
    ticks[order] = times
    return Clock(ticks, shown, tick, start, tuple(joins.tolist()), False, resized, estimated)


def _from_decoding(table: PacketTable, order: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The times of frames in the order they are shown, from decoding times, and the key packets where these restart.

    A frame is shown when the decoder has seen the packets that it waits for: as many after its own place as the
    deepest reordering takes. The last frames, which wait for packets that do not come, follow at the usual step. The
    wait as such is taken off again, as the sound is not made to wait.

    Args:
        table: The packets; decoding times may be missing.
        order: Indices of packets in the order of their frames.
    """
    rows = np.sort(order)
    times = table.dts[rows]
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0)
    if (times == NO_TICK).any() or not len(steps) or 16 * len(back) > len(steps):
        # In disorder, so these were not decoding times.
        return np.sort(times), back[:0]
    lengths, counts = np.unique(steps[steps > 0], return_counts=True)
    step = int(lengths[counts.argmax()])
    steps[back] = step
    delay = int((np.searchsorted(rows, order) - np.arange(len(order))).max())
    times = times[0] + np.concatenate([[0], np.cumsum(steps), np.cumsum(np.full(delay, step)) + steps.sum()])
    # The demuxer may count on for a packet before it begins anew.
    keys = np.flatnonzero(table.key)
    begins = keys[np.maximum(np.searchsorted(keys, rows[back + 1], side="right") - 1, 0)]
    return (times[delay:] - delay * step).astype(np.int64), np.unique(begins)


def _filled(
    stamps: NDArray[np.int64], known: NDArray[np.intp], step: float, far: float
) -> tuple[NDArray[np.int64], NDArray[np.intp], bool]:
    """Stamps of all frames in the order they are shown, from those of some.

    Args:
        stamps: (n,) stamps; only some count.
        known: Increasing places of these.
        step: Usual distance of frames in ticks, if the stamps do not tell it.
        far: A longer step is a jump of the clock.

    Returns:
        The stamps, the places where they restart or jump, and whether the known ones are as even as their frames.
    """
    steps = np.diff(stamps[known]).astype(float)
    goes_on = (steps > 0) & (steps <= far)
    each = (steps / np.diff(known))[goes_on]
    step = float(np.median(each)) if len(each) else step
    even = bool((np.abs(each - step) <= max(1.0, 0.02 * step)).all())
    restarts = np.flatnonzero(~goes_on)
    steps[restarts] = step * np.diff(known)[restarts]
    values = float(stamps[known[0]]) + np.concatenate([[0.0], np.cumsum(steps)])
    places = np.arange(len(stamps))
    out = np.interp(places, known, values)
    out[: known[0]] = values[0] - step * (known[0] - places[: known[0]])
    out[known[-1] :] = values[-1] + step * (places[known[-1] :] - known[-1])
    return np.round(out).astype(np.int64), known[restarts + 1], even


def joins_sentence(seconds: NDArray[np.float64]) -> str:
    """A warning that names the times at which parts of a video begin.

    >>> joins_sentence(np.array([2.0, 4.04]))
    "the file's time stamps restart or jump at 2.0 s, 4.0 s: its parts are read one after the other"
    """
    named = ", ".join(f"{s:.1f} s" for s in seconds[:8])
    more = f" and {len(seconds) - 8} more places" if len(seconds) > 8 else ""
    return f"the file's time stamps restart or jump at {named}{more}: its parts are read one after the other"
