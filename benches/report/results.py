"""Writes what was measured as a page and a chart."""

from . import chart, setting
from .counts import MEASURES
from .program import ROOT
from .times import Spread, ratio

PAGE, CHART = "benches/RESULTS.md", "benches/results.svg"

# Bytes are told with their allocations.
TARGETED = tuple(measure for measure in MEASURES if measure != "bytes")

# By how the names of their rows begin; the first that fits.
GROUPS = {
    "Stacks": ("all five", "timeout, fallback"),
    "Timeout": ("timeout",),
    "Circuit breaker": ("circuit breaker",),
    "Rate limit": ("rate limit",),
    "HTTP": ("http",),
    "Retry": ("retry",),
    "Idempotency": ("idempotency",),
    "Fallback": ("fallback",),
    "Cache fallback": ("cache fallback",),
}

INTRODUCTION = """\
# What the layers cost

Made by `scripts/bench`, which needs valgrind and binutils and a machine that may be busy. `scripts/bench WORD` counts just our
rows with that word in their names; what is counted is held by `scripts/bench --gate`.

A row is a call through one layer or stack, ours or a peer's, around the same service: one that answers at once, or
(*waits once*) at its second poll, so that timers are armed. Layers are built before, and each call is checked to have taken
the path that its row is named for. What the service alone takes, in the same program, is subtracted.

- *Instructions*, *locked* instructions (which wait for other processors), *allocations* with their bytes, and *clock
  reads* are counted under valgrind and repeat exactly, ours in a program without the peers, as the checks of every change
  count them. A reading of the clock takes about twenty nanoseconds, which its
  few instructions do not tell.
- *Nanoseconds* are of the thread's processor time: median and quartiles of 15 rounds, each of which times every row
  right after its service alone. They differ from machine to machine. What ours adds *beside the best peer*, as a part of what
  the quickest peer adds, differs less.
"""

PEERS = """\
Peers are set up like ours, and where that cannot be, in their own favour:

- recloser, failsafe and governor are called as functions, with no service around them; the first two never hear of a
  call that is dropped.
- failsafe has no window over the last calls: it counts failures in a row, or (its default) these and those of a time.
- tower's rate limit cannot be shared between services.
- tower-resilience's breaker counts for ever where it should slide over the last calls, in the stack as well; by time, it
  goes through all calls of its window.
- quick_cache and moka are called as functions, with what they have of an answer; quick_cache does not ask how old it is.
- tower_governor answers in plain text, ours with problem+json. It makes a clock for each refusal, which asks the processor
  what it is; on a virtual machine that takes long.
"""


def write(rows, counts, times, file, more):
    """`counts` is what each row adds, by name; `times` the rounds of what it adds; `more` is put at the end."""
    peers = {row.name: [peer for peer in rows if row.name in peer.beside] for row in rows if row.is_ours}
    best = {
        name: min(those, key=lambda peer: counts[peer.name]["instructions"]) for name, those in peers.items() if those
    }
    parts = [
        INTRODUCTION,
        *("\n".join(setting.lines()), "## The targets", f"![Instructions that each row adds]({CHART.split('/')[-1]})"),
        *(targets(counts, best, file), "## Every row", PEERS),
        *(table(title, rows, peers, counts, times) for title in GROUPS),
        services(rows, counts),
    ]
    (ROOT / PAGE).write_text("\n\n".join(part.strip() for part in [*parts, more] if part) + "\n")
    bars = [
        (name, counts[name]["instructions"], counts[peer.name]["instructions"], peer.peer)
        for name, peer in best.items()
        if name in file.targets
    ]
    (ROOT / CHART).write_text(chart.svg(bars))


def replace(section):
    """Puts a section in place of the one of the page that has the same heading."""
    before, heading, rest = (ROOT / PAGE).read_text().partition(section.splitlines()[0] + "\n")
    after = rest[rest.find("\n## ") + 1 :] if heading and "\n## " in rest else ""
    (ROOT / PAGE).write_text("\n\n".join(part.strip() for part in (before, section, after) if part) + "\n")


def targets(counts, best, file):
    lines = [
        "What a call adds, and in parentheses the most that it should.",
        "",
        f"| call | {' | '.join(map(spoken, TARGETED))} | | best peer's instructions |",
        f"|---|{'---:|' * len(TARGETED)}---|---|",
    ]
    reasons = []
    for name, target in file.targets.items():
        values, missed = counts[name], file.missed(name, counts[name])
        cells = [beside(values, target, measure) for measure in TARGETED]
        peer = f"{best[name].peer}: {number(counts[best[name].name], 'instructions')}" if name in best else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {'**missed**' if missed else 'met'} | {peer} |")
        if missed:
            reasons.append(f"- **{name}**: {file.reasons.get(name, 'nobody has said why.')}")
    if reasons:
        lines += ["", "Where a target is missed, this is why:", "", *reasons]
    return "\n".join(lines)


def beside(values, target, measure):
    return number(values, measure) + (f" ({target[measure]:g})" if measure in target else "")


def spoken(measure):
    return measure.replace("_", " ")


def number(values, measure):
    return f"{values[measure]:.0f}" if measure == "instructions" else f"{values[measure]:g}"


def table(title, rows, peers, counts, times):
    lines = [
        f"### {title}",
        "",
        "| call | | instructions | locked | allocations | clock reads | nanoseconds | beside the best peer |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row.is_ours and group_of(row.name) == title:
            quickest = min(peers[row.name], key=lambda peer: Spread.of(times[peer.name]).median, default=None)
            part = f"{ratio(times[row.name], times[quickest.name])} ×" if quickest else ""
            lines.append(line(f"**{row.name}**", "**buttress**", row, counts, times, part))
            lines += [line("", peer.peer, peer, counts, times, "") for peer in peers[row.name]]
    return "\n".join(lines)


def group_of(name):
    return next(title for title, starts in GROUPS.items() if name.startswith(starts))


def line(call, whose, row, counts, times, part):
    values = counts[row.name]
    cells = [number(values, measure) for measure in TARGETED]
    if values["bytes"]:
        cells[TARGETED.index("allocations")] += f" ({values['bytes']:g} bytes)"
    return f"| {call} | {whose} | {' | '.join(cells)} | {Spread.of(times[row.name])} | {part} |"


def services(rows, counts):
    lines = ["### The services alone", "", "What is subtracted.", "", "| | instructions | allocations |", "|---|---:|---:|"]
    for row in rows:
        if row.is_bare:
            values = counts[row.name]
            lines.append(f"| {row.name} | {values['instructions']:.0f} | {values['allocations']:g} |")
    return "\n".join(lines)
