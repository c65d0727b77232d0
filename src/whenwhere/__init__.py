"""whenwhere: ask a video *when* and *where*, in a sentence's words.

One sentence in; time spans and a tube of boxes out:

    import whenwhere
    answer = whenwhere.open("clip.mp4").ground("the red car drives up")
    answer.spans, answer.tube.at(15.5), answer.save("answer.srt")

Names are loaded on first use, so that `import whenwhere` stays light: it imports none of PyAV, OpenCV,
SciPy or torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from whenwhere.version import __version__ as __version__

if TYPE_CHECKING:
    from whenwhere.batching import BatchCallback as BatchCallback
    from whenwhere.batching import BatchResult as BatchResult
    from whenwhere.batching import batch as batch
    from whenwhere.boxes import Box as Box
    from whenwhere.errors import WhenwhereError as WhenwhereError
    from whenwhere.evaluate.run import evaluate as evaluate
    from whenwhere.models.backends.resolve import load_model as load_model
    from whenwhere.models.detectors.resolve import open_detector as open_detector
    from whenwhere.models.encoders.resolve import open_encoder as open_encoder
    from whenwhere.overlap import box_iou as box_iou
    from whenwhere.overlap import s_iou as s_iou
    from whenwhere.overlap import t_iou as t_iou
    from whenwhere.overlap import v_iou as v_iou
    from whenwhere.records import Grounding as Grounding
    from whenwhere.session import Answer as Answer
    from whenwhere.session import Session as Session
    from whenwhere.session import open as open
    from whenwhere.settings import GroundingSettings as GroundingSettings
    from whenwhere.spans import Span as Span
    from whenwhere.spans import SpanSet as SpanSet
    from whenwhere.training.run import train as train
    from whenwhere.tubes import Tube as Tube

_HOME = {
    "Answer": "session",
    "BatchCallback": "batching",
    "BatchResult": "batching",
    "Box": "boxes",
    "Grounding": "records",
    "GroundingSettings": "settings",
    "Session": "session",
    "Span": "spans",
    "SpanSet": "spans",
    "Tube": "tubes",
    "WhenwhereError": "errors",
    "batch": "batching",
    "box_iou": "overlap",
    "load_model": "models.backends.resolve",
    "open": "session",
    "open_detector": "models.detectors.resolve",
    "open_encoder": "models.encoders.resolve",
    "s_iou": "overlap",
    "t_iou": "overlap",
    "train": "training.run",
    "v_iou": "overlap",
}

#: Packages that are functions too.
_CALLABLE = ("evaluate",)

__all__ = sorted([*_HOME, *_CALLABLE, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"whenwhere.{_HOME[name]}"), name)
    if name in _CALLABLE:
        return import_module(f"whenwhere.{name}")
    raise AttributeError(f"module 'whenwhere' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
