"""Every check of the validity gate finds something in a real run that was built to deserve it, and nothing in one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from medrobust.cli.run import prepare
from medrobust.judge import CHECKS, COLUMN_CHECKS, Check, ColumnCheck
from medrobust.leaderboard import build
from medrobust.leaderboard.evidence import Evidence, joined
from medrobust.leaderboard.sources import load
from medrobust.plan import plan
from medrobust.registry import build as build_plugin
from medrobust.run import compute
from medrobust.store import Run
from medrobust.targets.zoo import save

GATE = Path(__file__).parents[1] / "gate"
ROWS = ["correct", "fooled", "clean-correct", "loss-path", "silent-success", "restart-loss", "image-ssim"]
HONEST = {"name": "gate-net", "as": "honest"}
NOISE = {"name": "random-noise", "as": "noise"}

Findings = dict[str, set[str]]

SAYS = {
    "saturated": "have a saturated answer",
    "certain_to_rounding": "certain to the last digit",
    "not_logits": "are probabilities already",
    "unsaid_randomness": "does not say that it is stochastic",
    "randomness_not_averaged": "does not average over its draws",
    "randomness": "as the target says of itself",
    "no_gradient": "loss's gradient",
    "scarce_gradient": "loss's gradient is 0",
    "graph_interrupted": "the graph is interrupted",
    "optimises_at_inference": "it optimises at inference",
    "still_climbing": "in the last quarter of its queries",
    "still_searching": "in the last quarter of its queries",
    "better_query_not_returned": "had a query that was better",
    "silent_success": "were fooled by a query",
    "budget_left": "left the budget",
    "below_zero": "clean ones hold no negative value",
    "lost_in_saving": "still do once saved",
    "batch_dependent": "",
    "restarts_differ": "losses of restarts differ",
    "clean_figures_missed": "the card declares",
    "wrong_cases_repaired": "that are wrong when clean come out right",
    "wrong_cases_counted": "the accuracy leaves them out|count among the attack's successes",
    "trained_on_test": "of these data",
    "information_lost": "information is preserved",
    "anatomy_folded": "folded or torn",
    "truth_moved": "the anatomy moved",
    "few_patients": "are needed to rank",
    "grey_within_budget": "into plain grey",
    "image_destroyed": "resemble the clean ones by an SSIM",
    "weights_ignored": "hardly depend on the target's weights",
    "undecided": "have an undecided answer",
    "black_box_beats_white_box": "(black-box) does more harm",
    "transfer_beats_white_box": "(transfer) does more harm",
    "unbounded_attack_fails": "without a bound",
    "harm_falls": "does less harm than",
    "noise_does_as_well": "no measurably more harm than",
    "differences_hidden": "show no change from clean images",
}
"""Check -> what its findings, and those of no other check of its number and level, say."""


def check_of(identity: str, level: str, message: str, checks: Sequence[Check | ColumnCheck]) -> str:
    """The name of the check that a finding comes from."""
    alike = [check.find.__name__ for check in checks if (check.id, check.level) == (identity, level)]
    (name,) = [name for name in alike if any(phrase in message for phrase in SAYS[name].split("|"))]
    return name


@dataclass(frozen=True)
class Gated:
    """A computed run."""

    run: Run
    statuses: Mapping[str, str]

    @property
    def cells(self) -> Findings:
        """Cell name -> checks that found something of it alone."""
        found = {}
        for folder in self.run.cells():
            assert folder.state().status != "failed", folder.state().error
            content = json.loads((folder.path / "validity.json").read_text())
            found[folder.cell.name] = {check_of(one["id"], one["level"], one["message"], CHECKS) for one in content["findings"]}
        return found

    @property
    def evidence(self) -> Evidence:
        return joined([load(self.run.path)])

    @property
    def columns(self) -> Findings:
        """Target -> checks that found something by comparing its cells."""
        return {
            verdict.target: {check_of(one.id, one.level, one.message, COLUMN_CHECKS) for one in verdict.findings}
            for verdict in self.evidence.verdicts
        }

    def checked(self, name: str) -> set[str]:
        """Numbers of the checks that applied to a cell."""
        (folder,) = [folder for folder in self.run.cells() if folder.cell.name == name]
        return set(json.loads((folder.path / "validity.json").read_text())["checked"])


Gate = Callable[..., Gated]


@pytest.fixture
def run_spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gate:
    """Runs a spec in this process."""
    monkeypatch.syspath_prepend(str(GATE))
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))

    def run(spec: Mapping[str, Any]) -> Gated:
        path = tmp_path / "gate.yaml"
        path.write_text(yaml.safe_dump(spec, sort_keys=False))
        made = prepare(plan(str(path)), tmp_path / "runs")
        return Gated(made, {digest: compute(made.path, digest) for digest in made.digests})

    return run


@pytest.fixture
def gate(run_spec: Gate) -> Gate:
    """Runs targets and attacks on the gate's own data, under budgets of L-infinity."""

    def run(
        targets: Sequence[Mapping[str, Any] | str] = (HONEST,),
        attacks: Sequence[Mapping[str, Any] | str] = ("none",),
        budgets: Sequence[str | float] = (0.05,),
        patients: int = 24,
        metrics: Sequence[Any] = ROWS,
        norm: Mapping[str, Any] | None = None,
        split: str = "test",
        signed: bool = False,
        explained: Sequence[str] = (),
        **further: Any,
    ) -> Gated:
        spec = {
            "suite": "gate",
            "track": "gate-track",
            "data": {"name": "gate-data", "split": split, "options": {"patients": patients, "signed": signed}},
            "conditions": {str(epsilon): {"budget": {"epsilon": epsilon}} for epsilon in budgets},
            "targets": list(targets),
            "attacks": list(attacks),
            "budget": {"name": "norm", "options": {"low": 0.0, "high": 1.0, **(norm or {})}},
            "metrics": {"none": ["correct", "saturated"], "attacked": list(metrics), "explained": list(explained)},
            **further,
        }
        return run_spec(spec)

    return run


