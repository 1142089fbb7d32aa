"""The gate's error rates: for each setting, candidates with a true fall of 0 to 2 tolerances, through the real rule.

    python benchmarks/gate.py [--gates 1000]

Prints the table of docs/ci.md; the last line is JSON. Rows that tell an error rate (no fall, and a fall of exactly the
tolerance) are made of so many gates, the others of half as many.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version

from harness.gate.simulation import SEVERAL, falls, simulate, table


def main() -> None:
    """Print the table and the largest rates of both errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gates", type=int, default=1000, help="simulated gates a setting and fall (default: 1000)")
    gates = parser.parse_args().gates
    began = time.perf_counter()
    settings = [each for setting in SEVERAL for each in falls(setting)]
    found = []
    for number, setting in enumerate(settings):
        of_error = setting.fall in (0, setting.tolerance)
        found.append(simulate(setting, gates if of_error else gates // 2, seed=number))
        print(table(found[-1:]).splitlines()[-1] if number else table(found), flush=True)
    alike = [rates for rates in found if rates.setting.fall == 0]
    at_tolerance = [rates for rates in found if rates.setting.fall == rates.setting.tolerance]
    stated = [(rates.regressed - rates.stated.power, rates.stated.error) for rates in found if rates.stated]
    summary = {
        "name": "gate",
        "gates": gates,
        "most_false_alarms": max(rates.alarms for rates in alike),
        "mean_false_alarms": sum(rates.alarms for rates in alike) / len(alike),
        "most_wrong_passes": max(rates.passed for rates in at_tolerance),
        "mean_wrong_passes": sum(rates.passed for rates in at_tolerance) / len(at_tolerance),
        "furthest_from_stated_power": max(abs(apart) for apart, _ in stated),
        "mean_from_stated_power": sum(apart for apart, _ in stated) / len(stated),
        "largest_error_of_stated_power": max(error for _, error in stated),
        "seconds": round(time.perf_counter() - began, 1),
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "scipy")},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
