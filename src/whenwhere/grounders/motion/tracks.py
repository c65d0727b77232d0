"""From blobs to tracks: linking, divided blobs, fragments, gaps.

Linking is one assignment per frame between predicted boxes and blobs, by overlap, distance, colours and size. Plain
linking fails in three ways, each of which is handled here:

- Two neighbours make *one blob* for a while. A blob claimed by several tracks is divided between them by where each was
  about to be, and colours seen in that state are not trusted.
- One actor makes *several blobs* (a belt that looks like the wall behind it). Fragments that move inside a larger track
  are absorbed by it.
- An actor is *lost* for a moment (behind a pole, standing still). Tracks whose end and start fit are joined.

Times are seconds, boxes xyxy in working pixels.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.blobs import Blob, blob_part
from whenwhere.grounders.motion.camera import moved_box
from whenwhere.grounders.motion.track_index import join_tracks
from whenwhere.overlap import box_intersection, box_iou

#: Seconds for which a track waits for a blob before it ends.
PATIENCE = 0.9
#: Longest meeting of two actors, in seconds, after which tracks are joined by colour.
MEETING = 4.0
#: Colour distance (`colour_distance`) above which two pieces belong to different actors.
OTHER = 0.33
_REFUSED = 9.0


@dataclass
class BlobTrack:
    """One object over time; the lists have one entry per sighting and grow while the track is live.

    Attributes:
        times: Seconds.
        boxes: (4,) boxes.
        areas: Numbers of pixels.
        strongs: Shares of strong evidence.
        colours: (5, 13) colour shares by height zone.
        shared: Whether the blob was divided with a neighbour.
        known: (5, 11) colours by height zone, a running mean over the sightings that were not shared.
        met_first: Whether its start is a cut in a meeting (`split_at_meetings`).
        met_last: Whether its end is such a cut.
    """

    times: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    strongs: list[float] = field(default_factory=list)
    colours: list[NDArray[np.float32]] = field(default_factory=list)
    shared: list[bool] = field(default_factory=list)
    known: NDArray[np.float32] | None = None
    met_first: bool = False
    met_last: bool = False

    def add(self, t: float, blob: Blob, shared: bool = False) -> None:
        """Append a sighting."""
        if self.known is None:
            self.known = blob.colour[:, :11]
        elif not shared:
            self.known = 0.75 * self.known + 0.25 * blob.colour[:, :11]
        self.times.append(t)
        self.boxes.append(blob.box)
        self.areas.append(blob.area)
        self.strongs.append(blob.strong)
        self.colours.append(blob.colour)
        self.shared.append(shared)

    def velocity(self) -> NDArray[np.float64]:
        """(4,) velocity of the box's edges over the last half second, in pixels per second."""
        k = max(0, len(self.times) - 4)
        dt = self.times[-1] - self.times[k]
        return (self.boxes[-1] - self.boxes[k]) / dt if dt > 0 else np.zeros(4)

    def predicted(self, t: float) -> NDArray[np.float64]:
        """(4,) the box expected at `t`, for a steady motion of the centre and a constant size."""
        box, v = self.boxes[-1], self.velocity()
        shift = (v[:2] + v[2:]) / 2 * min(t - self.times[-1], 0.5)
        return box + np.concatenate([shift, shift])

    def size(self) -> float:
        """Typical area over the last sightings that were not shared."""
        own = [a for a, s in zip(self.areas[-6:], self.shared[-6:], strict=True) if not s]
        return float(np.median(own or self.areas[-6:]))

    def end_colours(self, last: bool) -> NDArray[np.float32]:
        """(5, 11) mean colours at its end (or beginning), without shared sightings if possible."""
        index = range(len(self.times) - 8, len(self.times)) if last else range(8)
        rows = [i for i in index if 0 <= i < len(self.times)]
        own = [i for i in rows if not self.shared[i]] or rows
        mean: NDArray[np.float32] = np.mean([self.colours[i][:, :11] for i in own], 0)
        return mean

    def extend(self, other: "BlobTrack") -> None:
        """Append the sightings of its continuation."""
        for name in _LISTS:
            getattr(self, name).extend(getattr(other, name))

    def piece(self, start: int, end: int) -> "BlobTrack":
        """The sightings from index `start` up to `end` as a new track."""
        return BlobTrack(*(getattr(self, name)[start:end] for name in _LISTS))


