"""Checks of the attack: whether it did what it could, within what it may, on the cases that it owes."""

from __future__ import annotations

import re

from medrobust.judge.check import Finding, some
from medrobust.judge.evidence import Evidence
from medrobust.store import MARKER

TOLERANCE = 1e-4
FEWEST_QUERIES = 8
LATE_SHARE = 0.1
OPEN_SHARE = 0.05
SILENT_SHARE = 0.01
SURVIVING_SHARE = 0.9
RESTART_SHARE = 0.5
REPAIRED_SHARE = 0.1
FEWEST_REPAIRED = 2
INFORMATION_THRESHOLD = 1e-4
INFORMATION_SHARE = 0.99
FOLDED_SHARE = 0.01
FLOOR = 0.9
FEWEST_PATIENTS = 12
LOWEST_SSIM = 0.5


def still_climbing(evidence: Evidence) -> Finding:
    """A gradient attack's loss hardly rises any more in the last quarter of its queries."""
    return late_rise(evidence) if evidence.threat == "white-box" else None


def still_searching(evidence: Evidence) -> Finding:
    """A black-box search's loss hardly rises any more in the last quarter of its queries."""
    return late_rise(evidence) if evidence.threat == "black-box" else None


def late_rise(evidence: Evidence) -> Finding:
    """What share of the whole rise, over all cases, was made by queries of the last quarter; single-step attacks and controls are not asked.

    Of a classifier only cases that are still right count, and only where they are more than `OPEN_SHARE`: a fooled case needs no more queries.
    """
    first, late, highest = (evidence.values("loss-path", label) for label in ("first", "three-quarters", "highest"))
    cases = [case for case in highest if case in first and case in late]
    if not cases or evidence.passes < FEWEST_QUERIES or evidence.control or evidence.drawn:
        return None
    answers = evidence.values("correct")
    still = [case for case in cases if answers.get(case, 1.0)]
    rise = sum(highest[case] - first[case] for case in still)
    last = sum(highest[case] - late[case] for case in still)
    if len(still) <= OPEN_SHARE * len(cases) or last <= LATE_SHARE * rise:
        return ""
    return f"{last / rise:.1%} of the loss's rise came in the last quarter of its queries, expected at most {LATE_SHARE:.0%}: more may change it"


def better_query_not_returned(evidence: Evidence) -> Finding:
    """An attack that had a better query must return it: no `q=...` label of a metric lies above the judged value."""
    metrics = {row["metric"] for row in evidence.rows if re.fullmatch(r"q=\d+", row["label"])}
    if not metrics or evidence.drawn:
        return None
    worse: dict[str, float] = {}
    for metric in metrics:
        judged = evidence.values(metric)
        for row in evidence.rows:
            if row["metric"] == metric and row["label"].startswith("q=") and row["case"] in judged:
                excess = row["value"] - judged[row["case"]]
                if excess > TOLERANCE * max(abs(row["value"]), abs(judged[row["case"]])):
                    worse[row["case"]] = max(excess, worse.get(row["case"], 0.0))
    return f"{some(worse)} had a query that was better than what was returned, by up to {max(worse.values()):.3g}" if worse else ""


def silent_success(evidence: Evidence) -> Finding:
    """An attack that fooled a classifier on its way returns an image that does."""
    values = evidence.values("silent-success")
    if not values or evidence.drawn:
        return None
    cases = [case for case, value in values.items() if value]
    return f"{some(cases)} were fooled by a query, and not by what was returned" if len(cases) > SILENT_SHARE * len(values) else ""


def budget_left(evidence: Evidence) -> Finding:
    """Every case stays within the budget: its norm or parameters in physical units, its range of intensities, its mask."""
    if not evidence.attacked:
        return None
    outside = [case for case, kept in evidence.values(MARKER).items() if not kept]
    reason = next((evidence.violations[case] for case in outside if case in evidence.violations), "")
    return f"{some(outside)} left the budget{f': {reason}' if reason else ''}" if outside else ""


def below_zero(evidence: Evidence) -> Finding:
    """No attacked image goes below zero where no clean one of the cell does."""
    if not evidence.attacked:
        return None
    return f"attacked images reach {evidence.lowest:.4g}, clean ones hold no negative value" if evidence.lowest < 0 else ""


def lost_in_saving(evidence: Evidence) -> Finding:
    """Nearly every image that fools a classifier still does once it is rounded to how it would be stored.

    Where rows `fooled` are there, cases that are wrong when clean are left out.
    """
    fooled = evidence.values("fooled")
    values = {case: value for case, value in evidence.values("survives-saving").items() if not fooled or fooled.get(case)}
    if not values or evidence.drawn:
        return None
    share = sum(values.values()) / len(values)
    message = f"{share:.0%} of the images that fool the target still do once saved, expected at least {SURVIVING_SHARE:.0%}"
    return message if share < SURVIVING_SHARE else ""


