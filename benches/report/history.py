"""The file of bounds as it was."""

import subprocess
import tomllib

from .bounds import FILE, Bounds
from .program import ROOT, output_of


def past():
    """Every committed version of the file."""
    if not (ROOT / ".git").exists():
        print("not a clone: whether a bound was raised cannot be seen")
        return
    if output_of("git", "rev-parse", "--is-shallow-repository").strip() == "true":
        print("a shallow clone: whether a bound was raised is seen only as far back as it goes")
    for commit in output_of("git", "log", "--format=%H", "--", FILE).split():
        # A commit that removed the file has none to show.
        shown = subprocess.run(["git", "show", f"{commit}:{FILE}"], cwd=ROOT, capture_output=True, text=True)
        try:
            yield Bounds.parse(shown.stdout)
        except (tomllib.TOMLDecodeError, TypeError):
            continue