_LISTS = ("times", "boxes", "areas", "strongs", "colours", "shared")


def colour_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The distance in 0-1 of two (5, 11) colour tables: half over all zones, half zone by zone."""
    return float(np.abs(a.mean(0) - b.mean(0)).sum() / 4 + np.abs(a - b).sum(1).mean() / 4)


class BlobLinker:
    """Links blobs frame by frame; memory grows with the tracks found, not with the frames seen.

    Args:
        shape: (height, width) of the working frame.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.height, self.width = shape
        self.live: list[BlobTrack] = []
        self.done: list[BlobTrack] = []

    def add(
        self, t: float, blobs: list[Blob], rgb: NDArray[np.uint8], moved: NDArray[np.float64] | None = None
    ) -> None:
        """Take the next frame.

        Args:
            t: Its time in seconds.
            blobs: The blobs found in it.
            rgb: (h, w, 3) the frame, for the colours of divided blobs.
            moved: (2, 3) camera motion since the last frame, if frames were not warped onto one reference.
        """
        from scipy.optimize import linear_sum_assignment

        if moved is not None:
            for track in self.live:
                track.boxes[-1] = moved_box(track.boxes[-1], moved)
        self.done += [r for r in self.live if t - r.times[-1] > PATIENCE]
        self.live = [r for r in self.live if t - r.times[-1] <= PATIENCE]
        taken: dict[int, list[int]] = {}
        if self.live and blobs:
            cost, predicted = self._costs(t, blobs)
            rows, columns = linear_sum_assignment(cost)
            for r, c in zip(rows.tolist(), columns.tolist(), strict=True):
                if cost[r, c] < 3.0:
                    taken.setdefault(c, []).append(r)
            self._claim(blobs, predicted, taken)
            for c, owners in taken.items():
                if len(owners) == 1:
                    self.live[owners[0]].add(t, blobs[c])
                else:
                    self._divide(t, blobs[c], rgb, owners, predicted)
        for c, blob in enumerate(blobs):
            if c not in taken:
                fresh = BlobTrack()
                fresh.add(t, blob)
                self.live.append(fresh)

    def _costs(self, t: float, blobs: list[Blob]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(tracks, blobs) costs of linking each live track with each blob, and (tracks, 4) the predicted boxes."""
        predicted = np.array([r.predicted(t) for r in self.live])
        boxes = np.array([b.box for b in blobs])
        overlap = box_iou(predicted[:, None], boxes[None])
        centre = (predicted[:, :2] + predicted[:, 2:]) / 2
        other = (boxes[:, :2] + boxes[:, 2:]) / 2
        side = np.sqrt(np.prod(predicted[:, 2:] - predicted[:, :2], 1))[:, None]
        distance = np.linalg.norm(centre[:, None] - other[None], axis=2) / (side + 8)
        mine = np.array([r.known for r in self.live])
        theirs = np.array([b.colour[:, :11] for b in blobs])
        # Colours are compared over all zones and zone by zone: two people may wear two colours the other way round.
        colour = np.abs(mine.mean(1)[:, None] - theirs.mean(1)[None]).sum(2) / 2
        zones = np.abs(mine[:, None] - theirs[None]).sum(3).mean(2) / 2
        blurred = np.array([r.shared[-1] for r in self.live])[:, None]
        ratio = np.abs(
            np.log(np.array([b.area for b in blobs])[None] / np.array([r.areas[-1] for r in self.live])[:, None])
        )
        waited = np.array([t - r.times[-1] for r in self.live])[:, None]
        young = np.array([len(r.times) < 3 for r in self.live])[:, None]
        # After an actor shared a blob, its place says little about which one it is, but its colours do.
        cost = (1 - overlap) + 0.6 * distance + 0.6 * colour + 0.2 * ratio + 0.2 * waited
        cost += np.where(blurred, 1.2, 0.2) * zones
        # A track that has just begun has no known speed yet: allow it a longer step.
        reach = np.where(young, 2.2, 1.3)
        cost[(overlap < 0.05) & (distance > reach)] = _REFUSED
        cost[ratio > 2.0] = _REFUSED
        # Other colours at another place are another actor, as when one leaves where the next one enters.
        cost[(colour > 0.55) & (overlap < 0.3)] = _REFUSED
        gone = np.array([self._gone(r) and t - r.times[-1] > 0.35 for r in self.live])
        cost[gone] = _REFUSED
        return cost, predicted

    def _gone(self, track: BlobTrack) -> bool:
        """Whether a track was moving out over the border when it was last seen."""
        box, v = track.boxes[-1], track.velocity()
        left, up = (v[0] + v[2]) / 2, (v[1] + v[3]) / 2
        pace = 0.15 * float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
        return bool(
            (box[0] <= 2 and left < -pace) or (box[2] >= self.width - 2 and left > pace)
            or (box[1] <= 2 and up < -pace) or (box[3] >= self.height - 2 and up > pace)
        )  # fmt: skip

    def _claim(self, blobs: list[Blob], predicted: NDArray[np.float64], taken: dict[int, list[int]]) -> None:
        """Let tracks without a blob claim a share of the blob that covers their place, if it is big enough for all."""
        if not taken:
            return
        boxes = np.array([blob.box for blob in blobs])
        free = set(range(len(self.live))) - {r for rows in taken.values() for r in rows}
        for r in sorted(free, key=lambda r: -len(self.live[r].times)):
            if len(self.live[r].times) < 3:
                continue
            p = predicted[r]
            share = box_intersection(p, boxes) / max(1.0, (p[2] - p[0]) * (p[3] - p[1]))
            best = max(sorted(taken), key=lambda c: share[c])
            if share[best] <= 0.5:
                continue
            need = sum(self.live[k].size() for k in taken[best]) + self.live[r].size()
            if blobs[best].area > 0.62 * need:
                taken[best].append(r)

    def _divide(
        self, t: float, blob: Blob, rgb: NDArray[np.uint8], owners: list[int], predicted: NDArray[np.float64]
    ) -> None:
        """Divide a blob: each owner gets the pixels nearest to where it was about to be."""
        h, w = blob.mask.shape
        # All predictions together may lie beside the blob: shift them so that their hull fits it.
        hull = np.concatenate([predicted[owners, :2].min(0), predicted[owners, 2:].max(0)])
        shift = ((blob.box[:2] + blob.box[2:]) - (hull[:2] + hull[2:])) / 2
        x = np.arange(w)[None] + blob.corner[0] + 0.5
        y = np.arange(h)[:, None] + blob.corner[1] + 0.5
        distance = []
        for r in owners:
            p = predicted[r] + 0.5 * np.concatenate([shift, shift])
            cx, cy = (p[0] + p[2]) / 2, (p[1] + p[3]) / 2
            distance.append(np.maximum(np.abs(x - cx) / (p[2] - p[0]), np.abs(y - cy) / (p[3] - p[1])))
        nearest = np.stack(distance).argmin(0)
        for k, r in enumerate(owners):
            piece = blob_part(blob, rgb, nearest == k)
            if piece is not None and piece.area > 0.25 * self.live[r].size():
                self.live[r].add(t, piece, shared=True)

    def finish(self) -> list[BlobTrack]:
        """All tracks by start time, with fragments absorbed and gaps closed."""
        tracks = [r for r in self.done + self.live if len(r.times) >= 2]
        self.done, self.live = [], []
        return sorted(
            stitch_tracks(split_at_meetings(absorb_fragments(tracks), self.width, self.height)),
            key=lambda r: r.times[0],
        )


def absorb_fragments(tracks: list[BlobTrack]) -> list[BlobTrack]:
    """Merge fragments into the larger track inside of which, or right on top of which, they move."""
    kept: list[BlobTrack] = []
    for track in sorted(tracks, key=lambda r: -sum(r.areas)):
        for host in kept:
            if host.times[-1] < track.times[0] or host.times[0] > track.times[-1]:
                continue
            at = {t: i for i, t in enumerate(host.times)}
            common = [(at[t], j) for j, t in enumerate(track.times) if t in at]
            if len(common) < 0.6 * len(track.times):
                continue
            a = np.array([host.boxes[i] for i, _ in common])
            b = np.array([track.boxes[j] for _, j in common])
            wide = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
            tall = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
            over = (wide > 0.6 * (b[:, 2] - b[:, 0])) & (tall > -0.12 * (a[:, 3] - a[:, 1]))
            ratio = np.array([track.areas[j] / host.areas[i] for i, j in common])
            # A neighbour of the same size that stays apart is another actor.
            if over.mean() >= 0.7 and np.median(ratio) < 0.6:
                for i, j in common:
                    merged = np.concatenate(
                        [
                            np.minimum(host.boxes[i][:2], track.boxes[j][:2]),
                            np.maximum(host.boxes[i][2:], track.boxes[j][2:]),
                        ]
                    )
                    host.boxes[i] = merged
                    host.areas[i] += track.areas[j]
                break
        else:
            kept.append(track)
    return kept


def split_at_meetings(tracks: list[BlobTrack], width: int, height: int) -> list[BlobTrack]:
    """The tracks, cut where one actor enters a meeting or reaches the border and another one comes out.

    Two actors that cross, or one that leaves where another enters, are one blob for a while, and the track may follow
    the wrong one afterwards. Their colours tell; `stitch_tracks` joins the pieces anew.
    """
    out = []
    for track in tracks:
        boxes = np.array(track.boxes)
        border = (boxes[:, :2] <= 2).any(1) | (boxes[:, 2] >= width - 2) | (boxes[:, 3] >= height - 2)
        clear = np.flatnonzero(~border & ~np.array(track.shared))
        start = 0
        for k in np.flatnonzero(np.diff(clear) > 1):
            i, j = int(clear[k]), int(clear[k + 1])
            before, after = clear[max(0, k - 5) : k + 1], clear[k + 1 : k + 7]
            before = before[before >= start]
            if len(before) < 3 or len(after) < 3:
                continue
            means = [np.mean([track.colours[x][:, :11] for x in rows], 0) for rows in (before, after)]
            if colour_distance(*means) > OTHER:
                piece = track.piece(start, i + 1)
                piece.met_first, piece.met_last = start > 0, True
                out.append(piece)
                start = j
        rest = track.piece(start, len(track.times)) if start else track
        rest.met_first = start > 0
        out.append(rest)
    return out


def _fits(a: BlobTrack, b: BlobTrack, gap: float) -> float | None:
    """The cost of `b` as the continuation of `a`; None if it cannot be."""
    wait = b.times[0] - a.times[-1]
    met = a.met_last and b.met_first
    if not 0 < wait <= (MEETING if met else gap):
        return None
    x, y = a.boxes[-1], b.boxes[0]
    side = np.sqrt(max(1.0, (x[2] - x[0]) * (x[3] - x[1])))
    v = a.velocity()
    here = (x[:2] + x[2:]) / 2
    ahead = here + (v[:2] + v[2:]) / 2 * min(wait, 1.0)
    there = (y[:2] + y[2:]) / 2
    distance = min(np.linalg.norm(here - there), np.linalg.norm(ahead - there)) / side
    colour = colour_distance(a.end_colours(True), b.end_colours(False))
    ratio = abs(float(np.log(a.size() / max(1.0, float(np.median(b.areas[:6]))))))
    if distance > 0.9 + 0.3 * min(wait, 1.5) + 0.6 * met or colour > (0.4 if met else 0.45) or ratio > 1.4:
        return None
    return float(distance) + colour + 0.3 * ratio + 0.2 * wait


def stitch_tracks(tracks: list[BlobTrack], gap: float = 1.7) -> list[BlobTrack]:
    """Join tracks whose end and start fit within `gap` seconds, the best fits first."""
    return join_tracks(
        tracks,
        cost=lambda a, b: _fits(a, b, gap),
        reach=lambda a: max(gap, MEETING * a.met_last),
        extend=BlobTrack.extend,
    )
