"""What was measured, and where."""

import os
import platform
import re
import tomllib
from pathlib import Path

from .program import ROOT, output_of

CRATES = (
    "tokio", "tower", "governor", "tower_governor", "tower-resilience-timelimiter", "tower-resilience-circuitbreaker",
    "tower-resilience-ratelimiter", "tower-resilience-retry", "tower-resilience-fallback", "failsafe", "recloser",
    "axum", "http",
)


def rustc():
    return output_of("rustc", "--version").split()[1]


def lines():
    """As a Markdown list."""
    return [
        f"- {os.cpu_count()} threads, {processor()}; {platform.system()} {platform.release().split('-')[0]}; "
        f"{' '.join(platform.libc_ver())}; {output_of('valgrind', '--version').strip()}",
        f"- {output_of('rustc', '--version').strip()}; `opt-level = 3`, `lto = \"fat\"`, `codegen-units = 1`",
        f"- buttress at {commit()}; {', '.join(versions())}",
    ]


def commit():
    changes = output_of("git", "status", "--porcelain", "src", "benches/peers", "Cargo.toml", "Cargo.lock")
    return output_of("git", "rev-parse", "--short", "HEAD").strip() + (" with changes" if changes else "")


def processor():
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return model[1] if model else platform.machine()


def versions(crates=CRATES):
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return [f"{package['name']} {package['version']}" for package in packages if package["name"] in crates]