def net(kind: str) -> dict[str, Any]:
    return {"name": "gate-net", "as": kind, "options": {"kind": kind}}


def pgd(fault: str = "", **options: Any) -> dict[str, Any]:
    return {"name": "gate-pgd", "as": fault or "pgd", "options": {"fault": fault, **options}}


def test_all_checks_stay_silent_on_honest_targets_and_attacks(gate: Gate) -> None:
    restarted = {"name": "gate-pgd", "as": "restarted", "options": {"steps": 5, "restarts": 2}}
    attacks = ["none", pgd(steps=4), {"name": "gate-pgd", "as": "pgd-6", "options": {"steps": 6}}, restarted, "gate-search", NOISE]
    found = gate([HONEST, {**net("another"), "attacks": ["none", "pgd"]}], attacks, [0.03, "inf"], patients=64, transfer=["pgd"])
    assert {name: findings for name, findings in found.cells.items() if findings} == {}
    assert found.columns == {"honest": set(), "another": set()}
    checked = {identity for verdict in found.evidence.verdicts for identity in verdict.checked}
    assert checked == {check.id for check in COLUMN_CHECKS}
    written = [json.loads((folder.path / "validity.json").read_text()) for folder in found.run.cells()]
    assert {identity for one in written for identity in one["checked"]} >= {"V01", "V02", "V03", "V04", "V05", "V10", "V11", "V13"}
    assert {identity for one in written for identity in one["checked"]} >= {"V14", "V15", "V17", "V20", "V21"}


TARGETS: dict[str, set[str]] = {
    "honest": set(),
    "certain": {"certain_to_rounding", "no_gradient"},
    "probabilities": {"not_logits"},
    "dropout": {"unsaid_randomness"},
    "rounding": {"no_gradient"},
    "holed": {"no_gradient"},
    "brittle": {"scarce_gradient"},
    "detached": {"graph_interrupted"},
    "optimising": {"optimises_at_inference"},
    "training": {"batch_dependent"},
    "batch": {"batch_dependent"},
    "counting": {"batch_dependent"},
}
ATTACKS: dict[str, set[str]] = {
    "pgd": set(),
    "slow": {"still_climbing"},
    "forgetful": {"better_query_not_returned", "silent_success"},
    "leaves": {"budget_left"},
    "fickle": {"restarts_differ"},
    "predicted": {"wrong_cases_repaired"},
}


