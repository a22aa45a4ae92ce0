"""The command line of `scripts/bench`."""

import argparse
import io
import sys
import unittest

from . import bounds, counts, engines, history, machine, program, results, setting, test_bounds, times
from .bounds import FILE, Bounds


def main(usage):
    parser = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--set-bounds", action="store_true")
    parser.add_argument("--raise", action="append", default=[], metavar="ROW", dest="raised")
    asked = parser.parse_args()
    if asked.gate:
        gate()
    elif asked.set_bounds:
        set_bounds(asked.raised)
    elif asked.words == ["engines"]:
        results.replace(engines.section(engines.measure(), read_bounds().reasons))
        print(f"{results.PAGE} has them")
    elif asked.words:
        show(asked.words)
    else:
        everything()


def show(words):
    """Prints the counts of our rows whose names have one of the words."""
    built = program.build("rows")
    rows = program.rows_of(built)
    wanted = [row for row in rows if row.is_ours and any(word in row.name for word in words)]
    if not wanted:
        sys.exit("none of our rows has such a word in its name")
    bare = {row.bare for row in wanted}
    print_counts([row for row in rows if row in wanted or row.name in bare], built)


def print_counts(rows, built):
    """Prints the rows as they are counted; what ours add, by name."""
    print(f"{'':48}{'instructions':>14}{'locked':>8}{'allocations':>13}{'bytes':>8}{'clock reads':>13}")
    ours = {}
    for row, values in counts.added(rows, built):
        instructions, locked, allocations, size, readings = values.values()
        shown = f"{instructions:.0f}" if row.is_bare else f"{instructions:+.0f}"
        print(f"{row.name:48}{shown:>14}{locked:>8g}{allocations:>13g}{size:>8g}{readings:>13g}", flush=True)
        if row.is_ours:
            ours[row.name] = values
    return ours


def gate():
    test_gate()
    file, rustc = read_bounds(), setting.rustc()
    built = program.build("rows")
    measured = print_counts(program.rows_of(built), built)
    if rustc != file.rustc:
        print(f"the instructions are not held: their bounds are for rustc {file.rustc}, and this is {rustc}")
    changelog = (program.ROOT / "CHANGELOG.md").read_text()
    found = [*bounds.violations(file, measured, rustc), *bounds.raises(file, history.past(), changelog)]
    if found:
        sys.exit("\n".join(found))
    print(f"{len(measured)} rows are within their bounds")


def test_gate():
    """Ends the program if the gate would not find what it is there to find."""
    tests = unittest.defaultTestLoader.loadTestsFromModule(test_bounds)
    log = io.StringIO()
    result = unittest.TextTestRunner(log).run(tests)
    if not result.wasSuccessful() or not result.testsRun:
        sys.exit(log.getvalue())


def set_bounds(raised):
    built = program.build("rows")
    measured = print_counts(program.rows_of(built), built)
    if unknown := [row for row in raised if row not in measured]:
        sys.exit(f"there are no such rows: {unknown}")
    file = bounds.lowered(read_bounds(), measured, raised, setting.rustc())
    (program.ROOT / FILE).write_text(file.text())
    print("\n".join(bounds.violations(file, measured, file.rustc)))


def read_bounds():
    return Bounds.parse((program.ROOT / FILE).read_text())


def everything():
    """Writes the page and the chart."""
    alone, with_peers = (program.build("rows", feature) for feature in (None, "peers"))
    rows = program.rows_of(with_peers)
    counted = {}
    # Ours are counted in the program that the gate counts them in: another one would be inlined differently.
    for built, is_counted in ((with_peers, lambda row: row.peer), (alone, lambda row: row.is_ours)):
        for row, values in counts.added([row for row in rows if row.is_bare or is_counted(row)], built):
            print(f"counted: {row.name}", flush=True)
            counted[row.name] = values
    timed = times.added(with_peers)
    file = read_bounds()
    more = machine.tables(machine.measure(), file.reasons)
    results.write(rows, counted, timed, file, f"{more}\n{engines.section(engines.measure(), file.reasons)}")
    print(f"{results.PAGE} and {results.CHART} are written")
