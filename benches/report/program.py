"""Builds the program that has the rows, and runs commands."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "buttress-peers"


def output_of(*command):
    """What a command prints; ends the program if it fails, which it has explained itself."""
    command = [str(word) for word in command]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return run.stdout if run.returncode == 0 else sys.exit(f"failed: {' '.join(command)}")


@dataclass(frozen=True)
class Row:
    """A row of the list."""

    name: str
    bare: str
    # None if it is ours.
    peer: str | None
    # Our rows that a peer's row stands beside.
    beside: tuple[str, ...]

    @property
    def is_bare(self):
        return self.name == self.bare

    @property
    def is_ours(self):
        return not self.is_bare and not self.peer


def build(name, feature=None):
    """A program, which measures the peers as well if the feature is `peers`."""
    for command, package in {"valgrind": "valgrind", "objdump": "binutils"}.items():
        if not shutil.which(command):
            sys.exit(f"{command} is missing: apt-get install {package}")
    features = ("--features", feature) if feature else ()
    check_clock(features)
    # The profile of the benches: one unit of code, optimized as a whole.
    messages = output_of(
        *("cargo", "build", "--quiet", "--profile", "bench", "--package", PACKAGE, "--bin", name),
        *(*features, "--message-format=json-render-diagnostics"),
    )
    built = next(message["executable"] for message in map(json.loads, messages.splitlines()) if message.get("executable"))
    # Cargo puts the one without the peers and the one with them in the same place.
    return shutil.copy2(built, Path(built).with_name(f"{name}-{f'with-{feature}' if feature else 'alone'}"))


def check_clock(features):
    """Tokio's `test-util` puts a lock and a branch before every reading of the clock: with it, something else is measured."""
    tree = output_of(
        *("cargo", "tree", "--package", PACKAGE, *features),
        *("--edges", "normal,build", "--prefix", "none", "--format", "{p} {f}"),
    )
    built = {line.split()[-1] for line in tree.splitlines() if line.startswith("tokio v")} - {"(*)"}
    if not built or any("test-util" in of.split(",") for of in built):
        sys.exit(f"the rows are to be built with a tokio that has no `test-util`, and it has: {' '.join(built) or 'none'}")


def rows_of(program):
    def row(line):
        name, bare, peer, beside = line.split("\t")
        return Row(name, bare, peer or None, tuple(filter(None, beside.split("|"))))

    return [row(line) for line in output_of(program, "list").splitlines()]
