"""Checks of the target itself: whether it answers alike, as its card says, and whether its gradient says anything."""

from __future__ import annotations

from medrobust.judge.check import Finding, some
from medrobust.judge.evidence import Evidence

TOLERANCE = 1e-4
FIGURE_TOLERANCE = 0.02
SATURATED_SHARE = 0.1
ZERO_SHARE = 0.9
RANDOMISED_CORRELATION = 0.9


def saturated(evidence: Evidence) -> Finding:
    """Hardly any answer is so certain that changes of it drown in rounding."""
    values = evidence.values("saturated")
    if not values:
        return None
    cases = [case for case, value in values.items() if value]
    return f"{some(cases)} of {len(values)} have a saturated answer" if len(cases) > SATURATED_SHARE * len(values) else ""


def certain_to_rounding(evidence: Evidence) -> Finding:
    """No probed answer is certain to the last digit of float32: the gradient of its cross-entropy is rounding."""
    probed = evidence.probed
    if probed is None or probed.certain is None or probed.reached is None:
        return None
    return f"{probed.certain:.0%} of the probed answers are certain to the last digit, so that no loss is left to climb" if probed.certain else ""


def not_logits(evidence: Evidence) -> Finding:
    """A classifier's logits are logits: of probabilities, a second softmax leaves a loss that is nearly flat."""
    if evidence.probed is None or evidence.probed.normalised is None:
        return None
    return "what the target calls logits are probabilities already: each lies in [0, 1] and they sum to 1" if evidence.probed.normalised else ""


def unsaid_randomness(evidence: Evidence) -> Finding:
    """A target that does not say that it is stochastic answers the same question alike, each time."""
    probed = evidence.probed
    if probed is None or probed.stochastic:
        return None
    return f"{differing(probed.moved)}, and the target does not say that it is stochastic" if probed.moved > TOLERANCE else ""


def randomness_not_averaged(evidence: Evidence) -> Finding:
    """A white-box attack on a stochastic target takes expectations over its draws (EOT)."""
    probed = evidence.probed
    if probed is None or not probed.stochastic or evidence.threat != "white-box":
        return None
    return "" if probed.averaged else "the target is stochastic, and the attack does not average over its draws"


def randomness(evidence: Evidence) -> Finding:
    """A target that says that it is stochastic: numbers on it hold for these draws."""
    probed = evidence.probed
    if probed is None or not probed.stochastic:
        return None
    return f"{differing(probed.moved)}, as the target says of itself" if probed.moved > TOLERANCE else ""


def differing(moved: float) -> str:
    return f"answers to the same question differ by {moved:.2g} of the largest value"


def no_gradient(evidence: Evidence) -> Finding:
    """Gradients are finite, and of some probed case not all 0."""
    probed = evidence.probed
    if probed is None or probed.broken is None or probed.flat is None:
        return None
    if probed.broken:
        return f"{probed.broken:.1%} of the loss's gradient at clean images is not finite"
    return "the loss's gradient is 0 everywhere at every probed image" if probed.flat == 1 else ""


def scarce_gradient(evidence: Evidence) -> Finding:
    """Most entries of every gradient are not 0."""
    probed = evidence.probed
    if probed is None or probed.flat is None or probed.zero is None or probed.flat == 1:
        return None
    if probed.flat:
        return f"the loss's gradient is 0 everywhere at {probed.flat:.0%} of the probed images"
    return f"{probed.zero:.1%} of the loss's gradient is 0" if probed.zero > ZERO_SHARE else ""


def graph_interrupted(evidence: Evidence) -> Finding:
    """A graph leads from answer and loss back to the image."""
    if evidence.probed is None or evidence.probed.reached is None:
        return None
    return "" if evidence.probed.reached else "no gradient of the answer or the loss reaches the image: the graph is interrupted inside the target"


def optimises_at_inference(evidence: Evidence) -> Finding:
    """The target asks for no gradient of its own while it answers: through such an answer the attack's gradient is wrong or partial."""
    if evidence.probed is None or not evidence.attacked:
        return None
    calls = evidence.probed.autograd
    return f"the target asks for {calls} gradients of its own in one answer: it optimises at inference" if calls else ""


def batch_dependent(evidence: Evidence) -> Finding:
    """The target is in evaluation mode, is left as it was by its answers, and answers each case alike, alone or in a batch."""
    if evidence.training_mode:
        return "the target is in training mode"
    if evidence.probed and evidence.probed.alters:
        return f"answering alone leaves the target with other {evidence.probed.alters}"
    if evidence.probed and evidence.probed.moved > TOLERANCE:
        return None
    return f"predictions alone and in a batch differ by {evidence.dependence:.2g} of the largest value" if evidence.dependence > TOLERANCE else ""


def clean_figures_missed(evidence: Evidence) -> Finding:
    """Clean scores are those the target's card declares for these data."""
    if evidence.attacked or not evidence.figures:
        return None
    wrong, compared = [], False
    for figure, declared in evidence.figures.items():
        values = list(declared_by(figure, evidence).values())
        if values:
            compared = True
            found = sum(values) / len(values)
            if abs(found - declared) > FIGURE_TOLERANCE * abs(declared):
                wrong.append(f"{figure} is {found:.4g}, the card declares {declared:.4g}")
    return "; ".join(wrong) if compared else None


def declared_by(figure: str, evidence: Evidence) -> dict[str, float]:
    """Case -> value of what a card's figure is the mean of: `METRIC@CONDITION`, or `METRIC@SPLIT` with a label behind; empty where it is neither."""
    metric, _, place = figure.partition("@")
    if place == evidence.cell.condition:
        return evidence.values(metric)
    split, _, label = place.partition(" ")
    return evidence.values(metric, label) if split == evidence.cell.split else {}


def trained_on_test(evidence: Evidence) -> Finding:
    """No patient of the test cases was trained on, be it by the target, its defense, or what attacks or explains it."""
    if not evidence.trained_on:
        return None
    both = {who: evidence.patients & patients for who, patients in evidence.trained_on.items()}
    return "; ".join(f"the {who} was trained on {some(patients, 'patient')} of these data" for who, patients in both.items() if patients)


def weights_ignored(evidence: Evidence) -> Finding:
    """A map changes where the target's weights are shuffled."""
    values = evidence.values("randomisation")
    if not values:
        return None
    mean = sum(values.values()) / len(values)
    if mean <= RANDOMISED_CORRELATION:
        return ""
    return f"maps hardly depend on the target's weights: shuffled, they rank alike by {mean:.2f}, expected at most {RANDOMISED_CORRELATION}"


def undecided(evidence: Evidence) -> Finding:
    """No explained answer is a coin toss."""
    values = evidence.values("undecided")
    if not values:
        return None
    cases = [case for case, value in values.items() if value]
    return f"{some(cases)} of {len(values)} have an undecided answer: a map of it explains a coin toss" if cases else ""
