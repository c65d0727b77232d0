"""Frames that are stored as two field pictures (PAFF): one frame each, whole, at its time."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.video import probe, read_frames, stream_frames
from whenwhere.video.fields import FieldPairs

sys.path.insert(0, str(Path(__file__).parent))
import clips
import field_pictures

PICTURES = [clips.picture(k, 320, 224).mean(-1).astype(np.uint8) for k in range(13)]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("name", ["a.h264", "a.ts", "a.mkv", "a.mp4", "a.avi"])
def test_two_fields_are_one_frame(name: str, together: bool, tmp_path: Path) -> None:
    info = probe(field_pictures.write(tmp_path / name, PICTURES, together=together))
    assert info.times == pytest.approx(np.arange(13) / 25, abs=1e-3)
    assert (info.fps_exact, info.duration) == (25, pytest.approx(13 / 25, abs=1e-3))
    frames = read_frames(info, info.times)
    assert not frames.warnings
    for image, picture in zip(frames.images, PICTURES, strict=True):
        # Both fields are there: every line is that of the picture, in the video's narrower range of grey.
        lines = np.abs(image.mean(-1) - np.clip((picture - 16.0) * 255 / 219, 0, 255)).mean(1)
        assert lines.max() < 3
    alone = [read_frames(info, [t]).images[0] for t in info.times[[12, 5, 0, 7]]]
    assert all((a == frames.images[k]).all() for a, k in zip(alone, [12, 5, 0, 7], strict=True))
    assert all((a == b).all() for (_, a), b in zip(stream_frames(info), frames.images, strict=True))


def test_a_lost_field_leaves_the_others_in_pairs() -> None:
    """The state begins anew with each pair; a field of the same kind, or of another frame, begins a new one."""
    fields = field_pictures.field_coded(PICTURES[:4])
    pairs = FieldPairs(None)
    assert [pairs.completes(memoryview(f)) for f in fields] == [False, True] * 4
    del fields[3]
    pairs = FieldPairs(None)
    assert [pairs.completes(memoryview(f)) for f in fields] == [False, True, False, False, True, False, True]
    assert not any(FieldPairs(None).completes(memoryview(a + b)) for a, b in pairwise(fields))


@given(st.lists(st.binary(max_size=40) | st.just(b"\0\0\1\x67") | st.just(b"\0\0\1\x65"), max_size=12))
def test_any_bytes_are_packets(pieces: list[bytes]) -> None:
    for extradata in (None, b"".join(pieces[:3]), b"\1" + b"".join(pieces[:3])):
        pairs = FieldPairs(extradata)
        for piece in pieces:
            pairs.completes(memoryview(piece))
