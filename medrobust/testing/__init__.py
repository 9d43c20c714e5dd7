"""The numbered promises that a plugin keeps, for authors to run over their own.

In a test: `@pytest.mark.parametrize("promise", attack_promises(), ids=str)`, and `promise(MyAttack())` in its body.
"""

from medrobust.testing.attacks import attack_promises
from medrobust.testing.bench import Bench
from medrobust.testing.defenses import defense_promises
from medrobust.testing.explainers import explainer_promises
from medrobust.testing.metrics import metric_promises
from medrobust.testing.promise import BrokenPromise, Promise
from medrobust.testing.targets import target_promises

__all__ = ["Bench", "BrokenPromise", "Promise", "attack_promises", "defense_promises", "explainer_promises", "metric_promises", "target_promises"]
