"""The command line of `scripts/bench`."""

import sys

from . import counts, program


def main(usage):
    words = sys.argv[1:]
    if any(word.startswith("-") for word in words):
        sys.exit(usage)
    show(words)


def show(words):
    """Prints the counts of our rows whose names have one of the words."""
    built = program.build(with_peers=False)
    rows = program.rows_of(built)
    wanted = [row for row in rows if row.is_ours and any(word in row.name for word in words)]
    bare = {row.bare for row in wanted}
    rows = [row for row in rows if row in wanted or row.name in bare]
    print(f"{'':48}{'instructions':>14}{'locked':>8}{'allocations':>13}{'bytes':>8}{'clock reads':>13}")
    for row, values in counts.added(rows, built):
        instructions, locked, allocations, size, readings = values.values()
        shown = f"{instructions:.0f}" if row.is_bare else f"{instructions:+.0f}"
        print(f"{row.name:48}{shown:>14}{locked:>8g}{allocations:>13g}{size:>8g}{readings:>13g}", flush=True)