def restarts_differ(evidence: Evidence) -> Finding:
    """Restarts of an attack end with much the same loss: where they do not, a few are too few."""
    low, high = evidence.values("restart-loss", "lowest"), evidence.values("restart-loss", "highest")
    cases = [case for case in high if case in low]
    if not cases:
        return None
    gap, size = sum(high[case] - low[case] for case in cases), sum(abs(high[case]) for case in cases)
    message = f"losses of restarts differ by {gap / size if size else 0.0:.0%} of the highest, expected at most {RESTART_SHARE:.0%}"
    return message if gap > RESTART_SHARE * size else ""


def wrong_cases_repaired(evidence: Evidence) -> Finding:
    """Hardly any case that is answered wrongly when clean is answered rightly once attacked.

    An attack that is given true labels has no reason to leave the answer that it found wrong. One that moves away from the predicted label
    repairs such cases, and the robust accuracy counts them. Controls, and attacks that never ask the target, may do so by chance.
    """
    clean, answers = evidence.values("clean-correct"), evidence.values("correct")
    wrong = [case for case, right in clean.items() if not right and case in answers]
    if not wrong or not evidence.threat or not evidence.passes or evidence.control or evidence.drawn:
        return None
    repaired = [case for case in wrong if answers[case]]
    if len(repaired) < FEWEST_REPAIRED or len(repaired) <= REPAIRED_SHARE * len(wrong):
        return ""
    return f"{some(repaired)} of {len(wrong)} that are wrong when clean come out right: the attack leaves the predicted label, not the true one"


def wrong_cases_counted(evidence: Evidence) -> Finding:
    """Cases that are wrong when clean have an answer, and count as no success of the attack."""
    clean = evidence.values("clean-correct")
    if not clean or not evidence.attacked or evidence.drawn:
        return None
    wrong = {case for case, right in clean.items() if not right}
    answers, fooled = evidence.values("correct"), evidence.values("fooled")
    skipped, counted = wrong - set(answers), wrong & set(fooled)
    if answers and skipped:
        return f"{some(skipped)} that are wrong when clean have no answer once attacked: the accuracy leaves them out"
    return f"{some(counted)} that are wrong when clean count among the attack's successes or failures" if counted else ""


def information_lost(evidence: Evidence) -> Finding:
    """The under-sampled data still show the feature in nearly every case."""
    values = evidence.values("information")
    if not values:
        return None
    share = sum(value >= INFORMATION_THRESHOLD for value in values.values()) / len(values)
    return "" if share >= INFORMATION_SHARE else f"information is preserved in {share:.1%} of cases, expected at least {INFORMATION_SHARE:.0%}"


def anatomy_folded(evidence: Evidence) -> Finding:
    """A deformation folds or tears hardly any pixel: there it is no deformation of anatomy, and the moved truth is none."""
    values = evidence.values("folding")
    if not values:
        return None
    mean = sum(values.values()) / len(values)
    return f"{mean:.1%} of the pixels are folded or torn, expected at most {FOLDED_SHARE:.0%}" if mean > FOLDED_SHARE else ""


def truth_moved(evidence: Evidence) -> Finding:
    """A perfect segmenter keeps nearly all of its Dice against the truth that did not move."""
    values = evidence.values("dice-floor")
    if not values:
        return None
    mean = sum(values.values()) / len(values)
    return f"the anatomy moved: a perfect segmenter scores {mean:.2f} by `dice`, so read `dice-warped`" if mean < FLOOR else ""


def few_patients(evidence: Evidence) -> Finding:
    """Enough patients to claim a ranking."""
    n = len(evidence.patients)
    return f"{n} patients; at least {FEWEST_PATIENTS} are needed to rank" if n < FEWEST_PATIENTS else ""


def grey_within_budget(evidence: Evidence) -> Finding:
    """The budget is smaller than the images: one that holds a plain grey image says nothing of the target."""
    if evidence.probed is None or evidence.probed.grey is None:
        return None
    grey = evidence.probed.grey
    return f"the budget is {grey:.2g} times what turns every probed image into plain grey" if grey >= 1 else ""


def image_destroyed(evidence: Evidence) -> Finding:
    """Attacked images still look like the clean ones, unless the budget is no bound on purpose."""
    values = evidence.values("image-ssim")
    if not values or not evidence.bounded:
        return None
    mean = sum(values.values()) / len(values)
    return f"attacked images resemble the clean ones by an SSIM of {mean:.2f}, expected at least {LOWEST_SSIM}" if mean < LOWEST_SSIM else ""
