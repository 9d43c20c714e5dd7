"""Every check of one cell, with its level."""

from __future__ import annotations

from collections.abc import Iterable

from medrobust.judge import attack, target
from medrobust.judge.check import Check, Verdict, run_checks
from medrobust.judge.evidence import Evidence

WHITE = "white-box attacks"
ATTACKED = "attacked cells"
STILL = "targets that do not draw at random"

CHECKS = (
    Check("V01", "warn", target.saturated, "rows `saturated`"),
    Check("V01", "warn", target.certain_to_rounding, f"{WHITE} on classifiers"),
    Check("V01", "warn", target.not_logits, "classifiers that show their logits, two or more"),
    Check("V02", "invalid", target.unsaid_randomness, "every cell that asks the target"),
    Check("V02", "warn", target.randomness_not_averaged, f"{WHITE} on targets that say they are stochastic"),
    Check("V02", "info", target.randomness, "targets that say they are stochastic"),
    Check("V03", "invalid", target.no_gradient, WHITE),
    Check("V03", "warn", target.scarce_gradient, WHITE),
    Check("V04", "invalid", target.graph_interrupted, WHITE),
    Check("V05", "warn", target.optimises_at_inference, ATTACKED),
    Check("V10", "warn", attack.still_climbing, f"{WHITE} on {STILL}, rows `loss-path`, {attack.FEWEST_QUERIES} queries or more"),
    Check("V10", "info", attack.still_searching, f"black-box attacks on {STILL}, rows `loss-path`, {attack.FEWEST_QUERIES} queries or more"),
    Check("V11", "invalid", attack.better_query_not_returned, f"{STILL}, rows `q=...` of a metric"),
    Check("V11", "invalid", attack.silent_success, f"{STILL}, rows `silent-success`"),
    Check("V13", "invalid", attack.budget_left, ATTACKED),
    Check("V13", "warn", attack.below_zero, ATTACKED),
    Check("V13", "warn", attack.lost_in_saving, f"{STILL}, rows `survives-saving`"),
    Check("V14", "invalid", target.batch_dependent),
    Check("V15", "warn", attack.restarts_differ, "rows `restart-loss`"),
    Check("V16", "warn", target.clean_figures_missed, "clean cells on the data of the target's card"),
    Check("V17", "invalid", attack.wrong_cases_repaired, f"attacks that ask {STILL}, rows `correct` and `clean-correct`"),
    Check("V17", "invalid", attack.wrong_cases_counted, f"attacks on {STILL}, rows `clean-correct`, with `correct` or `fooled`"),
    Check("V18", "invalid", target.trained_on_test, "cells on data that the target, its defense, or what attacks or explains it learned from"),
    Check("V19", "warn", attack.information_lost, "rows `information`"),
    Check("V19", "warn", attack.anatomy_folded, "rows `folding`"),
    Check("V19", "info", attack.truth_moved, "rows `dice-floor`"),
    Check("V20", "warn", attack.few_patients),
    Check("V21", "warn", attack.grey_within_budget, "attacks within a norm that is a bound"),
    Check("V21", "warn", attack.image_destroyed, "rows `image-ssim`, a budget that is a bound"),
    Check("V22", "warn", target.weights_ignored, "rows `randomisation`"),
    Check("V23", "info", target.undecided, "rows `undecided`"),
)


def judge(evidence: Evidence, checks: Iterable[Check] = CHECKS) -> Verdict:
    """Every check that applies."""
    return run_checks(evidence, checks)
