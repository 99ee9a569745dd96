"""The sum of three records by trials, in NumPy and SciPy: what `aggregate --method monte_carlo` is held against.

Three records with wide and truncated inputs, of which two have hardware. Inputs with one key follow one
uniform number, each through its own quantile function; one follows it backwards. Nothing here is of
carbon-ops. Run: python3 joint.py [TRIALS]
"""

import sys

import numpy as np
from scipy import stats
from scipy.special import ndtri

TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000_000
BLOCK = 1_000_000


def ln(mean, cv):
    """Lognormal of arithmetic mean and coefficient of variation: mean and quantile."""
    s2 = np.log1p(cv * cv)
    return mean, lambda u: np.exp(np.log(mean) - s2 / 2 + np.sqrt(s2) * ndtri(u))


def tn(mu, sigma, low):
    """Normal cut off below and renormalised."""
    a = (low - mu) / sigma
    below = stats.norm.cdf(a)
    mean = stats.truncnorm.mean(a, np.inf, mu, sigma)
    return mean, lambda u: mu + sigma * ndtri(below + u * (1 - below))


def uniform(low, high):
    return (low + high) / 2, lambda u: low + u * (high - low)


def within(factor):
    """Mean 1, and the central 95 % from the median divided by the factor to the median times it."""
    s = np.log(factor) / 1.959963984540054
    return ln(1.0, np.sqrt(np.exp(s * s) - 1))


# kWh, then (distribution, key or None, sign); their means multiply to grams.
RECORDS = [
    (144.277778, [(1.1, None, None, 1), (*ln(342.06, 0.10), "grid:DE", 1), (*ln(1, 0.05), "idle:a", 1)]),
    (100.0, [(*tn(1.55, 0.2, 1), "pue", 1), (*tn(300, 250, 0), "grid:FR", 1), (*uniform(0.5, 1.5), None, 1)]),
    (80.0, [(*tn(1.3, 0.3, 1), "pue", 1), (*ln(400, 0.60), "grid:DE", 1), (*ln(1, 0.80), "idle:a", -1)]),
]
# g per hour: 1000 kg (a server) and 100 kg (a disk) over 35,040 h; both records have 1,000 hours.
HOURS = 1000.0
HARDWARE = [
    (1000e3 * HOURS / 35040, within(2), "server"),
    (1000e3 * HOURS / 35040 * 0.5, within(2), "server"),
    (100e3 * HOURS / 35040 * 0.5, within(3), "disk"),
]


def main():
    rng = np.random.default_rng(20261124)
    grams = [kwh * np.prod([factor[0] for factor in factors]) for kwh, factors in RECORDS]
    hardware = [g for g, _, _ in HARDWARE]
    print("grams", grams, sum(grams), "hardware", hardware, sum(hardware))
    sums = np.empty((3, TRIALS), dtype=np.float64)
    for start in range(0, TRIALS, BLOCK):
        n = min(BLOCK, TRIALS - start)
        uniforms = {}

        def draw(key):
            if key is None:
                return rng.random(n)
            if key not in uniforms:
                uniforms[key] = rng.random(n)
            return uniforms[key]

        operation = np.zeros(n)
        for kwh, factors in RECORDS:
            product = np.full(n, kwh)
            for mean, quantile, key, sign in factors:
                if quantile is None:
                    product *= mean
                else:
                    u = draw(key)
                    product *= quantile(u if sign == 1 else 1 - u)
            operation += product
        embodied = sum(g * quantile(draw(key)) for g, (_, quantile), key in HARDWARE)
        sums[0, start : start + n] = operation
        sums[1, start : start + n] = embodied
        sums[2, start : start + n] = operation + embodied
    for name, values in zip(["operation", "embodied", "whole"], sums):
        low, high = np.quantile(values, [0.025, 0.975])
        print(f"{name:10} mean {values.mean():.1f} u {values.std(ddof=1):.1f} low {low:.1f} high {high:.1f}")
    theta = sums[1] / sums[2]
    print("theta", np.quantile(theta, [0.025, 0.975]))


main()
