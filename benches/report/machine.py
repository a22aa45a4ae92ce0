"""Measures what takes more than one call at a time: two threads, a million keys, and an axum server.

`measure` builds the programs `machine` and `memory` of `benches/peers`, with the peers, and runs them; `tables` makes
Markdown of what it found. Bytes and instructions repeat exactly. Times do not: they are told with their quartiles, and
hold nothing.
"""

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .program import build, output_of
from .times import Spread

ROUNDS = 15

# What two threads that share nothing get from two idle cores, or nearly; the same as in `threads.rs`.
NEARLY_TWICE = 1.8
SCALING_TARGETS = {"breaker": 1.8, "limiter": 1.0, "stack": 1.5}
BYTES_TARGET = 24

BUSY = "not to be told: the machine was busy"

REQUESTS = 2_000
CONNECTIONS = 32
# Parts of ours alone are for finding out where it goes: they are counted, and not put under load.
LOADED = ("identity", "buttress", "tower, timeout and concurrency limit", "tower_governor, limiter")
LOADED += ("tower-resilience, without fallback",)
INSTRUCTIONS_TARGET = 1.15
THROUGHPUT_TARGET = 0.97
# The share of a round that a server may stand in line for its core before throughput tells more of others than of it.
MOST_WAITING = 0.05


def measure():
    """All that there is to measure, as plain data; takes five minutes or so once it is built."""
    program = build("machine", "peers")
    return {
        "memory": memory(build("memory", "peers")),
        "instructions": instructions(program),
        "threads": threads(program),
        # None if it cannot be measured.
        "load": load(program) if has_load_generator() else None,
    }


def tables(results, reasons):
    """Sections of Markdown; `reasons` say why a target is missed, by the headings."""
    sections = [threads_table(results["threads"]), memory_table(results["memory"])]
    sections += [instructions_table(results["instructions"]), load_table(results["load"])]
    return "\n".join(section + reason(section, reasons) for section in sections)


def reason(section, reasons):
    heading = section.splitlines()[0].removeprefix("## ")
    return f"\nThe target is missed: {reasons[heading]}\n" if "**missed**" in section and heading in reasons else ""


def memory(program):
    """Bytes for each of a million keys, by what keeps them."""
    lines = (line.split("\t") for line in output_of(program).splitlines())
    return {name: float(size) for name, size in lines}


def instructions(program):
    """Instructions per request, by server."""

    def of(server):
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder, "profile")
            output_of(
                *("valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=machine::requests::batch*"),
                *(f"--callgrind-out-file={profile}", program, "requests", server, REQUESTS),
            )
            return int(re.search(r"^summary: (\d+)$", profile.read_text(), re.MULTILINE)[1]) / REQUESTS

    servers = output_of(program, "servers").splitlines()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(servers, pool.map(of, servers)))


def threads(program):
    """By row, of each round: how much faster two threads were than one, and how much faster at nothing shared."""
    rounds = {}
    for line in output_of(program, "threads").splitlines():
        row, scaling, bare = line.split("\t")
        rounds.setdefault(row, []).append((float(scaling), float(bare)))
    # Others may have needed the cores meanwhile. Chosen by what the machine gave, and not by what came of it.
    return {row: sorted(of, key=lambda pair: -pair[1])[:ROUNDS] for row, of in rounds.items()}


def has_load_generator():
    if not shutil.which("wrk") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "--yes", "wrk"], stdout=subprocess.DEVNULL)
    if not shutil.which("wrk"):
        print("No axum server was put under load: wrk is missing, and could not be installed.", file=sys.stderr)
    elif len(os.sched_getaffinity(0)) < 2:
        print("No axum server was put under load: it takes two cores.", file=sys.stderr)
    else:
        return True
    return False


def load(program):
    """By server, of each round: requests a second and its time of the processor per request, over bare; and the share of
    the round that one of the two stood in line for its core."""
    core, other_core = sorted(os.sched_getaffinity(0))[:2]
    servers = {name: Server(program, name, core) for name in ("bare", *LOADED)}
    rounds = {name: [] for name in LOADED}
    try:
        for _ in range(ROUNDS):
            for name in random.sample(LOADED, len(LOADED)):
                bare_rate, bare_cost, bare_waiting = servers["bare"].under_load(other_core)
                rate, cost, waiting = servers[name].under_load(other_core)
                rounds[name].append((rate / bare_rate, cost / bare_cost, max(waiting, bare_waiting)))
    finally:
        for server in servers.values():
            server.stop()
    return rounds


