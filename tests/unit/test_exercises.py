"""Exercises that answer, and never break a page."""

import doctest

import pytest

from udig_lab import exercises
from udig_lab.exercises import attempt, solved


def test_the_examples_hold():
    failed, tried = doctest.testmod(exercises)
    assert tried >= 4
    assert not failed


@pytest.mark.parametrize("error", [ValueError("shapes differ"), AssertionError("too large"), NotImplementedError()])
def test_a_failure_is_told_and_undoes_an_earlier_success(capsys, error):
    with attempt("it"):
        pass
    assert solved("it")
    with attempt("it"):
        raise error
    assert not solved("it")
    assert capsys.readouterr().out.splitlines()[-1].startswith("it: not yet. ")


def test_a_reader_can_interrupt():
    with pytest.raises(KeyboardInterrupt), attempt("it"):
        raise KeyboardInterrupt