def test_targets_that_deserve_a_finding_get_it(gate: Gate) -> None:
    found = gate([net(kind) for kind in TARGETS], ["none", pgd(steps=6)], patients=12).cells
    assert {kind for kind in TARGETS if not TARGETS[kind] <= found[f"0.05 {kind} pgd"]} == set()
    assert (found["0.05 honest none"], found["0.05 honest pgd"]) == (set(), set())
    assert found["0.05 certain none"] == {"saturated"}


def test_attacks_that_deserve_a_finding_get_it(gate: Gate) -> None:
    attacks = [pgd("" if fault == "pgd" else fault, steps=8, restarts=1 + (fault == "fickle")) for fault in ATTACKS]
    found = gate(attacks=["none", *attacks], metrics=[*ROWS, "gate-loss"]).cells
    assert {fault for fault in ATTACKS if not ATTACKS[fault] <= found[f"0.05 honest {fault}"]} == set()
    assert not found["0.05 honest none"] | found["0.05 honest pgd"]


@pytest.mark.parametrize("batch", [1, 3])
def test_no_verdict_depends_on_the_batch(gate: Gate, batch: int) -> None:
    found = gate([net("batch"), net("brittle"), HONEST], [pgd(steps=6)], patients=12, signed=True, norm={"low": None, "high": None}, batch=batch)
    assert found.cells["0.05 batch pgd"] == {"batch_dependent"}
    assert found.cells["0.05 brittle pgd"] == {"scarce_gradient"}
    assert found.cells["0.05 honest pgd"] == set(), "some clean images hold negative values, if not all"


def test_v10_finds_a_black_box_search_that_was_cut_short(gate: Gate) -> None:
    searches = [{"name": "gate-search", "as": name, "options": {"queries": 12, "slow": name == "slow"}} for name in ("slow", "search")]
    found = gate(attacks=searches)
    assert found.cells["0.05 honest slow"] == {"still_searching"}
    assert found.cells["0.05 honest search"] == set()
    assert "V10" in found.checked("0.05 honest search")


def test_v10_finds_an_attack_cut_short_that_asks_far_less_often_than_it_might(gate: Gate) -> None:
    """Carlini and Wagner's: a step of it may be halved and doubled five times each, and hardly ever is."""

    def cw(name: str, **options: float) -> dict[str, Any]:
        return {"name": "art-cw", "as": name, "options": options}

    found = gate(attacks=[cw("short", searches=1, steps=3, learning_rate=0.001), cw("whole", searches=2, steps=20, constant=100.0)], budgets=[0.02])
    assert found.cells == {"0.02 honest short": {"still_climbing"}, "0.02 honest whole": set()}


def test_v13_finds_intensities_out_of_range_within_the_norm(gate: Gate) -> None:
    found = gate(attacks=[pgd("range"), pgd()], norm={"low": 0.45, "high": 0.55})
    assert "budget_left" in found.cells["0.05 honest range"]
    assert not found.cells["0.05 honest pgd"]


def test_v13_finds_intensities_that_no_image_could_have(gate: Gate) -> None:
    found = gate(attacks=[pgd()], budgets=[0.05, 0.5], norm={"low": None, "high": None}).cells
    assert "below_zero" in found["0.5 honest pgd"]
    assert not found["0.05 honest pgd"]


def test_v13_finds_success_that_saving_undoes(gate: Gate) -> None:
    def levels(count: int) -> list[Any]:
        return ["correct", "fooled", {"name": "survives-saving", "options": {"levels": count, "low": 0.0, "high": 1.0}}]

    assert gate(attacks=[pgd()], metrics=levels(3)).cells["0.05 honest pgd"] == {"lost_in_saving"}
    assert gate(attacks=[pgd()], metrics=levels(256)).cells["0.05 honest pgd"] == set()


