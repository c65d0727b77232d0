"""A linear probe: multinomial logistic regression on frozen features, the same for the same features every time.

The objective is convex and all examples are in every step (L-BFGS of SciPy), so that there is no learning rate, batch
order or seed to be lucky with. It is scikit-learn's `LogisticRegression`: `C` times the summed cross entropy plus half
the squared weights, the bias free. `C` is chosen on a part of the training set, and the probe is then fitted again to
the whole of it; test examples are never seen.

Features are standardised with mean and deviation of the training set, because encoders differ in scale by orders of
magnitude and one list of `C` must serve all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import SettingError

Floats = NDArray[np.float64]

#: Values of C that are tried, from strongly to hardly regularised.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: Every so many-th example of a class is for validation.
FOLD = 5


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A fitted probe.

    Attributes:
        weights: Weights on standardised features, shape (D, classes).
        bias: Bias of each class, shape (classes,).
        mean: Mean of the training features, shape (D,).
        deviation: Standard deviation of the training features, 1 where they are constant, shape (D,).
        strength: The chosen C.
        validation: Accuracy on the validation part for each C that was tried.
    """

    weights: Floats
    bias: Floats
    mean: Floats
    deviation: Floats
    strength: float
    validation: dict[float, float]

    def scores(self, features: ArrayLike) -> Floats:
        """Log-odds of every class up to a constant, shape (n, classes).

        Args:
            features: Features of the kind that the probe was fitted to, shape (n, D).

        Raises:
            SettingError: The features have another D, or a value is not finite.
        """
        rows = finite_rows(features, "features")
        if rows.shape[1] != len(self.mean):
            raise SettingError(
                f"the probe was fitted to features of {len(self.mean)} numbers and is given {rows.shape[1]}: take both "
                "from one encoder"
            )
        return np.asarray((rows - self.mean) / self.deviation @ self.weights + self.bias, np.float64)


def finite_rows(features: ArrayLike, what: str) -> Floats:
    """Features as float64, shape (n, D), n and D at least 1.

    Args:
        features: The features.
        what: What they are, for errors.

    Raises:
        SettingError: There are none, or a value is not finite.
    """
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise SettingError(f"{what} of shape {rows.shape} cannot be used: give (examples, D), one of each at least")
    bad = ~np.isfinite(rows).all(1)
    if bad.any():
        raise SettingError(
            f"{int(bad.sum())} of {len(rows)} {what} hold values that are not finite (the first is number "
            f"{int(bad.argmax())}): the encoder has diverged"
        )
    return rows


def fit_linear_probe(
    features: ArrayLike, labels: ArrayLike, classes: int, strengths: Sequence[float] = STRENGTHS
) -> LinearProbe:
    """Fit a probe, with C chosen on every fifth example of each class.

    A class with fewer than five examples is not in the validation part. Where no class has five, the middle of
    `strengths` is taken, and `validation` is empty.

    Args:
        features: Features of the training set, shape (n, D).
        labels: Number of the class of each example, shape (n,), in 0 to classes - 1.
        classes: Number of classes.
        strengths: Values of C that are tried. With a single one nothing is chosen.

    Raises:
        SettingError: There are no examples, a value is not finite, or a label is not the number of a class.

    >>> probe = fit_linear_probe([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1], 2)
    >>> probe.scores([[0.0], [2.0]]).argmax(1).tolist()
    [0, 1]
    """
    rows = finite_rows(features, "training features")
    own = class_labels(labels, len(rows), classes)
    if not strengths or min(strengths) <= 0:
        raise SettingError("a linear probe needs at least one value of C, and all of them above 0")
    held = held_out(own)
    validation: dict[float, float] = {}
    chosen = strengths[len(strengths) // 2]
    if held.any() and len(strengths) > 1:
        mean, deviation = _scale(rows[~held])
        train, test = (rows[~held] - mean) / deviation, (rows[held] - mean) / deviation
        start = np.zeros((rows.shape[1] + 1, classes))
        for strength in sorted(strengths):
            start = _fit(train, own[~held], classes, strength, start)
            scores = test @ start[:-1] + start[-1]
            validation[strength] = float((scores.argmax(1) == own[held]).mean())
        # among equally good ones the most strongly regularised, which is the first
        chosen = max(validation, key=lambda strength: validation[strength])
    mean, deviation = _scale(rows)
    found = _fit((rows - mean) / deviation, own, classes, chosen, np.zeros((rows.shape[1] + 1, classes)))
    return LinearProbe(found[:-1], found[-1], mean, deviation, chosen, validation)


def class_labels(labels: ArrayLike, count: int, classes: int) -> NDArray[np.intp]:
    """Labels as numbers of classes, shape (count,).

    Args:
        labels: The labels.
        count: Number of examples.
        classes: Number of classes.

    Raises:
        SettingError: Their number is another, or one of them is not the number of a class.
    """
    own = np.asarray(labels)
    if own.shape != (count,) or own.dtype.kind not in "iu" or own.min() < 0 or own.max() >= classes:
        raise SettingError(
            f"labels of shape {own.shape} do not fit {count} examples of {classes} classes: give each example the "
            f"number of its class, 0 to {classes - 1}"
        )
    return own.astype(np.intp)


def held_out(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which training examples are for validation: every fifth of each class, in the order given, shape (n,).

    >>> held_out(np.array([0, 0, 1, 0, 0, 0])).astype(int).tolist()
    [0, 0, 0, 0, 0, 1]
    """
    order = np.argsort(labels, kind="stable")
    _, start, count = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.empty(len(labels), np.intp)
    place[order] = np.arange(len(labels)) - np.repeat(start, count)
    return np.asarray(place % FOLD == FOLD - 1)


def _scale(rows: Floats) -> tuple[Floats, Floats]:
    mean, deviation = rows.mean(0), rows.std(0)
    return mean, np.where(deviation > 1e-12 * np.maximum(1.0, abs(mean)), deviation, 1.0)


def _fit(rows: Floats, labels: NDArray[np.intp], classes: int, strength: float, start: Floats) -> Floats:
    """Weights and, as the last row, bias, shape (D + 1, classes)."""
    from scipy.optimize import minimize

    wide = np.concatenate([rows, np.ones((len(rows), 1))], 1)
    index = np.arange(len(rows))

    # Divided by C and the number of examples, so that the stopping rules of L-BFGS mean the same for every C.
    penalty = 1 / (strength * len(rows))

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(-1, classes)
        logits = wide @ weights
        logits -= logits.max(1, keepdims=True)
        total = np.log(np.exp(logits).sum(1))
        share = np.exp(logits - total[:, None])
        share[index, labels] -= 1
        gradient = wide.T @ share / len(rows)
        gradient[:-1] += penalty * weights[:-1]
        value = (total - logits[index, labels]).mean() + penalty / 2 * float((weights[:-1] ** 2).sum())
        return float(value), gradient.ravel()

    found = minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6, "ftol": 1e-10}
    )
    return np.asarray(found.x, np.float64).reshape(-1, classes)
