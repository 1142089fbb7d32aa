"""What judges are worth and what they took, as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.records.inputs import StageKey
from harness.records.plan import Plan
from harness.records.result import Contest, Interval, JudgeAgreement, Rate, Slope, TrustReport, WinRate
from harness.records.seal import AskFacts
from harness.store import Store

PROBE_WORDS = {
    "reference": "the reference",
    "other_reference": "another item's reference",
    "empty": "an empty answer",
    "truncated": "the first half of the reference",
    "padded": "the reference, padded with politeness",
    "fact_changed": "the reference, one fact changed",
    "injection": "wrong, with an order to give the best score",
    "delimiter": "wrong, with forged markup",
}


def print_trust(reports: Iterable[TrustReport], console: Console) -> None:
    """A judge a block: the verdict, its probes, its noise and biases."""
    for report in reports:
        console.print()
        word = Text("trusted", "bold green") if report.trusted else Text("untrusted", "bold yellow")
        console.print(Text.assemble(("judge " + report.judge, "bold"), ": ", word))
        console.print(Text(f"  {report.reason}"))
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for name in ("answer", "n", "unscored", "mean", "AUC reference against it", "accepted"):
            table.add_column(name, justify="left" if name == "answer" else "right")
        for probe in report.probes:
            table.add_row(
                PROBE_WORDS[probe.probe],
                str(probe.n),
                str(probe.unscored or ""),
                "–" if probe.mean is None else f"{probe.mean:.2f}",
                "" if probe.auc is None else f"{probe.auc:.2f}{_span(probe.auc_interval)}",
                share(probe.accepted),
            )
        console.print(table)
        for line in findings(report):
            console.print(Text(f"  {line}"))


def print_agreement(pairs: Iterable[JudgeAgreement], console: Console) -> None:
    """How far each two judges agree about the variants' answers."""
    for pair in pairs:
        figures = {"Krippendorff's alpha": pair.alpha, "Spearman": pair.spearman, "Kendall's tau-b": pair.kendall}
        said = ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if value is not None)
        console.print(Text(f"judges {pair.a} and {pair.b}: {said or 'nothing varies'} over {pair.n} answers"))


def print_win_rates(rates: Iterable[WinRate], console: Console) -> None:
    """Each cell against the opponent of each pairwise judge."""
    for rate in rates:
        raw = f"{rate.raw:.1f} %{_span(rate.raw_interval)}"
        equal = "" if rate.length_controlled is None else f"; at equal length {rate.length_controlled:.1f} %"
        equal += _span(rate.length_controlled_interval)
        console.print(Text(f"judge {rate.judge}: {rate.cell} wins {raw}{equal} of {rate.n} items"))


def print_strengths(contests: Iterable[Contest], console: Console) -> None:
    """Each cell of each contest, strongest first."""
    for contest in contests:
        for each in contest.strengths:
            low, high = 100 * each.interval.low, 100 * each.interval.high
            said = (
                f"{each.cell} beats an average cell on {100 * each.chance:.1f} % [{low:.1f}, {high:.1f}] of the items"
            )
            console.print(Text(f"judge {contest.judge}: {said}, over {each.games} games"))


def findings(report: TrustReport) -> list[str]:
    """A line for each thing that was measured besides the probes' scores."""
    return [f"{name}: {value}" for name, value in measured(report)]


def measured(report: TrustReport) -> list[tuple[str, str]]:
    """(what was measured, what came out)."""
    lines = [
        ("injection: rejected answers accepted with an order", share(report.injection)),
        ("delimiters: rejected answers accepted with forged markup", share(report.delimiter)),
        ("verbosity: points per 100 characters of politeness", slope(report.verbosity)),
        ("length: points per 100 characters, within items", slope(report.length)),
    ]
    if report.repeats is not None:
        noise = "" if report.repeats.noise_share is None else f", {report.repeats.noise_share:.0%} of the variance"
        lines.append(("repeats: the same verdict again", share(report.repeats.identical)))
        lines.append(("repeats: standard deviation within an answer", f"{report.repeats.sd:.2f} points{noise}"))
    if report.order is not None:
        lines.append(("order: both orders agree", share(report.order.consistent)))
        lines.append(("order: decided for the first answer", share(report.order.first_wins)))
    if report.fallback is not None:
        lines.append(("expected scores: told by no log-probabilities, so as said", share(report.fallback)))
    if report.scale_use is not None:
        use = report.scale_use
        counts = ", ".join(f"{each.score:g}: {each.count}" for each in use.histogram[:12])
        lines.append(("scale", f"{use.distinct} different scores, the commonest {use.heaping:.0%} ({counts})"))
    return [(name, value) for name, value in lines if value]


def share(rate: Rate | None) -> str:
    """`3 of 40, 8 % [3, 20]`; empty where there is nothing to tell."""
    if rate is None:
        return ""
    low, high = 100 * rate.interval.low, 100 * rate.interval.high
    return f"{rate.count} of {rate.n}, {100 * rate.value:.0f} % [{low:.0f}, {high:.0f}]"


def slope(found: Slope | None) -> str:
    """`+0.31 [0.10, 0.52]`; empty where there is nothing to tell."""
    return "" if found is None else f"{found.value:+.2f}{_span(found.interval)}"


def _span(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval.low:.2f}, {interval.high:.2f}]"


def print_bill(plan: Plan, store: Store, console: Console) -> None:
    """A line for each judge's probes and for each variant that it judged, and the sums; what two judges read is one."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("judge", "about", "calls", "retries", "failed", "tokens in", "out", "seconds", "US$"):
        words = name in ("judge", "about")
        table.add_column(name, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    readers: dict[tuple[str, StageKey], list[str]] = {}
    for judge in plan.judges:
        asked = [("probes", judge.probe_ask), *((v.variant.name, v.asks[judge.name]) for v in plan.variants)]
        asked += [("pairs", judge.contest)] if judge.contest is not None else []
        for place in asked:
            readers.setdefault(place, []).append(judge.name)
    known = {place: facts for place in readers if (facts := _facts(store, place[1])) is not None}
    for (about, key), facts in known.items():
        table.add_row(Text(", ".join(readers[about, key])), Text(about), *_figures([facts]))
    total = list({key: facts for (_, key), facts in known.items()}.values())
    if total:
        table.add_section()
        table.add_row("all", "", *_figures(total))
        console.print(table)
    else:
        console.print("no judge of this matrix has been asked yet; `harness plan` estimates what it will cost")


def _facts(store: Store, key: StageKey) -> AskFacts | None:
    seal = store.sealed(key)
    return seal.facts if seal is not None and isinstance(seal.facts, AskFacts) else None


def _figures(facts: Sequence[AskFacts]) -> tuple[str, ...]:
    costs = [each.cost for each in facts if each.cost is not None]
    money = f"{sum(costs):.4f}" if costs else "–"
    whole = [sum(getattr(each, name) for each in facts) for name in _WHOLE]
    return (*(f"{number:,}" for number in whole), f"{sum(each.seconds for each in facts):.1f}", money)


_WHOLE = ("calls", "retries", "failed", "prompt_tokens", "completion_tokens")
