"""In which order a decoder shows the frames of a file, found by decoding all of it or the part that matters."""

import sys
from bisect import bisect_left
from collections.abc import Container
from contextlib import suppress
from itertools import pairwise

import av
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from whenwhere.video.media import opened, packets, video_stream


def decoded_order(path: str, most: int | None = None) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    """Indices of packets in the order in which a decoder shows their frames, and those at which their size changes.

    Some decoders drop the frames that they hold back when the size changes, so they are drained before.

    Args:
        path: The file.
        most: Number of packets to decode; None decodes all.
    """
    frames = decoded_frames(path, range(sys.maxsize if most is None else most))
    sizes = [(width, height) for _, width, height in frames]
    if len(set(sizes)) < 2:
        return np.array([row for row, _, _ in frames], np.intp), ()
    borders = [0, *(k for k in range(1, len(sizes)) if sizes[k] != sizes[k - 1]), len(sizes)]
    resized = sorted({min(row for row, _, _ in frames[a:b]) for a, b in pairwise(borders)} - {0})
    frames = decoded_frames(path, range(sys.maxsize if most is None else most), frozenset(resized))
    return np.array([row for row, _, _ in frames], np.intp), tuple(resized)


def decoded_frames(
    path: str, wanted: Container[int], drained: frozenset[int] = frozenset()
) -> list[tuple[int, int, int]]:
    """(index of the packet, width, height) of the frames of wanted packets, in the decoder's order.

    Args:
        path: The file.
        wanted: Indices of the packets to decode; it ends with the last of a range.
        drained: Indices of packets before which the decoder gives all that it holds back.
    """
    found: list[tuple[int, int, int]] = []
    with opened(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        context = stream.codec_context
        # Pixels do not matter here.
        context.options = {"skip_loop_filter": "all"}

        def decode(packet: Packet | None) -> None:
            with suppress(av.error.FFmpegError, EOFError):
                found.extend((f.pts, f.width, f.height) for f in context.decode(packet) if f.pts is not None)

        for number, packet in enumerate(packets(container, stream)):
            if isinstance(wanted, range) and number >= wanted.stop:
                break
            if number in drained:
                decode(None)
                context.flush_buffers()
            if number not in wanted:
                continue
            packet.pts = number
            decode(packet)
        decode(None)
    return found


def longest_increasing(values: list[int]) -> list[int]:
    """Places of a longest increasing run of values, others between them left out.

    >>> longest_increasing([1, 2, 4, 5, 3, 6])
    [0, 1, 2, 3, 5]
    """
    # The least last value of a run of each length, its place, and the place before each place in its run.
    ends: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        length = bisect_left(ends, value)
        ends[length:] = [value, *ends[length + 1 :]]
        places[length:] = [place, *places[length + 1 :]]
        before.append(places[length - 1] if length else -1)
    out: list[int] = []
    place = places[-1]
    while place >= 0:
        out.append(place)
        place = before[place]
    return out[::-1]
