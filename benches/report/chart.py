"""The chart: what ours and the best peer add, as bars."""

from html import escape
from math import log10

BAR, GAP, LEFT, WIDTH, RIGHT, TOP = 11, 13, 330, 560, 210, 64

STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px }
.faint { fill: #656d76 }
.line { stroke: #d0d7de }
.ours { fill: #0969da }
.peer { fill: #9a6700 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .faint { fill: #9198a1 }
  .line { stroke: #3d444d }
  .ours { fill: #4493f8 }
  .peer { fill: #d29922 }
}"""


def svg(bars):
    """`bars` are of a row each: its name, what ours adds, what the best peer adds, and who that is."""
    decades = max(1, *(int(log10(max(ours, peer, 1))) + 1 for _, ours, peer, _ in bars))
    bottom = TOP + len(bars) * (2 * BAR + GAP)

    def length(instructions):
        # On this scale there is no place for less than one.
        return max(WIDTH * log10(max(instructions, 1)) / decades, 2)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {bottom + 12}" role="img"'
        ' aria-label="Instructions that a call adds: ours and the best peer">',
        f"<style>{STYLE}</style>",
        '<text x="10" y="22">Instructions that a layer adds to a call, on a logarithmic scale: less is better</text>',
        '<rect x="10" y="34" width="12" height="12" class="ours"/><text x="28" y="45">buttress</text>',
        '<rect x="110" y="34" width="12" height="12" class="peer"/><text x="128" y="45">the best peer</text>',
    ]
    for decade in range(decades + 1):
        x = LEFT + WIDTH * decade / decades
        lines.append(f'<line class="line" x1="{x:g}" x2="{x:g}" y1="{TOP}" y2="{bottom}"/>')
        lines.append(f'<text class="small faint" text-anchor="middle" x="{x:g}" y="{TOP - 5}">{10**decade}</text>')
    for place, (name, ours, peer, whose) in enumerate(bars):
        y = TOP + place * (2 * BAR + GAP) + GAP / 2
        lines.append(f'<text text-anchor="end" x="{LEFT - 10}" y="{y + BAR + 4:g}">{escape(name)}</text>')
        for y, kind, added, label in ((y, "ours", ours, f"{ours:.0f}"), (y + BAR, "peer", peer, f"{peer:.0f} {whose}")):
            lines.append(f'<rect class="{kind}" x="{LEFT}" y="{y:g}" width="{length(added):.1f}" height="{BAR - 1}"/>')
            x = LEFT + length(added) + 5
            lines.append(f'<text class="small" x="{x:.1f}" y="{y + BAR - 2:g}">{escape(label)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
