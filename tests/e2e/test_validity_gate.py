"""Every check of the validity gate fires on a target or an attack built to deserve it, in real runs, and stays silent on honest ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from medrobust.cli.run import prepare
from medrobust.judge import CHECKS, COLUMN_CHECKS
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

Findings = dict[str, set[tuple[str, str]]]


@dataclass(frozen=True)
class Gated:
    """A computed run."""

    run: Run
    statuses: Mapping[str, str]

    @property
    def cells(self) -> Findings:
        """Cell name -> (id, level) of what was found of it alone."""
        found = {}
        for folder in self.run.cells():
            assert folder.state().status != "failed", folder.state().error
            content = json.loads((folder.path / "validity.json").read_text())
            found[folder.cell.name] = {(finding["id"], finding["level"]) for finding in content["findings"]}
        return found

    @property
    def evidence(self) -> Evidence:
        return joined([load(self.run.path)])

    @property
    def columns(self) -> Findings:
        """Target -> (id, level) of what was found by comparing its cells."""
        return {verdict.target: {(one.id, one.level) for one in verdict.findings} for verdict in self.evidence.verdicts}


Gate = Callable[..., Gated]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gate:
    """Runs targets and attacks in this process, under budgets of L-infinity."""
    monkeypatch.syspath_prepend(str(GATE))

    def run(
        targets: Sequence[Mapping[str, Any] | str] = (HONEST,),
        attacks: Sequence[Mapping[str, Any] | str] = ("none",),
        budgets: Sequence[str | float] = (0.05,),
        patients: int = 24,
        metrics: Sequence[Any] = ROWS,
        norm: Mapping[str, Any] | None = None,
        **further: Any,
    ) -> Gated:
        spec = {
            "suite": "gate",
            "track": "gate-track",
            "data": {"name": "gate-data", "options": {"patients": patients}},
            "conditions": {str(epsilon): {"budget": {"epsilon": epsilon}} for epsilon in budgets},
            "targets": list(targets),
            "attacks": list(attacks),
            "budget": {"name": "norm", "options": {"low": 0.0, "high": 1.0, **(norm or {})}},
            "metrics": {"none": ["correct"], "attacked": list(metrics)},
            **further,
        }
        path = tmp_path / "gate.yaml"
        path.write_text(yaml.safe_dump(spec, sort_keys=False))
        made = prepare(plan(str(path)), tmp_path / "runs")
        return Gated(made, {digest: compute(made.path, digest) for digest in made.digests})

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


TARGETS: dict[str, set[tuple[str, str]]] = {
    "honest": set(),
    "certain": {("V01", "warn"), ("V03", "invalid")},
    "probabilities": {("V01", "warn")},
    "dropout": {("V02", "invalid")},
    "rounding": {("V03", "invalid")},
    "holed": {("V03", "invalid")},
    "brittle": {("V03", "warn")},
    "detached": {("V04", "invalid")},
    "optimising": {("V05", "warn")},
    "training": {("V14", "invalid")},
    "batch": {("V14", "invalid")},
}
ATTACKS: dict[str, set[tuple[str, str]]] = {
    "pgd": set(),
    "slow": {("V10", "warn")},
    "forgetful": {("V11", "invalid")},
    "leaves": {("V13", "invalid")},
    "fickle": {("V15", "warn")},
    "predicted": {("V17", "invalid")},
}


def test_targets_that_deserve_a_finding_get_it(gate: Gate) -> None:
    found = gate([net(kind) for kind in TARGETS], [pgd(steps=6)], patients=12).cells
    assert {kind for kind in TARGETS if not TARGETS[kind] <= found[f"0.05 {kind} pgd"]} == set()
    assert not found["0.05 honest pgd"]


def test_attacks_that_deserve_a_finding_get_it(gate: Gate) -> None:
    attacks = [pgd("" if fault == "pgd" else fault, steps=8, restarts=1 + (fault == "fickle")) for fault in ATTACKS]
    found = gate(attacks=["none", *attacks]).cells
    assert {fault for fault in ATTACKS if not ATTACKS[fault] <= found[f"0.05 honest {fault}"]} == set()
    assert not found["0.05 honest none"] | found["0.05 honest pgd"]


def test_v10_finds_an_attack_cut_short_that_asks_far_less_often_than_it_might(gate: Gate) -> None:
    """Carlini and Wagner's: a step of it may be halved and doubled five times each, and hardly ever is."""

    def cw(name: str, **options: float) -> dict[str, Any]:
        return {"name": "art-cw", "as": name, "options": options}

    found = gate(attacks=[cw("short", searches=1, steps=3, learning_rate=0.001), cw("whole", searches=2, steps=20, constant=100.0)], budgets=[0.02])
    assert found.cells == {"0.02 honest short": {("V10", "warn")}, "0.02 honest whole": set()}


def test_v13_finds_intensities_out_of_range_within_the_norm(gate: Gate) -> None:
    found = gate(attacks=[pgd("range"), pgd()], norm={"low": 0.45, "high": 0.55})
    assert ("V13", "invalid") in found.cells["0.05 honest range"]
    assert not found.cells["0.05 honest pgd"]