@pytest.mark.parametrize("counted", [["correct", "gate-every-wrong"], ["gate-of-right", "fooled"]])
def test_v17_finds_scripts_that_miscount_what_is_wrong_when_clean(gate: Gate, counted: list[str]) -> None:
    assert gate(attacks=[pgd()], metrics=[*counted, "clean-correct"]).cells["0.05 honest pgd"] == {"wrong_cases_counted"}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_target_is_taken_at_its_word_that_it_is_stochastic(gate: Gate, seed: int) -> None:
    averaged = {"name": "gate-pgd", "as": "eot", "options": {"expectation": 4}}
    torch.manual_seed(seed)
    found = gate([HONEST], ["none", pgd(), averaged, "gate-search"], defenses=["gate-noise"]).cells
    assert found == {
        "0.05 honest+gate-noise none": {"randomness"},
        "0.05 honest+gate-noise pgd": {"randomness", "randomness_not_averaged"},
        "0.05 honest+gate-noise eot": {"randomness"},
        "0.05 honest+gate-noise gate-search": {"randomness"},
    }


def test_shipped_attacks_average_over_the_draws_of_a_target_that_says_it_is_stochastic(gate: Gate) -> None:
    names = ("art-fgsm", "art-pgd", "art-mim", "apgd", "autoattack")
    few = {"art-fgsm": {}, "autoattack": {"steps": 3, "square": 5}}
    once = [{"name": name, "options": few.get(name, {"steps": 3})} for name in names]
    averaged = [{"name": name, "as": f"{name} eot", "options": {**few.get(name, {"steps": 3}), "expectation": 4}} for name in names]
    found = gate([HONEST], [*once, *averaged], defenses=["gate-noise"], patients=12).cells
    for name in names:
        assert "randomness_not_averaged" in found[f"0.05 honest+gate-noise {name}"]
        assert found[f"0.05 honest+gate-noise {name} eot"] == {"randomness"}


def test_a_target_is_not_blamed_for_the_one_before_it(gate: Gate) -> None:
    first = gate([net("dropout")], [pgd()])
    assert "unsaid_randomness" in first.cells["0.05 dropout pgd"]
    second = gate([HONEST], [pgd()])
    assert second.cells["0.05 honest pgd"] == set()
    folder = second.run.cells()[0]
    folder.reset()
    (folder.path / "validity.json").unlink()
    assert compute(second.run.path, folder.digest) == "done"
    assert second.cells["0.05 honest pgd"] == set()


def test_v06_and_v07_and_v08_find_masked_gradients(gate: Gate) -> None:
    found = gate([HONEST, net("rounding")], ["none", pgd(), "gate-search"], [0.05, "inf"], transfer=["pgd"])
    assert {"black_box_beats_white_box", "transfer_beats_white_box", "unbounded_attack_fails"} <= found.columns["rounding"]
    assert found.columns["honest"] <= {"differences_hidden"}
    levels = {(record.target, record.attack, record.condition): record.level for record in found.evidence.records}
    assert levels["rounding", "pgd", "0.05"] == levels["rounding", "pgd", "inf"] == "invalid"
    assert levels["honest", "pgd", "0.05"] in ("ok", "info")


@pytest.mark.parametrize("attacks", [["none", pgd("timid")], ["none", pgd("tired", steps=12), {**pgd("tired", steps=24), "as": "tired-24"}]])
def test_v09_finds_success_that_falls(gate: Gate, attacks: list[Any]) -> None:
    found = gate(attacks=attacks, budgets=[0.039, 0.05])
    assert "harm_falls" in found.columns["honest"]
    invalid = {(record.attack, record.condition) for record in found.evidence.records if record.level == "invalid"}
    assert invalid == ({("timid", "0.05")} if len(attacks) == 2 else {("tired-24", "0.039"), ("tired-24", "0.05")})


