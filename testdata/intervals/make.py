"""Random products and sums of normals that cross zero and wide lognormals, with the ends of their symmetric
95 % intervals, by another method than the program's: masses on a fine grid of ln|x| on each side of zero,
convolved by FFT, and exact distribution functions of what is added.

    python make.py > cases.csv      # NumPy 2.4, SciPy 1.17; some minutes

A line is a model in the program's own grammar of inputs, factors joined by ` * `, terms by ` + `; mean, and both
ends. What it leaves out: the program's method, and everything with bounds.
"""

import numpy as np
from scipy import optimize, signal, special

SEED, PRODUCTS, SUMS = 20261128, 1250, 850
STEP = 0.002  # of the grid, in ln|x|; its own variance, STEP²/12, is far below any here
DEEP = 26.0  # how far below its upper end a law that crosses zero is followed

rng = np.random.default_rng(SEED)


def ndtr(z):
    return special.ndtr(z)


class Normal:
    def __init__(self, mean, sd):
        self.mean, self.sd = mean, sd

    def cdf(self, x):
        return ndtr((x - self.mean) / self.sd)

    def text(self):
        return f"n({self.mean!r}, {self.sd!r})"


class Lognormal:
    def __init__(self, mean, cv):
        self.mean, self.cv = mean, cv
        self.s2 = np.log1p(cv * cv)
        self.mu = np.log(mean) - self.s2 / 2

    def cdf(self, x):
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (np.log(np.maximum(x, 1e-320)) - self.mu) / np.sqrt(self.s2)
        return np.where(x > 0, ndtr(z), 0.0)

    def text(self):
        return f"ln({self.mean!r}, {self.cv!r})"


class Signed:
    """Masses in cells of ln|x|: `first` is the number of the first cell, its middle (first + ½)·STEP."""

    def __init__(self, first, below, above):
        self.first, self.below, self.above = first, below, above

    @classmethod
    def of_normal(cls, law, step):
        top = np.log(abs(law.mean) + 9 * law.sd)
        first, last = int(np.floor((top - DEEP) / step)), int(np.ceil(top / step))
        edges = np.exp(np.arange(first, last + 1) * step)
        # Survival functions keep the digits of small probabilities.
        above = np.diff(-ndtr(-(edges - law.mean) / law.sd))
        below = np.diff(-ndtr((-edges - law.mean) / law.sd))
        return cls(first, below, above)

    def times(self, other):
        both = lambda a, b: np.maximum(signal.fftconvolve(a, b), 0.0)
        above = both(self.above, other.above) + both(self.below, other.below)
        below = both(self.above, other.below) + both(self.below, other.above)
        # Middles add: (i + ½) + (j + ½) = (i + j + ½) + ½. The half is kept by `shift` below.
        result = Signed(self.first + other.first, below, above)
        result.shift = getattr(self, "shift", 0.0) + getattr(other, "shift", 0.0) + 0.5
        return result

    def atoms(self, step):
        t = (self.first + 0.5 + getattr(self, "shift", 0.0) + np.arange(len(self.above))) * step
        x = np.concatenate([-np.exp(t), np.exp(t)])
        masses = np.concatenate([self.below, self.above])
        kept = masses > 1e-15
        return x[kept], masses[kept] / masses[kept].sum()


def number(low, high):
    """Log-uniform, few digits: the text is the number."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.4g}")


def normal(size):
    mean = number(*size)
    if rng.random() < 0.1:
        mean = -mean
    return Normal(mean, float(f"{abs(mean) * number(0.12, 2.0):.6g}"))


def lognormal(size, least=0.01):
    return Lognormal(number(*size), number(least, 3.0))


def size():
    return (1e-6, 1e6) if rng.random() < 0.3 else (0.1, 10.0)


def product_law(factors, step):
    """Atoms of the normals' product, and the lognormals as one."""
    logs = [f for f in factors if isinstance(f, Lognormal)]
    normals = [f for f in factors if isinstance(f, Normal)]
    mu, s2 = sum(f.mu for f in logs), sum(f.s2 for f in logs)
    grid = None
    for law in normals:
        own = Signed.of_normal(law, step)
        grid = own if grid is None else grid.times(own)
    return (grid.atoms(step) if grid else (np.array([1.0]), np.array([1.0]))), (mu, s2)


def product_cdf(factors):
    (x, p), (mu, s2) = product_law(factors, STEP)
    t, s = np.log(np.abs(x)), np.sqrt(s2)
    def cdf(y):
        if s == 0.0:
            order = np.argsort(x)
            # Each atom is spread over its cell.
            width = np.abs(x) * STEP
            part = np.clip((y - x) / width + 0.5, 0.0, 1.0)
            return float(p[order] @ part[order])
        z = (np.log(abs(y)) - t - mu) / s if y != 0.0 else np.full_like(t, -np.inf)
        inside = ndtr(z)
        if y >= 0.0:
            return float(p @ np.where(x > 0, inside, 1.0))
        return float(p @ np.where(x > 0, 0.0, 1.0 - inside))
    return cdf, x, mu, s2


