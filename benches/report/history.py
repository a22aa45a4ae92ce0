"""The file of bounds as it was."""

from .bounds import FILE, Bounds
from .program import ROOT, output_of


def past(root=ROOT):
    """Every committed version of the file, the newest first."""

    def git(*words):
        return output_of("git", "-C", root, *words)

    if not (root / ".git").exists():
        print("not a clone: whether a bound was raised cannot be seen")
        return []
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        print("a shallow clone: whether a bound was raised is seen only as far back as it goes")
    # Where it was added or changed: a commit that removed it has none to show.
    commits = git("log", "--format=%H", "--diff-filter=AM", "--", FILE).split()
    return [Bounds.parse(git("show", f"{commit}:{FILE}")) for commit in commits]
