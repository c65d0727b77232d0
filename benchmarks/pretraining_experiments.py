"""The experiments of `pretraining.py`: their arms, what each arm's recipe says, and what is measured and tested.

An experiment is declared here before its first cell is run, with the metric that is tested and what each arm is
compared with; whatever is looked at besides is exploratory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MODEL = """
[encoder]
checkpoint = "{start}"
frames = 8
tubelet = 2
{encoder}

[objective]
{objective}

[data]
{data}

[train]
stage = "pretrain"
optim = "muon"
batch = 48
learning_rate = 1e-3
warmup_steps = 20
weight_decay = 0.02
adam_beta2 = 0.98
logging_steps = 10
save_steps = 50
save_total_limit = 0
{train}
"""
RETRIEVAL = """
[[evaluators]]
name = "retrieval"
kind = "retrieval"
every = 1_000_000
at_start = false
metric = "t2v-R@1"
pairs = 100
data = { corpus = "pairs", world = { split = "heldout", objects = [3, 6] }, count = 200 }
"""
POINTING = """
[[evaluators]]
name = "pointing"
kind = "pointing"
every = 1_000_000
at_start = false
metric = "patch-pointing"
data = { corpus = "pairs", world = { split = "heldout", objects = [3, 6] }, count = 150 }
"""
QUESTIONS = """
[[evaluators]]
name = "qa"
kind = "qa"
every = 1_000_000
at_start = false
metric = "accuracy"
data = { corpus = "pairs", world = { split = "heldout", objects = [3, 6] }, count = 150 }
train = { corpus = "pairs", world = { objects = [3, 6] }, first_seed = 5_000_000, count = 600 }
"""
RECOGNITION = """
[[evaluators]]
name = "recognition"
kind = "recognition"
every = 1_000_000
at_start = false
metric = "top-1"

[evaluators.data]
corpus = "homogeneous"
world = { split = "heldout", objects = [3, 6], compositions = "held out" }
count = 200
"""
CHANGES = """
[[evaluators]]
name = "boundaries"
kind = "boundaries"
every = 1_000_000
at_start = false
metric = "boundary-F1"
data = { corpus = "actions", world = { split = "heldout" }, count = 60 }