def as_atoms(factors, step):
    """A whole product as atoms: the lognormal on the grid as well."""
    (x, p), (mu, s2) = product_law(factors, step)
    if s2 == 0.0:
        return x, p
    s = np.sqrt(s2)
    first, last = int(np.floor((mu - 9 * s) / step)), int(np.ceil((mu + 9 * s) / step))
    edges = (np.arange(first, last + 1) * step - mu) / s
    masses = np.where(edges[1:] < 0, np.diff(ndtr(edges)), np.diff(-ndtr(-edges)))
    lognormal = Signed(first, np.zeros_like(masses), masses)
    normals = [f for f in factors if isinstance(f, Normal)]
    grid = lognormal
    for law in normals:
        grid = grid.times(Signed.of_normal(law, step))
    return grid.atoms(step)


def root(cdf, p, scale):
    """The quantile: bracketed in powers of two from `scale`, on the side of zero that has it."""
    zero = cdf(0.0)
    side = 1.0 if p > zero else -1.0
    inner = outer = scale
    beyond = (lambda y: cdf(side * y) >= p) if side > 0 else (lambda y: cdf(side * y) <= p)
    while not beyond(outer):
        outer *= 4.0
    while beyond(inner):
        inner /= 4.0
    t = optimize.brentq(lambda t: cdf(side * np.exp(t)) - p, np.log(inner), np.log(outer), xtol=1e-9)
    return side * np.exp(t)


def written(terms, mean, cdf, scale):
    low, high = root(cdf, 0.025, scale), root(cdf, 0.975, scale)
    text = " + ".join(" * ".join(law.text() for law in term) for term in terms)
    print(f'"{text}",{mean:.12g},{low:.9g},{high:.9g}')


print("model,mean,low,high")
for _ in range(PRODUCTS):
    factors = [normal(size())]
    for _ in range(rng.integers(1, 5)):
        factors.append(normal(size()) if rng.random() < 0.25 else lognormal(size()))
    rng.shuffle(factors)
    cdf, x, mu, s2 = product_cdf(factors)
    scale = np.exp(np.median(np.log(np.abs(x))) + mu)
    written([factors], float(np.prod([f.mean for f in factors])), cdf, scale)

for _ in range(SUMS):
    factors = [normal((0.1, 10.0))] + [lognormal((0.1, 10.0)) for _ in range(rng.integers(0, 3))]
    rng.shuffle(factors)
    mean = float(np.prod([f.mean for f in factors]))
    others = []
    for _ in range(rng.integers(1, 3)):
        # Of a size that can be seen beside the product.
        own = (abs(mean) * 0.2, abs(mean) * 5.0)
        others.append(normal(own) if rng.random() < 0.3 else lognormal(own, 0.1))
    if len(factors) == 1 and all(isinstance(o, Normal) for o in others):
        others[0] = lognormal((abs(mean) * 0.2, abs(mean) * 5.0), 0.1)
    # The widest of what is added is exact, the rest are atoms.
    spread = lambda law: law.sd if isinstance(law, Normal) else law.mean * law.cv
    others.sort(key=spread)
    exact = others[-1]
    x, p = as_atoms(factors, 0.002)
    if len(others) == 2:
        z = np.linspace(-8.0, 8.0, 65)
        weights = np.exp(-z * z / 2)
        weights /= weights.sum()
        law = others[0]
        b = law.mean + law.sd * z if isinstance(law, Normal) else np.exp(law.mu + np.sqrt(law.s2) * z)
        # Fewer atoms: neighbours are put together where they are far closer than the exact law is wide.
        order = np.argsort(x)
        x, p = x[order], p[order]
        cells = np.unique(np.searchsorted(np.cumsum(p), ndtr(np.linspace(-7.5, 7.5, 2001))))
        edges = np.unique(np.clip(np.concatenate([[0], cells]), 0, len(x) - 1))
        sums = np.add.reduceat(p, edges)
        middle = np.add.reduceat(p * x, edges) / np.maximum(sums, 1e-300)
        kept = sums > 1e-15
        x, p = middle[kept], sums[kept]
        def cdf(y, x=x, p=p, b=b, weights=weights):
            return float(p @ exact.cdf(y - x[:, None] - b[None, :]) @ weights)
    else:
        def cdf(y, x=x, p=p):
            return float(p @ exact.cdf(y - x))
    written([factors] + [[o] for o in others], mean + sum(o.mean for o in others), cdf, abs(mean))
