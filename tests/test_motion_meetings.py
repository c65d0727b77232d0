"""Removing cast shadows, telling actors apart after a meeting, empty places of parked cars."""

import numpy as np
import pytest

from whenwhere.grounders.motion.blobs import Blob, without_shadows
from whenwhere.grounders.motion.stationary_tracks import extended_tracks
from whenwhere.grounders.motion.tracks import BlobTrack, colour_distance, split_at_meetings, stitch_tracks


def look(column: int) -> np.ndarray:
    colour = np.zeros((5, 13), np.float32)
    colour[:, column] = 1
    return colour


def track(times, xs, columns, shared=()) -> BlobTrack:
    made = BlobTrack()
    for i, (t, x, c) in enumerate(zip(times, xs, columns, strict=True)):
        box = np.array([x, 50.0, x + 20, 110])
        made.add(t, Blob(box, 900.0, 1.0, look(c), np.ones((60, 20), bool)), shared=i in shared)
    return made


def test_a_flat_dark_tail_is_shadow():
    weak = np.zeros((120, 160), np.uint8)
    weak[20:90, 60:80] = 1  # somebody
    weak[82:88, 80:120] = 1  # and its cast shadow
    shadow = np.zeros(weak.shape, bool)
    shadow[82:88, 80:120] = True
    kept = without_shadows(weak, shadow)
    assert kept[30:80, 62:78].all() and not kept[:, 84:].any()
    # a region of another tint is not a shadow
    assert without_shadows(weak, np.zeros_like(shadow))[83:87, 100].all()


def test_a_dark_thing_is_not_its_own_shadow():
    weak = np.zeros((120, 160), np.uint8)
    weak[40:80, 30:110] = 1
    assert without_shadows(weak, weak > 0)[45:75, 35:105].all()


@pytest.mark.parametrize(("after", "pieces"), [(7, 2), (3, 1)])
def test_a_track_is_cut_where_the_look_changes_in_a_meeting(after, pieces):
    times = np.arange(30) / 6
    made = track(times, 40 + 4 * np.arange(30.0), [3] * 15 + [after] * 15, shared=range(12, 18))
    assert len(split_at_meetings([made], 320, 180)) == pieces


def test_two_who_swap_in_a_meeting_are_joined_again_by_their_looks():
    times = np.arange(30) / 6
    right = track(times, 40 + 4 * np.arange(30.0), [3] * 15 + [7] * 15, shared=range(12, 18))
    left = track(times, 156 - 4 * np.arange(30.0), [7] * 15 + [3] * 15, shared=range(12, 18))
    joined = stitch_tracks(split_at_meetings([right, left], 320, 180))
    assert len(joined) == 2
    for one in joined:
        assert colour_distance(one.end_colours(False), one.end_colours(True)) < 0.01


def test_a_still_track_that_is_an_empty_place_gives_way_to_the_car_that_parks_there(parked_index):
    tracks = extended_tracks(parked_index)
    assert len(tracks) == 1
    assert tracks[0].times[-1] > 9 and tracks[0].times[0] == pytest.approx(1.0)


@pytest.fixture
def parked_index():
    """A car comes in at 1 s and parks at 4 s for good: the background holds it, and its empty place was tracked."""
    from whenwhere.grounders.motion.index import Index

    came = np.arange(1, 4, 0.25)
    boxes = np.stack([[20 + 60 * (t - 1), 80, 80 + 60 * (t - 1), 120] for t in came])
    boxes[-2:, 2] -= 20  # squeezed while it covers its own empty place
    empty = np.arange(0, 4, 0.25)
    place = np.array([200.0, 80, 260, 120])
    n = len(empty) + len(came)
    return Index(
        duration=10.0, step=0.25, width=320, height=180,
        track=np.repeat([0, 1], [len(empty), len(came)]).astype(np.int32), times=np.concatenate([empty, came]),
        boxes=np.concatenate([np.repeat(place[None], len(empty), 0), boxes]), areas=np.full(n, 0.04),
        strong=np.ones(n, np.float32), shared=np.zeros(n, bool), colours=np.repeat(look(3)[None], n, 0),
        changes=np.array([[0.0, 3.5, *place, 0.04, 1, 0, 1, 20.0, 1]]), change_colours=look(3)[:1],
        static=np.zeros((0, 6)), static_colours=np.zeros((0, 13), np.float32), cuts=np.zeros(0),
        jumps=np.zeros((0, 2)), moving=0.0, unsteady=0.0, flood=0.0, frames=40, recurring=0.0, warnings=(),
    )  # fmt: skip
