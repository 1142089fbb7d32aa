"""The command line itself: a word that is missing or mistyped."""

from __future__ import annotations

import pytest

from harness.cli import main


@pytest.mark.parametrize("words", [[], ["judges"]])
def test_without_a_command_the_help_is_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2, "nothing was done: a script with an empty variable is to notice"
    shown = capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    assert shown == capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pln", "m.yaml"], "unknown 'pln'; did you mean 'plan'? known: run, plan, "),
        (["judges", "trst"], "unknown 'trst'; did you mean 'trust'? known: "),
        (["data", "audti", "a.csv"], "unknown 'audti'; did you mean 'audit'? known: audit"),
        (["xyz"], "unknown 'xyz'; known: run, plan, "),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert said in capsys.readouterr().err
