"""Writes what was measured as a page and a chart."""

from . import chart, setting
from .counts import MEASURES
from .program import ROOT
from .times import Spread, ratio

PAGE, CHART = "benches/RESULTS.md", "benches/results.svg"

# By how the names of their rows begin; the first that fits.
GROUPS = {
    "Stacks": ("all five", "timeout, fallback"),
    "Timeout": ("timeout",),
    "Circuit breaker": ("circuit breaker",),
    "Rate limit": ("rate limit",),
    "HTTP": ("http",),
    "Retry": ("retry",),
    "Fallback": ("fallback",),
}

INTRODUCTION = """\
# What the layers cost

Made by `scripts/bench`; do not edit. It needs valgrind and binutils, and half an hour of a machine that may be busy.

A row is a call through one layer or stack, ours or a peer's, all in one program and around the same service: one that
answers at once, or (*waits once*) at its second poll, so that timers are armed. Layers are built before, and each call is
checked to have taken the path that its row is named for. What the service alone takes is subtracted.

*Instructions*, *locked* instructions (they wait for other processors), *allocations* with their bytes, and *clock reads*
are counted under valgrind and repeat exactly. A reading of the clock is about twenty nanoseconds more than its few
instructions tell. *Nanoseconds* are of the thread's processor time: medians and quartiles of 15 rounds, each of
which times every row right after its service alone; they differ from machine to machine, and *beside the best peer*, the
time that ours adds as a part of what the peer adds, differs less. The best peer of a row is the one that adds the fewest instructions.
"""

PEERS = """\
Peers are set up like ours, and where that cannot be, in their own favour. recloser, failsafe and governor are called as
functions, with no service around them, and the first two count nothing for a call that is dropped. tower's rate limit
cannot be shared. tower-resilience counts for ever where its breaker should slide over the last calls (in the stack as well); by time, it
goes through all calls of the window.
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
        *(table(title, rows, peers, best, counts, times) for title in GROUPS),
        services(rows, counts),
    ]
    (ROOT / PAGE).write_text("\n\n".join(part.strip() for part in [*parts, more] if part) + "\n")
    bars = [
        (name, counts[name]["instructions"], counts[peer.name]["instructions"], peer.peer)
        for name, peer in best.items()
        if name in file.targets
    ]
    (ROOT / CHART).write_text(chart.svg(bars))


def targets(counts, best, file):
    lines = [
        "| call | added | target | | best peer |",
        "|---|---|---|---|---|",
    ]
    reasons = []
    for name, target in file.targets.items():
        values = counts[name]
        missed = file.missed(name, values)
        peer = f"{best[name].peer}: {told(counts[best[name].name], MEASURES[:1])}" if name in best else ""
        met = "**not met**" if missed else "met"
        lines.append(f"| {name} | {told(values, target)} | {told(target, target)} | {met} | {peer} |")
        if missed:
            reasons.append(f"- **{name}**: {file.reasons.get(name, 'nobody has said why.')}")
    if reasons:
        lines += ["", "Where a target is not met, this is why:", "", *reasons]
    return "\n".join(lines)


def told(values, names):
    words = {"bytes": "bytes", "clock_reads": "clock reads"}
    return ", ".join(f"{number(values[name], name)} {words.get(name, name)}" for name in names)


def number(value, name):
    return f"{value:.0f}" if name == "instructions" else f"{value:g}"


def table(title, rows, peers, best, counts, times):
    lines = [
        f"### {title}",
        "",
        "| call | | instructions | locked | allocations | clock reads | nanoseconds | beside the best peer |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row.is_ours and group_of(row.name) == title:
            beside = ratio(times[row.name], times[best[row.name].name]) if row.name in best else ""
            lines.append(line(f"**{row.name}**", "**buttress**", row, counts, times, f"{beside} ×" if beside else ""))
            lines += [line("", peer.peer, peer, counts, times, "") for peer in peers[row.name]]
    return "\n".join(lines)


def group_of(name):
    return next(title for title, starts in GROUPS.items() if name.startswith(starts))


def line(call, whose, row, counts, times, beside):
    values = counts[row.name]
    allocations = number(values["allocations"], "allocations")
    if values["bytes"]:
        allocations += f" ({values['bytes']:g} bytes)"
    cells = (
        number(values["instructions"], "instructions"),
        *(number(values["locked"], "locked"), allocations, number(values["clock_reads"], "clock_reads")),
    )
    return f"| {call} | {whose} | {' | '.join(cells)} | {Spread.of(times[row.name])} | {beside} |"


def services(rows, counts):
    lines = ["### The services alone", "", "What is subtracted.", "", "| | instructions | allocations |", "|---|---:|---:|"]
    for row in rows:
        if row.is_bare:
            values = counts[row.name]
            lines.append(f"| {row.name} | {values['instructions']:.0f} | {values['allocations']:g} |")
    return "\n".join(lines)
