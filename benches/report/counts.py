"""Counts what the calls of a row execute, ask of the allocator and of the clock; under valgrind, and so exactly."""

import os
import re
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from .program import output_of

MEASURES = ("instructions", "locked", "allocations", "bytes", "clock_reads")

CALLS = 10_000
ALLOCATIONS = {"malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign"}


@cache
def addresses(program):
    """Where a program or library has locked instructions, and where it reads the processor's own clock.

    The locked ones are those of x86-64: with a `lock` prefix, or an exchange with memory.
    """
    text = output_of("objdump", "--disassemble", "--no-show-raw-insn", program)

    def of(pattern):
        return {int(address, 16) for address in re.findall(rf"^ *([0-9a-f]+):\t(?:{pattern})", text, re.MULTILINE)}

    return of(r"lock |xchg .*\("), of(r"rdtscp?\b")


def read_profile(lines):
    """How often each instruction was executed, by program and address; and where functions begin, by name."""
    executed, entries = Counter(), {}
    program = called_program = called = None
    is_a_calls_sum = False
    for line in lines:
        key, _, value = line.partition("=")
        if key == "ob":
            program = called_program = value
        elif key == "cob":
            called_program = value
        elif key == "cfn":
            called = value.split("@")[0]
        elif key == "calls":
            entries.setdefault(called, set()).add((called_program, int(value.split()[1], 16)))
            called_program, is_a_calls_sum = program, True
        elif line.startswith("0x"):
            # The line after `calls` has the sum of what was called, which is counted where it was executed.
            if not is_a_calls_sum:
                address, count = line.split()
                executed[program, int(address, 16)] += int(count)
            is_a_calls_sum = False
    return executed, entries


def executed_by(program, row):
    """Instructions, locked ones, allocations and clock readings of a call.

    Valgrind keeps the kernel's page of the clock from the program, and so a reading shows as a few instructions, fewer
    than it has.
    """
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "profile")
        output_of(
            *("valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=rows::batch*", "--dump-instr=yes"),
            *("--dump-line=no", "--compress-pos=no", "--compress-strings=no", f"--callgrind-out-file={profile}"),
            *(program, "count", row, CALLS),
        )
        executed, entries = read_profile(profile.read_text().splitlines())
    locked = ticks = 0
    for (where, address), count in executed.items():
        locks, clocks = addresses(where)
        locked += count * (address in locks)
        ticks += count * (address in clocks)

    def calls_of(*names):
        return sum(executed[entry] for name in names for entry in entries.get(name, ()))

    return [
        count / CALLS
        for count in (executed.total(), locked, calls_of(*ALLOCATIONS), calls_of("clock_gettime") + ticks)
    ]


def bytes_of(program, row):
    """Bytes that a call asks of the allocator: what twice as many calls ask for beyond once as many."""

    def total(calls):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "log")
            output_of(
                *("valgrind", "--tool=dhat", f"--log-file={log}", f"--dhat-out-file={Path(folder, 'profile')}"),
                *(program, "count", row, calls),
            )
            found = re.search(r"Total: +([0-9,]+) bytes", log.read_text())
        return int(found[1].replace(",", ""))

    return (total(2 * CALLS) - total(CALLS)) / CALLS


def measure(program, row):
    """All measures of a call, rounded to what the calls before and after the counted ones cannot change."""
    instructions, locked, allocations, readings = executed_by(program, row)
    size = bytes_of(program, row) if round(allocations, 2) else 0
    values = (round(instructions, 1), *(round(value, 2) for value in (locked, allocations, size, readings)))
    return dict(zip(MEASURES, values, strict=True))


def check_control(program):
    """Ends the program if what is known is counted as something else."""
    control = measure(program, "control")
    control.pop("instructions")
    if {name: round(value) for name, value in control.items()} != {
        "locked": 2, "allocations": 1, "bytes": 4, "clock_reads": 1,
    }:
        sys.exit(f"a lock taken and released, an allocation of 4 bytes and a reading of the clock were counted as {control}")


def added(rows, program):
    """Yields each row and what it adds to its bare one; a bare row with what it has itself."""
    # Once, before several ask for it.
    check_control(program)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = {row.name: pool.submit(measure, program, row.name) for row in rows}
        for row in rows:
            of_row, of_bare = measured[row.name].result(), measured[row.bare].result()
            if row.is_bare:
                yield row, of_row
            else:
                yield row, {name: round(of_row[name] - of_bare[name], 2) for name in MEASURES}