def test_v12_finds_an_attack_that_noise_outdoes(gate: Gate) -> None:
    found = gate([net("brittle")], ["none", pgd("timid"), pgd(), NOISE], patients=64)
    assert "noise_does_as_well" in found.columns["brittle"]
    reasons = {record.attack: " ".join(record.reasons) for record in found.evidence.records}
    assert "V12" in reasons["timid"]
    assert "V12" not in reasons["pgd"]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A zoo model with a card of one's own: the honest net, by name."""
    package = tmp_path / "zoos" / "gate_zoo"
    entry = tmp_path / "zoos" / "gate_zoo-1.0.dist-info"
    entry.mkdir(parents=True)
    package.mkdir()
    (package / "__init__.py").write_text("")
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: gate-zoo\nVersion: 1.0\n")
    (entry / "entry_points.txt").write_text("[medrobust.zoo]\ngate = gate_zoo\n")
    monkeypatch.syspath_prepend(str(entry.parent))

    def ship(name: str, split: str, correct: float) -> str:
        architecture = build_plugin("targets", "gate-net", {})
        digest = build_plugin("data", "gate-data", {"patients": 24}).digest
        fields = {"task": "classification", "architecture": "gate-net", "target": name, "figures": {"correct@test": correct}}
        save(package / name, {**fields, "training": {"data": "gate-data", "data_digest": digest, "split": split}}, architecture.build())
        return name

    return ship


def test_v16_and_v18_hold_a_target_to_its_card(gate: Gate, shipped: Callable[..., str]) -> None:
    names = [shipped("as-declared", "train", 20 / 24), shipped("overstated", "train", 1.0), shipped("overlapping", "test", 20 / 24)]
    found = gate(names, ["none", pgd()]).cells
    assert (found["0.05 as-declared none"], found["0.05 as-declared pgd"]) == (set(), set())
    assert (found["0.05 overstated none"], found["0.05 overstated pgd"]) == ({"clean_figures_missed"}, set())
    assert found["0.05 overlapping none"] == found["0.05 overlapping pgd"] == {"trained_on_test"}


def test_v18_knows_what_a_defense_learned_from_while_it_was_made(gate: Gate) -> None:
    schedule = {"steps": 3, "batch": 4, "learning_rate": 1e-3}
    trained = {"name": "madry", "options": {"steps": 1, "budget": {"epsilon": 0.05}, "schedule": schedule}}
    for split, expected in (("train", {"trained_on_test"}), ("test", set())):
        found = gate(attacks=["none", pgd(steps=4)], patients=12, split=split, defenses=["none", trained])
        assert found.cells["0.05 honest+madry none"] == found.cells["0.05 honest+madry pgd"] == expected
        assert found.cells["0.05 honest none"] == found.cells["0.05 honest pgd"] == set()
        assert "V18" in found.checked("0.05 honest+madry pgd")
        assert "V18" not in found.checked("0.05 honest pgd")


@pytest.mark.parametrize("split", ["train", "test"])
def test_v18_knows_what_attacks_and_explainers_were_fitted_on(make_run: Callable[..., Run], split: str) -> None:
    data = ("{name: tiny-data}", f"{{name: tiny-data, split: {split}, options: {{patients: 12}}}}")
    probes = ("  - tiny-gradient\n", "  - tiny-trained\nexplainers: [tiny-fitted]\n")
    run = make_run(data, probes, ("attacked: [tiny-error]", "attacked: [tiny-error], explained: [tiny-agreement]"))
    for folder in run.cells():
        if folder.cell.columns["attack"] in ("tiny-trained", "tiny-fitted", "none"):
            overlaps = split == "train" and folder.cell.columns["attack"] != "none"
            assert compute(run.path, folder.digest) == ("invalid" if overlaps else "done")
            assert ("trained on 12 patients" in (folder.path / "validity.json").read_text()) == overlaps


def test_v19_finds_features_that_the_measurement_lost(run_spec: Gate) -> None:
    def found(**budget: Any) -> set[str]:
        spec = {
            "suite": "fnaf",
            "track": "gate-track",
            "data": {"name": "mri-phantom", "options": {"test": 1, "slices": 2}},
            "conditions": {"4x": {"data": {"acceleration": 4, "center_fraction": 0.08}}},
            "targets": ["zero-filled"],
            "attacks": [{"name": "fnaf-random", "options": {"trials": 3}}],
            "budget": {"name": "feature", "options": budget},
            "metrics": {"none": ["nmse"], "attacked": ["fnaf-loss", "information"]},
        }
        gated = run_spec(spec)
        assert "V19" in gated.checked("4x zero-filled fnaf-random")
        return gated.cells["4x zero-filled fnaf-random"] - {"few_patients"}

    assert found(information=0.0, intensity=[0.05, 0.1]) == {"information_lost"}
    assert found() == set()


