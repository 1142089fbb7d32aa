"""`harness judges`: probe judges, show their bill, hold backends to the contract, test rubrics."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands, add_limits, add_matrix, prepared, quiet_libraries

if TYPE_CHECKING:
    from harness.records.inputs import StageKey
    from harness.records.plan import Plan
    from harness.resolved import Resolved
    from judges.budget import Budget


def add(commands: Commands) -> None:
    """Add them to the parser."""
    actions = commands.group("judges", "measure judges, test backends and rubrics, show the bill")
    trust = actions.add("trust", trust_judges, "probe a matrix's judges, without training anything", on_store=True)
    add_matrix(trust)
    add_limits(trust)
    bill = actions.add(
        "bill", bill_judges, "what a matrix's judges took, judge by judge and variant by variant", on_store=True
    )
    add_matrix(bill)
    test = actions.add("test", test_judge, "hold a backend to the contract")
    test.add_argument("backend", help="a registered name, or module:Class (looked for in this folder, too)")
    test.add_argument("--model", default="smollm2-135m", help="the model that it shall load")
    test.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="a backend option")
    rubrics = actions.add("rubrics", test_rubrics, "list rubrics and run the tests that they ship with")
    rubrics.add_argument("rubric", nargs="*", help="names or YAML files (default: all that are built in)")


def bill_judges(arguments: argparse.Namespace) -> int:
    """`harness judges bill`."""
    from rich.console import Console

    from harness.store import Store
    from reports.trust_table import print_bill

    _, plan, _, _ = prepared(arguments.matrix)
    print_bill(plan, Store(arguments.store), Console())
    return 0


def trust_judges(arguments: argparse.Namespace) -> int:
    """`harness judges trust`: ask the judges whatever their trust is told by, and print it."""
    from rich.console import Console

    from harness import pipeline
    from harness.evidence import agreements, contests, judge_report, judged_variants, win_rates
    from harness.progress import watching
    from harness.store import Store
    from reports.trust_table import print_agreement, print_strengths, print_trust, print_win_rates

    _, plan, resolved, text = prepared(arguments.matrix)
    quiet_libraries()
    console, store = Console(), Store(arguments.store)
    store.write_matrix(plan, text)  # replies may have been paid for: gc is to know that somebody wants them
    budget = budget_of(resolved, arguments.max_calls, arguments.max_cost)
    probes = {judge.probe_ask for judge in plan.judges}
    undone = {stage.key for stage in pipeline.missing(plan, store)} & probes
    check_judges(plan, resolved, undone)
    pieces = {"judge": len(undone)}
    with watching(console, pieces, {}) as watcher:
        pipeline.measure_judges(plan, resolved, store, watcher, budget)
    variants, finished = judged_variants(plan, store)
    print_trust([judge_report(judge, variants, finished, store) for judge in plan.judges], console)
    print_agreement(agreements(plan, variants), console)
    print_win_rates(win_rates(plan, finished, store), console)
    print_strengths(contests(plan, store), console)
    return 0


def test_judge(arguments: argparse.Namespace) -> int:
    """`harness judges test`: run the checks on a backend and print each."""
    from judges.base import load_judge
    from judges.contract import CHECKS, WISHES, Trial

    sys.path.insert(0, "")  # a backend that is being written need not be installed yet
    backend, model = arguments.backend, arguments.model
    given = {name: scalar(value) for name, _, value in (each.partition("=") for each in arguments.option)}
    judge = load_judge(backend, model, given)
    trial = Trial(judge, backend, model, given)
    broken = 0
    try:
        for check in (*CHECKS, *WISHES):
            problem = trial.run(check)
            broken += problem is not None and check in CHECKS
            word = "ok" if problem is None else "BROKEN" if check in CHECKS else "note"
            print(f"{word:<6}  {check.__doc__}" + (f"\n        {problem}" if problem else ""))
    finally:
        judge.close()
    print(f"{broken} of {len(CHECKS)} broken" if broken else f"{backend} keeps the contract")
    return 2 if broken else 0


def scalar(text: str) -> str | int | float | bool:
    """`true`, `3`, `0.5` as YAML reads them; anything else is text."""
    import yaml

    value = yaml.safe_load(text)
    return value if isinstance(value, str | int | float | bool) else text


def test_rubrics(arguments: argparse.Namespace) -> int:
    """`harness judges rubrics`: print each rubric and what its tests find."""
    from judges.contract import failed_tests
    from judges.rubric import known_rubrics, load_rubric

    broken = 0
    for name in arguments.rubric or known_rubrics():
        rubric = load_rubric(name)
        problems = failed_tests(rubric)
        broken += bool(problems)
        scale = f"{rubric.scale.low}–{rubric.scale.high}"
        print(f"{name}  {rubric.mode}, {scale}, {len(rubric.tests)} tests. {rubric.about}")
        for text in problems:
            print(f"  BROKEN  {text}")
    return 2 if broken else 0


def budget_of(resolved: Resolved, max_calls: int | None, max_cost: float | None) -> Budget:
    """What the judges may cost in this run. Raises JudgeError where a price is wanted and not known."""
    from harness.errors import JudgeError
    from judges.budget import Budget

    unknown = [judge.spec.column for judge in resolved.judges if judge.price is None]
    unknown += [name for name, served in resolved.served.items() if served.price is None]
    if max_cost is not None and unknown:
        raise JudgeError(
            f"--max-cost needs prices, and none is known for: {', '.join(unknown)}",
            hint="give it `price: {input: …, output: …}` in the matrix, US dollars a million tokens",
        )
    return Budget(max_calls, max_cost)


def check_judges(plan: Plan, resolved: Resolved, undone: set[StageKey]) -> None:
    """Raises JudgeError where a judge that has something left to say cannot be asked: before hours of training."""
    from judges.base import preflight

    for judge in resolved.judges:
        name, spec = judge.spec.column, judge.spec
        asks = [each.asks[name] for each in plan.variants]
        asks += [key for each in plan.judges if each.name == name for key in (each.probe_ask, each.contest) if key]
        if undone.intersection(asks):
            preflight(spec.backend, judge.model, spec.options)
    for each in plan.variants:
        if each.variant.origin == "served" and each.generate in undone:
            served = resolved.served[each.variant.model].spec
            preflight(served.backend, served.model, served.options)
