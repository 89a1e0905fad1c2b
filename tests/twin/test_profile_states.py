"""What a profile says of capping, sleep and restart, and what is assumed where it says nothing."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from scipy.optimize import brentq

from twin.profile_parts import PerformanceCurve, curvature_below, curve, work_at
from twin.profiles import ProfileError, load_profile

SCHEMA = json.loads((files("assets") / "schemas" / "profile-1.json").read_text())
ORIN, H100 = "agx-orin-industrial/qwen3-8b-int4", "h100-sxm/qwen3-8b-bf16"


def changed(tmp_path, name, **given):
    tree = json.loads((files("assets") / "profiles" / f"{name}.json").read_text("utf-8")) | given
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(tree))
    return path, tree


def curves(k, works):
    return np.array([curve(k, float(w)) for w in works])


def measured(works, powers, **given):
    points = [{"work": float(w), "power": float(p)} for w, p in zip(works, powers, strict=True)]
    return {"points": points, "origin": "measured", "source": "nvidia"} | given


def fitted(works, powers):
    return PerformanceCurve.model_validate_json(json.dumps(measured(works, powers))).fit()


def test_work_under_a_power_share_is_the_root_that_brentq_finds():
    for k in (0.0, 1e-10, 1e-8, 1e-4, 0.3, 0.5, 0.95):
        for power in np.linspace(0, 1, 21):
            root = brentq(lambda s, k=k, p=power: (1 - k) * s + k * s**3 - p, 0, 1, xtol=1e-14)
            assert work_at(k, power) == pytest.approx(root, abs=1e-8), (k, power)
            assert curve(k, work_at(k, power)) == pytest.approx(power, abs=1e-8)


def test_power_cap():
    """Half the swing: the root of s³ + s = 1, 0.68233 (OEIS A263719), at the assumed curvature."""
    profile = load_profile(ORIN)
    idle = profile.power_model.idle_w.value
    assert profile.performance_at_cap(75) == profile.performance_at_cap(50) == 1
    assert profile.performance_at_cap((50 + idle) / 2) == pytest.approx(0.6823278038)
    assert profile.performance_at_cap((50 + idle) / 2, curvature=0) == pytest.approx(0.5)
    assert profile.performance_at_cap(idle) == profile.performance_at_cap(1) == 0
    for cap in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ProfileError):
            profile.performance_at_cap(cap)

    free, capped = profile.device_numbers(), profile.device_numbers(cap_w=30)
    assert (free.active_power, capped.active_power) == (50, 30)
    assert capped.tokens_per_s == pytest.approx(0.6823278038 * free.tokens_per_s)
    assert free.idle_power == capped.idle_power < capped.active_power
    assert None not in (free.throttle_start, free.throttle_full)
    assert (free.origin, free.power_origin) == ("derived", "assumed")
    assert profile.device_numbers(cap_w=5).tokens_per_s == 0
    assert profile.device_numbers(cap_w=5).idle_power == 5


def test_a_cap_moves_along_the_same_curve():
    """Below the cap the device draws what the whole curve says, whatever the cap."""
    for k in (0.0, 0.5, 0.95):
        for top in (0.2, 0.7, 1.0):
            for work in np.linspace(0, 1, 11):
                below = curve(curvature_below(k, top), work) * curve(k, top)
                assert below == pytest.approx(curve(k, top * work), abs=1e-14)
    profile = load_profile(ORIN)
    free, capped = profile.device_numbers(), profile.device_numbers(cap_w=30)
    assert capped.curvature == pytest.approx(curvature_below(0.5, 0.6823278038))
    assert capped.curvature < free.curvature, "what is left bends less"
    worst = capped.curvature * capped.curvature_factors[1]
    assert worst == pytest.approx(curvature_below(0.9, work_at(0.9, 0.5)))


def test_fit_is_numpys_least_squares():
    rng = np.random.default_rng(3)
    works = np.linspace(0.3, 1, 8)
    powers = curves(0.6, works) + rng.normal(0, 0.01, 8) * (works < 1)
    (k,), (square,), *_ = np.linalg.lstsq((works - works**3)[:, None], works - powers, rcond=None)
    found, error = fitted(works, powers)

    assert found.value == pytest.approx(k, abs=1e-12)
    assert error == pytest.approx(np.sqrt(square / 7))
    low, high = found.range or (1, 0)
    assert low < 0.6 < high
    assert abs(curves(0.3, works) - powers).max() > 5 * error, "another curvature would be seen"


@pytest.mark.parametrize(
    ("powers", "bound"),
    [((0.3, 0.7, 1.0), 0.95), ((0.75, 0.95, 1.0), 0.0)],
)
def test_fit_stays_where_the_law_is_defined(powers, bound):
    """Steeper than the cube, and less than proportional: published boards show both."""
    found, error = fitted((0.7, 0.9, 1.0), powers)
    assert found.value == bound
    assert error > 0.03, "and the misfit is said"


def test_a_measured_curve_reaches_the_numbers(tmp_path):
    works = np.array([0.5, 0.7, 0.9])
    path, _ = changed(tmp_path, H100, performance_curve=measured(works, curves(0.8, works)))
    numbers = load_profile(path).device_numbers()
    assert numbers.curvature == pytest.approx(0.8)
    assert (numbers.curvature_origin, numbers.curvature_factors) == (
        "measured", pytest.approx((1.0, 1.0)),
    )  # fmt: skip
    assert numbers.curvature_error == pytest.approx(0, abs=1e-12)


def test_what_is_not_said_is_assumed_and_said_so():
    profile = load_profile(H100)
    numbers = profile.device_numbers()
    assert (numbers.curvature, numbers.curvature_origin) == (0.5, "assumed")
    assert numbers.curvature_factors == pytest.approx((0.0, 1.8))
    assert numbers.curvature_error is None
    assert numbers.sleep_power == pytest.approx(0.3 * 115)
    assert numbers.sleep_power_factors == pytest.approx((1 / 3, 5 / 3))
    assert numbers.wake == 5
    read = profile.weights_gb.value / 2
    assert numbers.restart == pytest.approx(90 + read)
    low, high = (f * numbers.restart for f in numbers.restart_factors)
    assert (low, high) == pytest.approx((60 + read / 2, 300 + 2 * read))
    assert numbers.states_origin == "assumed"


def test_own_states_replace_the_defaults(tmp_path):
    def known(value):
        return {"value": value, "origin": "measured", "source": "nvidia"}

    states = {"sleep_w": known(20), "wake_s": known(2), "reboot_s": known(70), "load_s": known(4)}
    path, tree = changed(tmp_path, H100, states=states)
    jsonschema.Draft202012Validator(SCHEMA).validate(tree)
    numbers = load_profile(path).device_numbers()
    assert (numbers.sleep_power, numbers.wake, numbers.restart) == (20, 2, 74)
    assert numbers.sleep_power_factors == numbers.restart_factors == (1, 1)
    assert numbers.states_origin == "measured"
    assert load_profile(path).digest != load_profile(H100).digest


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("performance_curve", measured((0.7, 0.5, 1), (0.5, 0.4, 1)), "sorted by rising work"),
        ("performance_curve", measured((0.7, 1), (0.5, 1)), "two points with work below 1"),
        ("performance_curve", measured((0.5, 0.7), (0.4, 1.5)), "less than or equal to 1"),
        ("performance_curve", measured((0.5, 0.7), (0.4, 0.6), source="who"), "is not listed"),
        ("states", {"sleep_w": {"value": 5, "origin": "assumed"}}, "needs a range"),
        ("states", {"nap_w": None}, "unknown key"),
        ("states", {"wake_s": {"value": -1, "origin": "measured", "source": "nvidia"}}, "negative"),
    ],
)
def test_contradictions_are_refused(tmp_path, key, value, words):
    path, _ = changed(tmp_path, H100, **{key: value})
    with pytest.raises(ProfileError, match=words):
        load_profile(path)