class Server:
    """A server in a process of its own, on a core of its own."""

    def __init__(self, program, name, core):
        command = ["taskset", "--cpu-list", str(core), program, "serve", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/"

    def under_load(self, core):
        """Requests in a second, nanoseconds of its thread per request, and the share of the time that others had its core."""
        ran, waited = self.nanoseconds()
        found = output_of(
            *("taskset", "--cpu-list", core, "wrk", "--threads", 1, "--connections", CONNECTIONS),
            *("--duration", "1s", self.url),
        )
        ran, waited = (after - before for after, before in zip(self.nanoseconds(), (ran, waited)))
        if "Non-2xx" in found or "Socket errors" in found:
            sys.exit(f"a server failed under load:\n{found}")
        requests = int(re.search(r"(\d+) requests in", found)[1])
        rate = float(re.search(r"Requests/sec: +([\d.]+)", found)[1])
        return rate, ran / requests, waited / (ran + waited)

    def nanoseconds(self):
        """How long the thread that serves has had the processor, in the kernel as well, and how long it stood in line for it."""
        return [int(time) for time in Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[:2]]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


def met(is_met):
    return "met" if is_met else "**missed**"


def threads_table(rounds):
    lines = [
        "## Two threads over one",
        "",
        "How many times as many calls two threads make in the time of one, at a shared object: 2 is the most there is, 1 is"
        " as if there were one thread. Of a layer each thread has a clone of one service, as a server's connections have."
        " *bare* is a service that shares nothing, in the same rounds; *over bare* is the ratio of the two. Of what is *not"
        " shared* each thread has one of its own: the difference is what sharing takes.",
        "",
        f"Median and quartiles of the {ROUNDS} rounds, of at most 60, in which the machine gave bare the most.",
        "",
        "| | two threads over one | bare | over bare | target | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row, pairs in rounds.items():
        scaling, bare = (statistics.median(values) for values in zip(*pairs))
        target = SCALING_TARGETS.get(row.split(":")[0]) if "buttress" in row else None
        if target is None:
            judged = " | "
        elif bare < NEARLY_TWICE:
            judged = f">= {target} | {BUSY}"
        else:
            judged = f">= {target} | {met(scaling >= target)}"
        both = (Spread.of([pair[0] for pair in pairs]), f"{bare:.2f}", Spread.of([one / two for one, two in pairs]))
        lines.append(f"| {row} | {' | '.join(map(str, both))} | {judged} |")
    return "\n".join(lines) + "\n"


def memory_table(sizes):
    lines = [
        "## A million keys",
        "",
        "Bytes that are allocated when each key came once, for each. Ours keeps no keys, only 64 bits of each, and no more"
        " than its settings allow; a key of which nothing is owed gives its place to another. The peer keeps all of them"
        " until it is told to look for some to forget.",
        "",
        "| | bytes per key | target | |",
        "|---|---:|---:|---|",
    ]
    for name, size in sizes.items():
        judged = f"<= {BYTES_TARGET} | {met(size <= BYTES_TARGET)}" if "buttress" in name else " | "
        lines.append(f"| {name} | {size:.1f} | {judged} |")
    return "\n".join(lines) + "\n"


def instructions_table(counts):
    bare = counts["bare"]
    lines = [
        "## An axum server: instructions",
        "",
        "What one request executes outside the kernel, from its bytes to those of its answer: axum and hyper, one"
        " connection. *identity* is a layer that does nothing, since axum puts whatever a `.layer` makes into a box."
        " *buttress* is fallback, limiter, breaker (time window) and timeout as one `ServiceBuilder`; its parts stand alone"
        " below. Around a route of axum, whose requests are neither `Clone` nor `Sync`, tower-resilience has no fallback,"
        " and tower, without a queue, no rate limit.",
        "",
        "| | instructions per request | over bare | added to identity | target | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, count in counts.items():
        is_target = name == "buttress"
        judged = f"<= {INSTRUCTIONS_TARGET} | {met(count <= INSTRUCTIONS_TARGET * bare)}" if is_target else " | "
        added = "" if name == "bare" else f"{count - counts['identity']:+,.0f}"
        lines.append(f"| {name} | {count:,.0f} | {count / bare:.3f} | {added} | {judged} |")
    return "\n".join(lines) + "\n"


def load_table(rounds):
    lines = ["## An axum server: under load", ""]
    if rounds is None:
        return "\n".join([*lines, "Not measured: it takes two cores, and `wrk`, which could not be installed.", ""])
    lines += [
        f"`wrk` with {CONNECTIONS} connections on one core, the server on another. Median and quartiles of {ROUNDS} rounds of"
        " a second, each right after a round of bare. *in line* is the share of its time that a server stood in line for a"
        " core that others had.",
        "",
        "| | requests a second over bare | its time of the processor per request over bare | in line | target (requests) | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, of in rounds.items():
        rates, costs, waiting = zip(*of)
        waiting = statistics.median(waiting)
        if name != "buttress":
            judged = " | "
        elif waiting > MOST_WAITING:
            judged = f">= {THROUGHPUT_TARGET} | {BUSY}"
        else:
            judged = f">= {THROUGHPUT_TARGET} | {met(statistics.median(rates) >= THROUGHPUT_TARGET)}"
        lines.append(f"| {name} | {Spread.of(rates)} | {Spread.of(costs)} | {waiting:.0%} | {judged} |")
    return "\n".join(lines) + "\n"
