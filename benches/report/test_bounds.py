"""The gate finds what it is there to find; run by the gate itself, before it is believed."""

import tempfile
import unittest
from pathlib import Path

from .bounds import FILE, Bounds, lowered, raises, violations
from .counts import MEASURES
from .history import past
from .program import output_of

COUNTED = {"instructions": 50, "locked": 1, "allocations": 0, "bytes": 0, "clock_reads": 1}
RUSTC = "1.95.0"


def counted(**others):
    return {"retry": {**COUNTED, **others}}


def file(**others):
    return Bounds(RUSTC, targets={"retry": {"instructions": 60}}, bounds=counted(**others))


def found(bounds, measured, rustc=RUSTC):
    return list(violations(bounds, measured, rustc))


class Gate(unittest.TestCase):
    def test_what_is_within_its_bounds_passes(self):
        self.assertEqual(found(file(), counted()), [])

    def test_each_measure_is_held(self):
        for name in MEASURES:
            worse = counted(**{name: COUNTED[name] + 0.01})
            self.assertEqual(len(found(file(), worse)), 1, name)

    def test_another_compiler_is_held_to_all_but_its_instructions(self):
        self.assertEqual(found(file(), counted(instructions=55), "1.96.0"), [])
        self.assertEqual(len(found(file(), counted(locked=2), "1.96.0")), 1)

    def test_rows_and_bounds_are_the_same(self):
        self.assertEqual(len(found(file(), {**counted(), "new": COUNTED})), 1)
        # Its bound and its target.
        self.assertEqual(len(found(file(), {})), 2)

    def test_a_missed_target_needs_a_reason(self):
        missed = counted(instructions=70)
        without = Bounds(RUSTC, targets={"retry": {"instructions": 60}}, bounds=missed)
        self.assertEqual(len(found(without, missed)), 1)
        without.reasons["retry"] = "a promise is kept by it"
        self.assertEqual(found(without, missed), [])


class Raises(unittest.TestCase):
    def of(self, changelog):
        return list(raises(file(instructions=55), [file(), file(instructions=70)], changelog))

    def test_a_bound_above_the_lowest_it_had_is_found(self):
        self.assertEqual(len(self.of("")), 1)
        self.assertEqual(list(raises(file(), [file(instructions=70)], "")), [])

    def test_the_changelog_names_the_row_and_the_number(self):
        self.assertEqual(self.of("- `retry`: 55 instructions, since it keeps a promise"), [])
        for of_something_else in ("- `retry`: 155 instructions", "- `retries`: 55 instructions", "- `retry`: 55 bytes"):
            self.assertEqual(len(self.of(of_something_else)), 1, of_something_else)


    def test_every_committed_version_is_looked_at(self):
        with tempfile.TemporaryDirectory() as folder:
            git = ("git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null")
            output_of(*git, "init", "--quiet")
            Path(folder, FILE).parent.mkdir()
            for locked in (1, 2):
                Path(folder, FILE).write_text(file(locked=locked).text())
                output_of(*git, "add", ".")
                output_of(*git, "commit", "--quiet", "--message", f"{locked} locked")
            found = past(Path(folder))
        self.assertEqual(found, [file(locked=2), file(locked=1)])
        self.assertEqual(len(list(raises(file(locked=2), found, ""))), 1)


class Lowered(unittest.TestCase):
    def bound(self, old, raised=(), **measured):
        return lowered(old, counted(**measured), raised, RUSTC).bounds["retry"]

    def test_a_bound_only_goes_down(self):
        self.assertEqual(self.bound(file(), instructions=20)["instructions"], 22)
        self.assertEqual(self.bound(file(), instructions=52, locked=2), COUNTED)

    def test_a_row_that_is_named_may_go_up(self):
        self.assertEqual(self.bound(file(), ["retry"], locked=2)["locked"], 2)

    def test_room_ends_at_the_target_while_it_is_met(self):
        for measured, bound in ((50, 55), (59, 60), (60, 60), (70, 77)):
            self.assertEqual(self.bound(file(), ["retry"], instructions=measured)["instructions"], bound)

    def test_a_reason_goes_with_what_it_excused(self):
        old = file()
        old.reasons["retry"] = "a promise is kept by it"
        self.assertEqual(lowered(old, counted(instructions=70), [], RUSTC).reasons, old.reasons)
        self.assertEqual(lowered(old, counted(), [], RUSTC).reasons, {})

    def test_what_is_written_is_read(self):
        old = Bounds(RUSTC, {"a, b": {"locked": 0.02}}, {"a, b": 'so "it" is'}, {"a, b": COUNTED})
        self.assertEqual(Bounds.parse(old.text()), old)
