"""The semantic term with an encoder of known similarities, on drawn pictures and on a real clip."""

import sys
from pathlib import Path

import numpy as np
import pytest

from whenwhere.answers.answer import ParsedAnswer, TimedBox
from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify import RewardContext, Semantic, Truth, Verifier, VideoView, to_prediction

sys.path.insert(0, str(Path(__file__).parent))
import verify_truths as made


def truth() -> Truth:
    when = SpanSet([(20.0, 30.0)])
    return Truth(when, Tube(when, [20.0], [[100, 100, 300, 200]], rate=0.1), made.DURATION, made.SIZE)


def said(span: tuple[float, float], box: tuple[float, ...] | None = None) -> ParsedAnswer:
    boxes = () if box is None else (TimedBox(span[0], box),)
    return ParsedAnswer("ok", (span,), boxes, coordinates="displayed" if boxes else None)


def score(answer: ParsedAnswer, encoder: object = None, **view: str) -> float:
    shown = made.view(truth())
    shown = VideoView(shown.look, shown.duration, shown.size, view.get("query", "a dog"), view.get("swapped", "a cat"))
    return Semantic(encoder or made.Oracle(), judge="another").score(to_prediction(answer, rate=0.1), shown)


RIGHT = (100.0, 100.0, 300.0, 200.0)


def test_right_time_and_place_is_the_most() -> None:
    assert score(said((20.0, 30.0), RIGHT)) == 1
    assert score(said((22.0, 28.0), RIGHT)) == 1  # a part of it looks the same: the terms about time tell them apart


def test_elsewhere_in_time_or_space_is_nothing() -> None:
    assert score(said((40.0, 50.0), RIGHT)) == 0
    assert score(said((20.0, 30.0), (400.0, 200.0, 500.0, 300.0))) == 0
    assert score(said((0.0, made.DURATION), RIGHT)) == 0
    assert score(ParsedAnswer("absent")) == 0


def test_another_sentence_that_fits_as_well_takes_it_all() -> None:
    assert score(said((20.0, 30.0), RIGHT), swapped="a dog") == 0
    assert score(said((20.0, 30.0), RIGHT), query="a cat", swapped="a dog") == 0


def test_without_boxes_whole_frames_are_compared() -> None:
    whole = score(said((20.0, 30.0)))
    assert 0 < whole < 1  # 100 of 640 x 200 of 360 white: less than the margin


def test_similarities_that_are_no_numbers_are_nothing() -> None:
    class Broken(made.Oracle):
        def __call__(self, pictures, sentences):
            return np.full((len(pictures), len(sentences)), np.nan)

    assert score(said((20.0, 30.0), RIGHT), Broken()) == 0


@pytest.mark.parametrize("judge", ["oracle", "Lab/Oracle", "lab/oracle@main", " ORACLE/ "])
def test_the_judge_is_refused(judge: str) -> None:
    with pytest.raises(SettingError, match="also judges the result"):
        Semantic(made.Oracle(), judge=judge)


def test_a_margin_must_be_positive() -> None:
    with pytest.raises(SettingError, match="margin"):
        Semantic(made.Oracle(), judge="another", margin=0)


def test_beside_other_terms() -> None:
    with pytest.raises(SettingError, match="gameable"):
        Verifier({"semantic": 1}, semantic=Semantic(made.Oracle(), judge="another"))
    verifier = Verifier({"t_iou": 1, "semantic": 1}, semantic=Semantic(made.Oracle(), judge="another"))
    known = truth()
    right, answer = made.view(known), said((20.0, 25.0), RIGHT)
    assert verifier.score(answer, known, RewardContext(view=right)).terms == {"t_iou": 0.5, "semantic": 1.0}
    assert verifier.score(answer, known).terms == {"t_iou": 0.5}  # no pictures at hand
    assert verifier.settings()["semantic"] == "oracle"


def test_on_a_real_clip(moving_clip: Path) -> None:
    """In the clip, a red thing crosses from 1 to 4 s and a blue one comes down from 3 s on."""

    class Colours:
        name = "colours"

        def __call__(self, pictures, sentences):
            def share(p, channel):
                p = p.astype(int)
                return (p[..., channel] > p.sum(-1) - p[..., channel] + 60).mean()

            return np.array([[share(p, 0 if "red" in s else 2) for s in sentences] for p in pictures])

    view = VideoView.open(str(moving_clip), "the red thing", "the blue thing", width=160)
    semantic = Semantic(Colours(), judge="another", margin=0.01)
    assert view.size == (160, 120) and view.duration == pytest.approx(6, abs=0.05)
    assert semantic.score(to_prediction(said((1.5, 3.0))), view) == 1
    assert semantic.score(to_prediction(said((4.2, 5.5))), view) == 0
