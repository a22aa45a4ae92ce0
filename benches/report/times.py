"""What the calls take of the processor's time, beside what their bare rows take in the same round."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import quantiles

from .program import output_of


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values):
        return cls(*quantiles(values, n=4, method="inclusive"))

    def __str__(self):
        digits = 2 if abs(self.median) < 10 else 1 if abs(self.median) < 100 else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def added(program):
    """Nanoseconds that a call adds to its bare one, a list of rounds for each row."""
    rounds = defaultdict(list)
    for line in output_of(program, "time").splitlines():
        row, bare, own = line.split("\t")
        rounds[row].append(float(own) - float(bare))
    return rounds


def ratio(ours, peers):
    """Of what both added, round by round."""
    return Spread.of([our / peer for our, peer in zip(ours, peers, strict=True)])
