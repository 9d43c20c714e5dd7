from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from medrobust.cli.run import parse_shard, prepare
from medrobust.digests import plain
from medrobust.errors import SpecError
from medrobust.plan import Cost, Plan, plan, shard
from medrobust.store import run_digest

Write = Callable[..., str]
TRANSFER = ("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]")


@pytest.fixture
def planned(write_spec: Write) -> Plan:
    return plan(write_spec(TRANSFER))


def test_clean_cells_come_first_and_transfers_last(planned: Plan) -> None:
    assert [cell.name for cell in planned.cells] == [
        "half zero-filled none",
        "half unet none",
        "half zero-filled tiny-search",
        "half zero-filled tiny-gradient",
        "half unet tiny-search",
        "half unet tiny-gradient",
        "half unet tiny-search from zero-filled",
        "half zero-filled tiny-search from unet",
    ]


def test_a_transfer_replays_its_source_on_another_target(planned: Plan) -> None:
    by_name = {cell.name: cell for cell in planned.cells}
    cell = by_name["half unet tiny-search from zero-filled"]
    assert cell.source == by_name["half zero-filled tiny-search"].digest
    assert cell.target_digest == by_name["half unet none"].target_digest
    assert not cell.store
    assert by_name["half zero-filled tiny-search"].store


def test_costs_count_the_judging_pass_and_say_what_is_unknown(planned: Plan) -> None:
    costs = {cell.name: planned.costs[cell.digest] for cell in planned.cells}
    assert costs["half unet none"] == Cost(12, 0)
    assert costs["half unet tiny-search"] == Cost(12 * 4, 0)
    assert costs["half unet tiny-gradient"] == Cost(None, 12)
    assert costs["half unet tiny-search from zero-filled"] == Cost(12, 0)


def test_the_defense_column_joins_the_card_and_what_is_applied(write_spec: Write) -> None:
    cells = plan(write_spec(("batch: 4", "defenses: [none, {name: tiny-smooth, as: smooth}]"))).cells
    assert {cell.columns["defense"] for cell in cells} == {"none", "smooth"}
    assert len({cell.digest for cell in cells}) == len(cells) == 12


@pytest.mark.parametrize(
    "change",
    [
        ("batch: 4", "batch: 1"),
        (", store: true", ""),
        ("suite: tiny", "suite: tiny\ntitle: Another"),
        ("keep: 0.5", "keep: 0.5, log: x.txt"),
        ("tiny-search,", "tiny-search, options: {pause: 1.0},"),
    ],
)
def test_what_changes_no_number_changes_no_identity(write_spec: Write, change: tuple[str, str]) -> None:
    assert run_digest(plan(write_spec(change)).cells) == run_digest(plan(write_spec()).cells)


@pytest.mark.parametrize(
    "change",
    [
        ("batch: 4", "seed: 1"),
        ("batch: 4", "limit: 6"),
        ("keep: 0.5", "keep: 0.4"),
        ("radius: 0.2", "radius: 0.3"),
        ("channels: 4", "channels: 2"),
        ("half:", "other:"),
        ("attacked: [tiny-error]", "attacked: [tiny-error, tiny-volume]"),
        ("name: unet", "name: unet, as: other"),
        ("tiny-search,", "tiny-search, options: {draws: 4},"),
    ],
)
def test_what_changes_a_number_or_a_name_changes_identity(write_spec: Write, change: tuple[str, str]) -> None:
    assert run_digest(plan(write_spec(change)).cells) != run_digest(plan(write_spec()).cells)


def test_a_condition_may_have_a_seed_of_its_own(write_spec: Write) -> None:
    seeded = plan(write_spec(("batch: 4", "batch: 4\nseed: 7"), ("  half: {", "  again: {seed: 3}\n  half: {"))).cells
    assert {(cell.condition, cell.seed) for cell in seeded} == {("again", 3), ("half", 7)}


