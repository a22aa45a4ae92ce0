"""Measures the engines that records of idempotency are kept in, each beside its own bare operations.

`measure` builds the program `engines` of `benches/peers` and runs it; `section` makes Markdown of what it found. Times hold
nothing: they are told as ratios within a round, with their quartiles.
"""

import os
import sys
from collections import defaultdict
from pathlib import Path
from shutil import which

from .machine import met
from .program import build, output_of
from .setting import commit, processor, versions
from .times import Spread

HEADING = "## Engines of idempotency"

# Of what, with how many tasks, and the most of the time of what is bare that it should take.
TARGETS = {
    ("Redis", "begin and complete", 64): 2.2,
    ("SQLite", "begin and complete", 32): 1 / 5,
    ("Postgres", "begin and complete", 32): 1.5,
}

# By what each engine is told apart, what is bare: twice written, and read.
BARE = {
    "Redis": ("two `SET`s", "`GET`"),
    "SQLite": ("two upserts", "a row by its key"),
    "Postgres": ("two upserts", "a row by its key"),
}

INTRODUCTION = f"""\
{HEADING}

What the records of a request take, begun and completed, and asked for again once it is done (*replay*), as many times the time
of what the engine does bare: writing a small value and then one of 1 KiB under the same key, and reading one of 1 KiB. Ours
records an answer of 1 KiB. Both are asked for by as many tasks at once, of the same program, through the same connections: one
to Redis, a pool of 32 to Postgres whose connections are not tested before each use, one to each of two files of SQLite, where
each bare operation is a transaction of its own. Each operation of ours in Redis is a script, so the least that two scripts can
take is measured as well: each does the one `SET` that is bare, and nothing else.
The engines are private servers on sockets and files in a temporary folder, on the same machine as the program; Redis saves by
its defaults (*appendonly* adds its log, which is synced every second), and Postgres and SQLite sync every commit. Median and
quartiles of 25 rounds of 120 ms each, in which ours and what is bare take turns. Less is better. `scripts/bench engines`
measures these alone.
"""


def measure():
    """By engine, what was done and the number of tasks, of each round how many times the time of what is bare ours took."""
    if not which("redis-server"):
        sys.exit("redis-server is missing: apt-get install redis-server")
    program = build("engines", "engines")
    rounds = defaultdict(list)
    for engine in output_of(program, "list").splitlines():
        print(f"measuring: {engine}", flush=True)
        for line in output_of(program, "run", engine).splitlines():
            what, tasks, bare, ours = line.split("\t")
            rounds[engine, what, int(tasks)].append(float(bare) / float(ours))
    return rounds


def section(rounds, reasons):
    lines = [
        INTRODUCTION,
        f"{setting()}\n",
        "| engine | | beside | 1 task | 32 tasks | 64 tasks | target | |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    missed = []
    rows = dict.fromkeys((engine, what) for engine, what, _ in rounds)
    for engine, what in rows:
        of_tasks = {tasks: Spread.of(of) for (*row, tasks), of in rounds.items() if tuple(row) == (engine, what)}
        bare = BARE[engine.split(",")[0]][what == "replay"]
        judged = " | "
        for tasks, spread in of_tasks.items():
            if (target := TARGETS.get((engine, what, tasks))) is not None:
                is_met = spread.median <= target
                judged = f"<= {target:g} at {tasks} | {met(is_met)}"
                missed += [] if is_met else [f"{engine}, {what}"]
        lines.append(f"| {engine} | {what} | {bare} | {' | '.join(map(str, of_tasks.values()))} | {judged} |")
    if missed:
        lines += ["", "Where a target is missed, this is why:", ""]
        lines += [f"- **{row}**: {reasons.get(row, 'nobody has said why.')}" for row in missed]
    return "\n".join(lines) + "\n"


def setting():
    redis = output_of("redis-server", "--version").split()[2].removeprefix("v=")
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts)
    postgres = output_of(servers[-1] if servers else "postgres", "--version").split()[2]
    crates = ", ".join(versions(("redis", "sqlx", "libsqlite3-sys")))
    machine = f"{os.cpu_count()} threads, {processor()}"
    return f"buttress at {commit()}; {machine}; Redis {redis}, Postgres {postgres}; {crates}."
