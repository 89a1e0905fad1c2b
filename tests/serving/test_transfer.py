"""What a transfer costs: other models and other precisions of one device, from published speeds.

Qwen's own page (docs/source/getting_started/speed_benchmark.md, Qwen3; seen 2026-11-22): one
request, one token in and 2,048 out, one H20 96 GB, SGLang 0.4.6.post1, tokens a second.
"""

import numpy as np
import pytest

from serving.forecast import OTHER_MODEL, OTHER_PRECISION
from serving.models import find
from serving.steplaw import Subject

SPEED = {  # tokens a second: BF16, FP8
    "qwen3-0.6b": (414.2, 458.0), "qwen3-1.7b": (227.8, 333.9), "qwen3-4b": (133.1, 200.6),
    "qwen3-8b": (81.7, 150.3), "qwen3-14b": (47.1, 97.1), "qwen3-32b": (20.7, 46.2),
}  # fmt: skip
CONTEXT = 1024  # mean, in tokens


def terms(name, precision):
    """What a step is made of: layers (in those of 8B) and bytes."""
    subject = Subject.of(find(name), precision)
    return np.array([subject.layers / 36, subject.weights + CONTEXT * subject.kv])


def fitted(names):
    """Seconds of 36 layers and seconds a byte, by relative least squares."""
    rows = np.array([terms(n, "bf16") * SPEED[n][0] for n in names])
    return np.linalg.lstsq(rows, np.ones(len(names)), rcond=None)[0]


def test_other_models_are_as_near_as_the_bands_allow():
    """Each model from the five others."""
    errors = []
    for name in SPEED:
        rest = [n for n in SPEED if n != name]
        errors.append(np.log(terms(name, "bf16") @ fitted(rest) * SPEED[name][0]))
    print({n: f"{np.expm1(e):+.1%}" for n, e in zip(SPEED, errors, strict=True)})
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(OTHER_MODEL, abs=0.02)


def test_another_precision_is_as_near_as_the_bands_allow():
    """FP8 from all models in BF16."""
    both = fitted(list(SPEED))
    errors = [np.log(terms(n, "fp8") @ both * SPEED[n][1]) for n in SPEED]
    print({n: f"{np.expm1(e):+.1%}" for n, e in zip(SPEED, errors, strict=True)})
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(OTHER_PRECISION, abs=0.03)