def test_v13_finds_success_that_saving_undoes(gate: Gate) -> None:
    def levels(count: int) -> list[Any]:
        return ["correct", "fooled", {"name": "survives-saving", "options": {"levels": count, "low": 0.0, "high": 1.0}}]

    assert gate(attacks=[pgd()], metrics=levels(3)).cells["0.05 honest pgd"] == {("V13", "warn")}
    assert gate(attacks=[pgd()], metrics=levels(256)).cells["0.05 honest pgd"] == set()


def test_v02_takes_a_target_at_its_word_that_is_attacked_in_expectation(gate: Gate) -> None:
    averaged = {"name": "gate-pgd", "as": "eot", "options": {"expectation": 4}}
    found = gate([HONEST], ["none", pgd(), averaged, "gate-search"], defenses=["gate-noise"]).cells
    assert {level for identity, level in found["0.05 honest+gate-noise pgd"] if identity == "V02"} == {"warn", "info"}
    for attack in ("none", "eot", "gate-search"):
        assert {level for identity, level in found[f"0.05 honest+gate-noise {attack}"] if identity == "V02"} == {"info"}, attack
    assert not {identity for findings in found.values() for identity, _ in findings} & {"V14"}


def test_shipped_attacks_average_over_the_draws_of_a_target_that_says_it_is_stochastic(gate: Gate) -> None:
    names = ("art-fgsm", "art-pgd", "art-mim", "apgd", "autoattack")
    few = {"art-fgsm": {}, "autoattack": {"steps": 3, "square": 5}}
    once = [{"name": name, "options": few.get(name, {"steps": 3})} for name in names]
    averaged = [{"name": name, "as": f"{name} eot", "options": {**few.get(name, {"steps": 3}), "expectation": 4}} for name in names]
    found = gate([HONEST], [*once, *averaged], defenses=["gate-noise"], patients=12).cells
    for name in names:
        assert ("V02", "warn") in found[f"0.05 honest+gate-noise {name}"]
        assert not found[f"0.05 honest+gate-noise {name} eot"] & {("V02", "warn"), ("V13", "invalid")}


def test_a_target_is_not_blamed_for_the_one_before_it(gate: Gate) -> None:
    first = gate([net("dropout")], [pgd()])
    assert ("V02", "invalid") in first.cells["0.05 dropout pgd"]
    second = gate([HONEST], [pgd()])
    assert second.cells["0.05 honest pgd"] == set()
    folder = second.run.cells()[0]
    folder.reset()
    (folder.path / "validity.json").unlink()
    assert compute(second.run.path, folder.digest) == "done"
    assert second.cells["0.05 honest pgd"] == set()


def test_v06_and_v07_and_v08_find_masked_gradients(gate: Gate) -> None:
    found = gate([HONEST, net("rounding")], ["none", pgd(), "gate-search"], [0.05, "inf"], transfer=["pgd"])
    assert {("V06", "warn"), ("V07", "warn"), ("V08", "invalid")} <= found.columns["rounding"]
    assert found.columns["honest"] <= {("V20", "info")}
    levels = {(record.target, record.attack, record.condition): record.level for record in found.evidence.records}
    assert levels["rounding", "pgd", "0.05"] == levels["rounding", "pgd", "inf"] == "invalid"
    assert levels["honest", "pgd", "0.05"] in ("ok", "info")


@pytest.mark.parametrize("attacks", [["none", pgd("timid")], ["none", pgd("tired", steps=12), {**pgd("tired", steps=24), "as": "tired-24"}]])
def test_v09_finds_success_that_falls(gate: Gate, attacks: list[Any]) -> None:
    found = gate(attacks=attacks, budgets=[0.039, 0.05])
    assert ("V09", "invalid") in found.columns["honest"]
    invalid = {(record.attack, record.condition) for record in found.evidence.records if record.level == "invalid"}
    assert invalid == ({("timid", "0.05")} if len(attacks) == 2 else {("tired-24", "0.039"), ("tired-24", "0.05")})


def test_v12_finds_an_attack_that_noise_outdoes(gate: Gate) -> None:
    found = gate([net("brittle")], ["none", pgd("timid"), pgd(), NOISE])
    assert ("V12", "warn") in found.columns["brittle"]
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
    assert (found["0.05 overstated none"], found["0.05 overstated pgd"]) == ({("V16", "warn")}, set())
    assert found["0.05 overlapping none"] == found["0.05 overlapping pgd"] == {("V18", "invalid")}


def test_v20_says_what_few_patients_could_not_show(gate: Gate) -> None:
    found = gate(attacks=["none", pgd()], patients=6)
    assert ("V20", "warn") in found.cells["0.05 honest pgd"]
    assert ("V20", "info") in found.columns["honest"]


def test_v21_finds_budgets_that_destroy_the_image(gate: Gate) -> None:
    found = gate(attacks=[pgd(), NOISE], budgets=[0.05, 0.5])
    assert ("V21", "warn") in found.cells["0.5 honest noise"]
    assert ("V21", "warn") in found.cells["0.5 honest pgd"]
    assert not found.cells["0.05 honest noise"] | found.cells["0.05 honest pgd"]


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
