"""How often the statistics cry wolf: `python benchmarks/calibration.py [--matrices 2000]`. The last line is JSON.

Matrices without any true difference pass through the tests that `harness run` uses. The table is the one of
docs/statistics.md. `worst_false_alarm`: the largest share of wrong verdicts on one pair at alpha = 0.05;
`worst_family`: of any wrong verdict in a family of five pairs; `worst_coverage`: the share of headline intervals that
hold the truth, furthest below 95 %, of settings with enough items for a verdict.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version

from harness.selfcheck import FULL, Rates, simulate, table


def main() -> None:
    """Simulate, print the table line by line, and end with one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--matrices", type=int, default=2000, help="matrices a setting (default: 2000)")
    matrices = parser.parse_args().matrices
    began = time.perf_counter()
    found: list[Rates] = []
    for number, setting in enumerate(FULL):
        found.append(simulate(setting, matrices, seed=number))
        print(table(found).splitlines()[-1], flush=True)
    print("\n" + table(found))
    enough = [rates for rates in found if not rates.guarded]
    result = {
        "name": "calibration",
        "worst_false_alarm": max(rates.verdicts for rates in found),
        "worst_family": max(rates.family for rates in found),
        "worst_coverage": min(rates.covered for rates in enough),
        "matrices": matrices,
        "settings": len(found),
        "seconds": round(time.perf_counter() - began),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("numpy", "scipy")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