def test_a_target_may_be_given_some_of_the_metrics_alone(write_spec: Write) -> None:
    more, fewer = ("attacked: [tiny-error]", "attacked: [tiny-error, tiny-volume]"), ("name: unet,", "name: unet, metrics: [tiny-error],")
    chosen = plan(write_spec(more, fewer)).cells
    given = {(cell.columns["target"], tuple(metric.label for metric in cell.metrics)) for cell in chosen if cell.attack}
    assert given == {("zero-filled", ("tiny-error", "tiny-volume")), ("unet", ("tiny-error",))}


def test_limit_keeps_the_first_cases(write_spec: Write) -> None:
    assert {cell.cases for cell in plan(write_spec(), limit=5).cells} == {5}


def test_shards_part_the_cells_and_keep_transfers_with_their_source(planned: Plan) -> None:
    shards = [shard(planned.cells, index, 3) for index in (1, 2, 3)]
    assert sorted(cell.digest for part in shards for cell in part) == sorted(cell.digest for cell in planned.cells)
    for part in shards:
        digests = {cell.digest for cell in part}
        assert all(cell.source in digests for cell in part if cell.source)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"^--shard: found"):
        parse_shard(text)


def test_cells_survive_their_plain_form(planned: Plan) -> None:
    for cell in planned.cells:
        again = type(cell).of(plain(cell))
        assert again.digest == cell.digest
        assert plain(again) == plain(cell)


def test_a_lock_file_is_a_spec_that_gives_the_same_run(write_spec: Write, tmp_path: Path) -> None:
    first = prepare(plan(write_spec(TRANSFER)), tmp_path / "runs")
    again = plan(str(first.path / "suite.lock.yaml"))
    assert [cell.digest for cell in again.cells] == first.digests


def test_a_lock_file_whose_cells_have_changed_is_refused(write_spec: Write, tmp_path: Path) -> None:
    lock = prepare(plan(write_spec()), tmp_path / "runs").path / "suite.lock.yaml"
    content = yaml.safe_load(lock.read_text())
    content["seed"] = 3
    lock.write_text(yaml.safe_dump(content))
    with pytest.raises(SpecError, match="of 6 cells have changed"):
        plan(str(lock))


def test_a_split_without_cases_is_refused(write_spec: Write) -> None:
    with pytest.raises(SpecError, match="found no case in split 'test'"):
        plan(write_spec(("keep: 0.5", "patients: 0")))


def test_a_target_may_be_put_through_some_attacks_alone(write_spec: Write) -> None:
    planned = plan(write_spec(("  - zero-filled\n", "  - {name: zero-filled, attacks: [none, tiny-search]}\n")))
    asked = {(cell.columns["target"], cell.columns["attack"]) for cell in planned.cells}
    assert ("zero-filled", "tiny-search") in asked
    assert ("zero-filled", "tiny-gradient") not in asked
    assert ("unet", "tiny-gradient") in asked


def test_an_attack_may_be_made_under_some_conditions_alone(write_spec: Write) -> None:
    planned = plan(write_spec(("tiny-gradient", "{name: tiny-gradient, conditions: [half]}"), ("conditions:\n", "conditions:\n  all: {}\n")))
    made = {(cell.condition, cell.columns["attack"]) for cell in planned.cells}
    assert ("half", "tiny-gradient") in made
    assert ("all", "tiny-gradient") not in made
    assert ("all", "tiny-search") in made


def test_a_condition_that_the_spec_does_not_have_cannot_be_asked_of_an_attack(write_spec: Write) -> None:
    with pytest.raises(SpecError, match=r"attacks\[\d\]\.conditions: no condition 'hlf' in this spec; did you mean half"):
        plan(write_spec(("tiny-gradient", "{name: tiny-gradient, conditions: [hlf]}")))


def test_an_attack_that_the_spec_does_not_have_cannot_be_asked_of_a_target(write_spec: Write) -> None:
    spec = write_spec(("  - zero-filled\n", "  - {name: zero-filled, attacks: [tiny-serch]}\n"))
    with pytest.raises(SpecError, match=r"targets\[0\]\.attacks: no attack 'tiny-serch' in this spec; did you mean tiny-search"):
        plan(spec)
