"""Sample sizes against simulation, so that the closed forms cannot be off by a factor."""

import numpy as np
import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.power import design_effect, items_for_paired_accuracy, items_for_paired_mean, simulated_power


def _pair(rng, n, difference=0.1, discordant=0.4):
    draw = rng.random(n)
    a_only, b_only = (discordant + difference) / 2, (discordant - difference) / 2
    a = (draw < a_only) | (draw > 0.7)
    b = ((draw >= a_only) & (draw < a_only + b_only)) | (draw > 0.7)
    return a.astype(float), b.astype(float)


def test_the_computed_number_of_items_reaches_80_percent():
    n = items_for_paired_accuracy(0.1, 0.4)
    rng = np.random.default_rng(0)
    pilot = _pair(rng, 200_000)
    assert simulated_power(*pilot, None, n, num_studies=2000, rng=rng) == pytest.approx(0.8, abs=0.04)
    assert simulated_power(*pilot, None, n // 4, num_studies=2000, rng=rng) < 0.4


def test_paired_mean_and_design_effect():
    assert items_for_paired_mean(0.1, 0.5) == 197  # (2.8016 * 0.5 / 0.1)^2 = 196.2
    assert items_for_paired_mean(0.1, 0.5, deff=2.0) == 393
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(500), 4)
    assert design_effect(rng.random(2000), codes) == pytest.approx(1.0, abs=0.15)
    assert design_effect(rng.random(500)[codes], codes) == pytest.approx(4.0, abs=0.01)


def test_impossible_pairs_are_refused():
    with pytest.raises(ConfigError):
        items_for_paired_accuracy(0.3, 0.2)
    with pytest.raises(ConfigError):
        items_for_paired_mean(0.0, 1.0)