def test_v19_finds_anatomy_that_folds_or_moves(run_spec: Gate) -> None:
    def found(knots: int, **budget: float) -> set[str]:
        name, options = f"{knots} knots", {"parts": "field", "knots": knots}
        spec = {
            "suite": "deformed",
            "track": "gate-track",
            "data": {"name": "abdomen-phantom", "options": {"train": 0, "val": 0, "test": 1, "slices": 8}},
            "targets": ["seg-unet"],
            "attacks": [{"name": "random-field", "as": name, "options": options}],
            "budget": {"name": "deformation", "options": budget},
            "metrics": {"none": ["dice"], "attacked": ["dice", "dice-warped", "dice-floor", "folding"]},
        }
        gated = run_spec(spec)
        (cell,) = gated.cells
        assert "V19" in gated.checked(cell)
        return gated.cells[cell] - {"few_patients"}

    assert found(20, p=0.5, displacement=60.0, folding=1.0) == {"anatomy_folded", "truth_moved"}
    assert found(6, p=0.01) == set()


def test_v20_says_what_few_patients_could_not_show(gate: Gate) -> None:
    found = gate(attacks=["none", pgd()], patients=6)
    assert found.cells["0.05 honest pgd"] == {"few_patients"}
    assert found.columns["honest"] == {"differences_hidden"}


def test_v21_finds_budgets_that_destroy_the_image(gate: Gate) -> None:
    found = gate(attacks=[pgd(), NOISE], budgets=[0.05, 0.5])
    assert found.cells["0.5 honest noise"] == {"grey_within_budget", "image_destroyed"}
    assert "grey_within_budget" in found.cells["0.5 honest pgd"]
    assert not found.cells["0.05 honest noise"] | found.cells["0.05 honest pgd"]


def test_v22_and_v23_find_maps_that_explain_nothing(gate: Gate) -> None:
    maps = [{"name": "gate-slope", "as": "slope"}, {"name": "gate-slope", "as": "edges", "options": {"edges": True}}]
    metrics = ["randomisation", "undecided", "saturated"]
    found = gate([net("weighted"), net("unsure")], ["none"], patients=12, explainers=maps, explained=metrics)
    assert found.cells["0.05 weighted slope"] == set()
    assert found.cells["0.05 weighted edges"] == {"weights_ignored"}
    assert "undecided" in found.cells["0.05 unsure edges"]
    assert {"V01", "V22", "V23"} <= found.checked("0.05 weighted slope")


def test_an_interrupted_cell_gets_the_verdict_of_an_undisturbed_one(gate: Gate) -> None:
    found = gate([net("detached")], [pgd()])
    folder = found.run.cells()[0]
    whole, verdict = folder.cases_file.read_bytes(), (folder.path / "validity.json").read_text()
    for cut in (0, len(whole) // 2, len(whole)):
        folder.cases_file.write_bytes(whole[:cut])
        state = folder.content(folder.state()) | {"status": "running"}
        (folder.path / "cell.json").write_text(json.dumps(state))
        assert compute(found.run.path, folder.digest) == "invalid"
        assert (folder.path / "validity.json").read_text() == verdict


def test_what_was_found_is_written_beside_the_page_and_in_the_run(gate: Gate, tmp_path: Path) -> None:
    found = gate([net("rounding")], ["none", pgd(), "gate-search"], ["inf"])
    build([found.run.path])
    content = (found.run.path / "validity.json").read_text()
    assert content == (found.run.path / "leaderboard" / "validity.json").read_text()
    column = json.loads(content)["columns"][0]
    assert (column["target"], column["level"]) == ("rounding", "invalid")
    digests = {digest for finding in column["findings"] for digest in finding["cells"]}
    assert digests <= set(found.run.digests)
    build([found.run.path, found.run.path], tmp_path / "both")
    assert (tmp_path / "both" / "validity.json").read_text() == content


def test_every_numbered_check_is_there() -> None:
    assert {check.id for check in (*CHECKS, *COLUMN_CHECKS)} == {f"V{number:02d}" for number in range(1, 24)}
    assert {check.find.__name__ for check in (*CHECKS, *COLUMN_CHECKS)} == set(SAYS)