[[evaluators]]
name = "localization"
kind = "localization"
every = 1_000_000
at_start = false
metric = "mAP"
data = { corpus = "actions", world = { split = "heldout" }, count = 60 }
train = { corpus = "actions", first_seed = 5_000_000, count = 120 }
"""
#: Accuracy of questions by a head that sees no video, which is the number to beat, and what the video adds to it.
BLIND, SIGHT = "qa/question-only-accuracy", "qa/accuracy beyond that without the video"
#: Clips with fewer shapes than the corpora have, from which encoders of this size learn in this many updates.
FEW = "world = { objects = [3, 6] }"
GROUPS = "group_tokens = 8\ngroup_layers = [6, 9, 12]"
#: Where clips of one corpus come from, for [data] or a table [[data.mix]].
CLIPS = 'kind = "shapes"\n{data}\ncount = {count}\nfirst_seed = {first_seed}\ncache = "{cache}"'
#: Clips of the corpora that an arm is trained on.
COUNT = 8_000
TERMS = "nouns = {nouns}\ntime = {time}\ncut_and_paste = {paste}"


@dataclass(frozen=True)
class Arm:
    """One arm of an experiment: what stands in its recipe.

    Attributes:
        encoder: Lines of [encoder].
        objective: Lines of [objective].
        data: Lines about the clips.
        mix: Corpora that are put together, with a share of the clips each; `data` says what they have in common.
        train: Lines of [train], and what follows it.
        factor: Updates as a multiple of the experiment's.
    """

    encoder: str = ""
    objective: str = TERMS.format(nouns=0.0, time=0.0, paste="false")
    data: str = f'corpus = "pairs"\n{FEW}'
    mix: Mapping[str, float] = field(default_factory=dict)
    train: str = ""
    factor: float = 1.0


@dataclass(frozen=True)
class Experiment:
    """Arms that are compared with the first of them, or as `against` says.

    Attributes:
        title: What is asked.
        arms: The arms by name.
        evaluators: Tables of what is measured.
        measures: Metrics in the table, by their heading.
        primary: The metric that is tested.
        against: Arm that each other arm is compared with; those not named are not tested.
        start: Preset of the recipe tiny-stills that the arms begin with.
        also: Further comparisons, exploratory: arm, its metric, the other arm and its metric.
        interactions: Differences of differences in the primary metric, exploratory: arm, its base, another arm and its
            base.
    """

    title: str
    arms: Mapping[str, Arm]
    evaluators: str
    measures: Mapping[str, str]
    primary: str
    against: Mapping[str, str]
    start: str | None = None
    also: Sequence[tuple[str, str, str, str]] = ()
    interactions: Sequence[tuple[str, str, str, str]] = ()


def _losses(nouns: float, time: float, paste: bool = True, more: str = "") -> Arm:
    terms = TERMS.format(nouns=nouns, time=time, paste=str(paste).lower())
    return Arm(encoder=GROUPS, objective=f"{terms}\n{more}")


def _changes(time: float, paste: bool, corpus: str) -> Arm:
    return Arm(GROUPS, TERMS.format(nouns=0.0, time=time, paste=str(paste).lower()), f'corpus = "{corpus}"\n{FEW}')


def _masked(ratio: float, factor: float = 1.0) -> Arm:
    return Arm(train=f'mask_ratio = {ratio}\nmasking = "random"', factor=factor)


def _scale(captions: str, error: float = 0.15, crossing: float = 0.7) -> Arm:
    world = f"world = {{ middle = {crossing} }}"
    return Arm(data=f'corpus = "scales"\ncaptions = "{captions}"\ntag_error = {error}\n{world}')


#: Arms of captions that differ from the first ones in one thing: the tags are all right or twice as often wrong, or an
#: event includes the middle frame in 30 % of the training clips, not in 70 %.
SWEPT = {
    "fine, 0 wrong": _scale("fine", error=0.0),
    "fused, 0 wrong": _scale("fused", error=0.0),
    "fine, .3 wrong": _scale("fine", error=0.3),
    "fused, .3 wrong": _scale("fused", error=0.3),
    "coarse, .3 cross": _scale("coarse", crossing=0.3),
    "fine, .3 cross": _scale("fine", crossing=0.3),
    "fused, .3 cross": _scale("fused", crossing=0.3),
}
#: What each is compared with, besides the arm of the same name that differs in one thing.
BESIDE = {name: "coarse, .3 cross" if "cross" in name else "coarse" for name in SWEPT if name != "coarse, .3 cross"}


def _corpora(mix: Mapping[str, float]) -> Arm:
    return Arm(GROUPS, TERMS.format(nouns=1.0, time=1.0, paste="true"), FEW, mix)


EXPERIMENTS: dict[str, Experiment] = {
    "losses": Experiment(
        "S-ViLM's Table 6: does grounding nouns in groups, or grouping in time, help?",
        {
            "contrast": _losses(0, 0),
            "nouns": _losses(1, 0),
            "time": _losses(0, 1),
            "both": _losses(1, 1),
            "unblended": _losses(0, 0, paste=False),
            "nouns, shuffled": _losses(1, 0, more="shuffle_nouns = true"),
        },
        RETRIEVAL + POINTING + QUESTIONS + RECOGNITION,
        {
            "R@1": "retrieval/t2v-R@1", "R@5": "retrieval/t2v-R@5", "R@10": "retrieval/t2v-R@10",
            "pairs told apart": "retrieval/pair-both", "QA": "qa/accuracy", "QA, no video": BLIND,
            "recognition": "recognition/top-1",
            "noun·patch": "pointing/patch-pointing", "noun·group": "pointing/group-pointing",
        },
        "pointing/patch-pointing",
        {"nouns": "contrast", "time": "contrast", "both": "contrast", "contrast": "unblended",
         "nouns, shuffled": "contrast"},
        also=[
            ("nouns", "pointing/group-pointing", "contrast", "pointing/patch-pointing"),
            ("nouns", "pointing/group-pointing", "nouns, shuffled", "pointing/group-pointing"),
            ("contrast", "retrieval/t2v-R@5", "unblended", "retrieval/t2v-R@5"),
            ("both", "retrieval/t2v-R@5", "contrast", "retrieval/t2v-R@5"),
            ("contrast", "recognition/top-1", "unblended", "recognition/top-1"),
        ],
    ),
    "changes": Experiment(
        "Cut-and-paste and the temporal loss, judged by natural changes on one background",
        {
            f"{name}, {corpus}": _changes(time, paste, corpus)
            for corpus in ("homogeneous", "varied")
            for name, time, paste in (("unblended", 0, False), ("blended", 0, True), ("time", 1, True))
        },
        CHANGES,
        {"boundary F1": "boundaries/boundary-F1", "their number given": "boundaries/boundary-F1-count",
         "spread evenly": "boundaries/boundary-F1-even", "mAP": "localization/mAP", "mAP@.5": "localization/mAP@0.5",
         "mAP@.95": "localization/mAP@0.95"},
        "boundaries/boundary-F1",
        {f"{name}, {corpus}": f"{base}, {corpus}" for corpus in ("homogeneous", "varied")
         for name, base in (("time", "blended"), ("blended", "unblended"))},
        also=[
            (f"time, {corpus}", "localization/mAP", f"blended, {corpus}", "localization/mAP")
            for corpus in ("homogeneous", "varied")
        ],
        interactions=[
            (f"{arm}, homogeneous", f"{base}, homogeneous", f"{arm}, varied", f"{base}, varied")
            for arm, base in (("blended", "unblended"), ("time", "blended"))
        ],
    ),
    "masking": Experiment(
        "ViCLIP's masking, at equal samples and (=) at the FLOPs of no masking",
        {
            "0": _masked(0.0), "0.5": _masked(0.5), "0.7": _masked(0.7), "0.9": _masked(0.9),
            "0.9 =": _masked(0.9, 10.0),
        },
        RETRIEVAL + RECOGNITION + QUESTIONS + CHANGES,
        {"R@1": "retrieval/t2v-R@1", "R@5": "retrieval/t2v-R@5", "R@10": "retrieval/t2v-R@10",
         "pairs told apart": "retrieval/pair-both", "recognition": "recognition/top-1", "QA": "qa/accuracy",
         "QA, no video": BLIND, "mAP": "localization/mAP"},
        "retrieval/t2v-R@5",
        {"0.5": "0", "0.7": "0", "0.9": "0", "0.9 =": "0"},
        start="class",
        also=[("0.9 =", key, "0", key) for key in (SIGHT, "qa/accuracy", "localization/mAP", "recognition/top-1")],
    ),
    "captions": Experiment(
        "Captions of the middle frame, of tags frame by frame, and of both, at equal length",
        {name: _scale(name) for name in ("coarse", "fine", "fused", "truth")} | SWEPT,
        (RETRIEVAL + QUESTIONS).replace(', objects = [3, 6]', "").replace("world = { objects = [3, 6] }, ", "")
        .replace('"pairs"', '"scales"'),
        {"R@1": "retrieval/t2v-R@1", "R@5": "retrieval/t2v-R@5", "QA": "qa/accuracy", "QA, no video": BLIND,
         "colour": "qa/accuracy/middle-colour", "relation": "qa/accuracy/middle-relation",
         "what happens": "qa/accuracy/event-what", "what first": "qa/accuracy/event-first",
         "colour of the actor": "qa/accuracy/both-colour-of-the-actor",
         "shape of the actor": "qa/accuracy/both-shape-of-the-actor"},
        "qa/accuracy",
        {"fine": "coarse", "fused": "coarse"},
        start="class",
        also=[
            (arm, key, base, key)
            for key in (SIGHT, "qa/accuracy", "retrieval/t2v-R@5")
            for arm, base in [
                ("fine", "coarse"), ("fused", "coarse"), *BESIDE.items(),
                *((name, name.split(",")[0]) for name in SWEPT),
            ]
        ],
    ),
    "corpora": Experiment(
        "S-ViLM's table of pre-training data: clips that do not change, clips that do, both, and a few that do",
        {
            "H": _corpora({"homogeneous": 1.0}),
            "V": _corpora({"varied": 1.0}),
            "H + V": _corpora({"homogeneous": 0.5, "varied": 0.5}),
            "H + few V": _corpora({"homogeneous": 0.994, "varied": 0.006}),
        },
        RETRIEVAL + RECOGNITION + CHANGES,
        {"R@1": "retrieval/t2v-R@1", "R@5": "retrieval/t2v-R@5", "R@10": "retrieval/t2v-R@10",
         "pairs told apart": "retrieval/pair-both", "recognition": "recognition/top-1",
         "boundary F1": "boundaries/boundary-F1", "mAP": "localization/mAP", "mAP@.5": "localization/mAP@0.5"},
        "retrieval/t2v-R@5",
        {"V": "H", "H + V": "H", "H + few V": "H"},
        also=[(arm, key, "H", key) for key in ("retrieval/t2v-R@1", "localization/mAP")
              for arm in ("V", "H + V", "H + few V")],
    ),
}  # fmt: skip
