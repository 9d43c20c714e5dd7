"""Whether the winner changes: each change is seen to turn a board made for it."""

from __future__ import annotations

import numpy as np
import pytest

from medrobust.stats.board import Board
from medrobust.stats.sensitivity import Change, filled, sensitivity, winners, without_attack, without_patient

STEADY = [[0.9, 0.8, 0.9, 0.8], [0.5, 0.4, 0.5, 0.4]]
PATIENTS = ["a", "b", "c", "d"]


def test_a_clear_winner_stays():
    board = Board.of(STEADY, PATIENTS)
    attacks = {"pgd": board.values, "square": board.values + 0.01}
    found = sensitivity(board, attacks, {"hd95": Board.of(-board.values, PATIENTS, higher_is_better=False)})
    assert found == (
        Change("metric: hd95", (0,), True),
        Change("without pgd", (0,), True),
        Change("without square", (0,), True),
        Change("without any one patient", (0,), True),
    )


def test_another_metric_may_have_another_winner():
    board = Board.of(STEADY, PATIENTS)
    assert Change("metric: hd95", (1,), False) in sensitivity(board, others={"hd95": Board.of(STEADY, PATIENTS, higher_is_better=False)})


def test_one_attack_may_decide():
    strong, weak = np.array([[0.2, 0.2], [0.4, 0.4]]), np.array([[0.9, 0.9], [0.5, 0.5]])
    board = Board.of(np.minimum(strong, weak), ["a", "b"])
    assert winners(board) == (1,)
    found = sensitivity(board, {"strong": strong, "weak": weak})
    assert Change("without strong", (0,), False) in found
    assert Change("without weak", (1,), True) in found
    assert without_attack(board, {"strong": strong}) == {}


def test_the_worst_case_is_the_highest_or_the_lowest():
    first, second = np.array([[1.0, 5.0]]), np.array([[3.0, 2.0]])
    third = np.array([[0.0, np.nan]])
    board = Board.of(np.maximum(first, second), ["a", "b"], higher_is_better=False)
    made = without_attack(board, {"first": first, "second": second, "third": third})
    assert made["second"].values.tolist() == [[1.0, 5.0]]
    assert made["first"].values.tolist() == [[3.0, 2.0]]
    assert without_attack(Board.of(first, ["a", "b"]), {"first": first, "second": second, "third": third})["third"].values.tolist() == [[1.0, 2.0]]


def test_one_patient_may_decide():
    board = Board.of([[0.9, 0.1, 0.9], [0.6, 0.6, 0.6], [0.7, 0.7, 0.0]], ["a", "b", "c"])
    assert winners(board) == (0,)
    brute = []
    for name in "abc":
        kept = board.patients != name
        brute.append((name, winners(Board.of(board.values[:, kept], board.patients[kept]))))
    assert without_patient(board) == brute
    assert sensitivity(board) == tuple(Change(f"without patient {name}", who, False) for name, who in brute if who != (0,))
    assert {change.what for change in sensitivity(board)} == {"without patient a", "without patient c"}


@pytest.mark.parametrize("higher", [True, False])
def test_what_stands_for_missing_values_may_decide(higher):
    sign = 1 if higher else -1
    values = sign * np.array([[0.9, 0.9, np.nan, np.nan], [0.8, 0.8, 0.6, 0.6]])
    board = Board.of(values, PATIENTS, higher)
    assert winners(board) == (0,)
    found = {change.what: change.winners for change in sensitivity(board, worst=sign * 0.0)}
    assert found["missing values: the worst value"] == (1,)
    assert found["missing values: only cases that all have"] == (0,)
    assert found["missing values: the mean of the case"] == (0,)
    made = filled(board)
    assert made["the worst value"].values[0, 2] == pytest.approx(sign * 0.6)
    assert made["the mean of the case"].values[0, 2] == pytest.approx(sign * 0.6)
    assert filled(Board.of(STEADY, PATIENTS)) == {}


def test_an_entrant_without_values_left_does_not_win():
    board = Board.of([[0.9, np.nan], [0.1, 0.2]], ["a", "b"])
    assert without_patient(board) == [("a", (1,)), ("b", (0,))]


def test_one_patient_alone_is_not_left_out():
    assert sensitivity(Board.of([[1.0], [0.0]], ["a"])) == ()


def test_all_that_are_equal_win_together():
    board = Board.of([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.5, 0.05, 0.05], [0.1, 0.1, 0.1]], ["a", "b", "c"])
    assert winners(board) == (0, 1, 2), "sums in another order differ by rounding alone"
    same = Board.of(np.ones((4, 3)), ["a", "b", "c"])
    assert sensitivity(same) == (Change("without any one patient", (0, 1, 2, 3), True),)


def test_one_who_joins_or_leaves_the_top_is_a_change():
    board = Board.of([[1.0, 1, 1], [1, 1, 0], [1, 1, 1]], ["a", "b", "c"])
    assert winners(board) == (0, 2)
    assert sensitivity(board) == (Change("without patient c", (0, 1, 2), False),)
