"""What each of our rows may add: the file of bounds, and the rules that it is held to.

`targets` and `reasons` are written by hand; `bounds` and `rustc` by `scripts/bench --set-bounds`.
"""

import math
import re
import tomllib
from dataclasses import dataclass, field

from .counts import MEASURES

FILE = "benches/bounds.toml"

# As CHANGELOG.md is to say them after a number.
UNITS = {
    "instructions": "instruction",
    "locked": "locked",
    "allocations": "allocation",
    "bytes": "byte",
    "clock_reads": "clock read",
}

PREFACE = """\
# What each row of ours may add to its bare one; `scripts/bench --gate` holds it, `--set-bounds` writes [bounds] and rustc.
# A bound is raised only with a line in CHANGELOG.md that names the row and the number: "`timeout`: 24 instructions, since ..".
"""


@dataclass
class Bounds:
    """The file."""

    # The compiler that the instructions are for.
    rustc: str
    targets: dict[str, dict[str, float]] = field(default_factory=dict)
    # Why a target is not met: of a row, or of what is measured apart, by its heading.
    reasons: dict[str, str] = field(default_factory=dict)
    bounds: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text):
        return cls(**tomllib.loads(text))

    def text(self):
        def table(name, values):
            width = max((len(row) for row in values), default=0) + 2
            return [f"\n[{name}]", *(f"{quoted(row):{width}} = {value}" for row, value in values.items())]

        def numbers(values):
            return "{ " + ", ".join(f"{name} = {value:g}" for name, value in values.items()) + " }"

        lines = [
            f"{PREFACE}\nrustc = {quoted(self.rustc)}",
            *table("targets", {row: numbers(values) for row, values in self.targets.items()}),
            *table("reasons", {row: quoted(reason) for row, reason in self.reasons.items()}),
            *table("bounds", {row: numbers(values) for row, values in self.bounds.items()}),
        ]
        return "\n".join(lines) + "\n"

    def missed(self, row, measured):
        """What of a row's target is not met, by measure."""
        return {name: target for name, target in self.targets.get(row, {}).items() if measured[name] > target}


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bound_of(name, measured, target):
    """What a measure is held to: what was measured; instructions with room for what an unrelated change moves."""
    measured = max(measured, 0)
    if name != "instructions":
        return measured
    roomy = math.ceil(measured * 110 / 100)
    return roomy if target is None or measured > target else min(roomy, target)


def lowered(old, measured, raised, rustc):
    """The bounds after a measurement: lower where less was measured, higher only for the `raised` rows."""
    bounds = {}
    for row, values in measured.items():
        new = {name: bound_of(name, values[name], old.targets.get(row, {}).get(name)) for name in MEASURES}
        if row in old.bounds and row not in raised:
            new = {name: min(new[name], old.bounds[row][name]) for name in MEASURES}
        bounds[row] = new
    reasons = {of: why for of, why in old.reasons.items() if of not in measured or old.missed(of, measured[of])}
    return Bounds(rustc, old.targets, reasons, bounds)


def violations(file, measured, rustc):
    """What the measured rows and the file of bounds have against each other, a sentence each."""
    for row, values in measured.items():
        if row not in file.bounds:
            yield f"`{row}` has no bound: scripts/bench --set-bounds"
            continue
        for name, bound in file.bounds[row].items():
            if values[name] > bound and (name != "instructions" or rustc == file.rustc):
                yield f"`{row}` adds {values[name]:g} {name}, and its bound is {bound:g}"
        if file.missed(row, values) and not file.reasons.get(row):
            missed = ", ".join(f"{target:g} {name}" for name, target in file.missed(row, values).items())
            yield f"`{row}` misses its target of {missed}, and [reasons] of {FILE} does not say why"
    for part in ("bounds", "targets"):
        for row in getattr(file, part).keys() - measured.keys():
            yield f"`{row}` is in [{part}] of {FILE}, and there is no such row"


def raises(file, past, changelog):
    """Bounds that are higher than they have been in the `past` files, and of which CHANGELOG.md does not tell."""
    for row, values in file.bounds.items():
        for name, bound in values.items():
            lowest = min((old.bounds[row][name] for old in past if name in old.bounds.get(row, {})), default=bound)
            if bound > lowest and not tells(changelog, row, f"{bound:g}", UNITS[name]):
                yield f"the bound of `{row}` was {lowest:g} {name} and is {bound:g}, and CHANGELOG.md has no such line"


def tells(changelog, row, bound, unit):
    new_bound = re.compile(rf"(?<![\w.]){re.escape(bound)} {unit}")
    return any(f"`{row}`" in line and new_bound.search(line) for line in changelog.splitlines())
