from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medrobust.errors import SpecError
from medrobust.options import configure
from medrobust.resolve import resolve
from medrobust.spec import locate, read
from medrobust.strict_yaml import parse

Write = Callable[..., str]
BUDGET = "budget: {name: tiny-budget, options: {radius: 0.2}}"


def mistakes(spec: str) -> list[str]:
    with pytest.raises(SpecError) as raised:
        resolve(spec)
    return [line.split("spec.yaml", 1)[-1] for line in str(raised.value).splitlines()]


def test_a_good_spec_resolves_with_defaults_filled_in(write_spec: Write) -> None:
    resolved = resolve(write_spec())
    (condition,) = resolved.conditions
    assert condition.data.options == {"size": 32, "keep": 0.5, "patients": 4, "scale": [0.0, 1.0], "log": ""}
    assert condition.data.neutral == ("log",)
    assert [attack.label for attack in condition.attacks] == ["none", "tiny-search", "tiny-gradient"]
    assert [target.target for target in resolved.targets] == ["zero-filled", "unet"]
    assert resolved.defenses == (None,)


def test_an_option_that_changes_nothing_at_its_default_is_no_part_of_an_identity() -> None:
    """`expectation` came after cells had been computed: these stay what they were."""
    asked = [{}, {"expectation": 1}, {"expectation": 16}]
    once, plainly, averaged = (configure("attacks", "art-pgd", options, "here")[0] for options in asked)
    assert once == plainly
    assert once.identity["options"] == {"keep": "best", "steps": 20, "step": None, "random_start": True, "restarts": 1}
    assert once.options["expectation"] == 1
    assert averaged.identity["options"] == {**once.identity["options"], "expectation": 16}


def test_an_unknown_field_is_one_line_with_its_place_and_near_names(write_spec: Write) -> None:
    assert mistakes(write_spec(("suite:", "siute:"), ("store: true", "stor: true"))) == [
        ":1: suite: missing, expected a value",
        ":1: siute: unknown field; did you mean suite?",
        ":11: attacks[1].stor: unknown field; did you mean store?",
    ]


def test_a_key_that_stands_twice_is_an_error(write_spec: Write) -> None:
    assert mistakes(write_spec(("batch: 4", "batch: 4\nbatch: 8"))) == [":16: batch: found the same key twice, expected it once"]


def test_a_value_of_the_wrong_type_is_not_converted(write_spec: Write) -> None:
    found = mistakes(write_spec(("batch: 4", "batch: '4'\nseed: 1.5\nlimit: 0")))
    assert found == [
        ":15: batch: found \"4\", expected a valid integer",
        ":16: seed: found 1.5, expected a valid integer",
        ":17: limit: found 0, expected greater than 0",
    ]


def test_a_list_whose_only_entry_is_bad_is_not_called_empty_too(write_spec: Write) -> None:
    targets = "  - zero-filled\n  - {name: unet, options: {channels: 4, pools: 2}}\n"
    found = mistakes(write_spec((targets, "  - {name: unet, precision: int8}\n")))
    assert found == [":7: targets[0].precision: found \"int8\", expected 'float32' or 'bfloat16'"]


def test_text_that_is_not_yaml_names_the_line() -> None:
    with pytest.raises(SpecError, match=r"^x\.yaml:2: .*; expected YAML$"):
        parse("a: [1\nb: 2", "x.yaml")


@pytest.mark.parametrize("text", ["", "- 1", "text", "a: &x [*x]", "a: !!python/object:os.system {}", "\0"])
def test_a_file_that_is_no_spec_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as raised:
        read(str(path))
    assert len(str(raised.value).splitlines()) == 1
    assert str(path) in str(raised.value)


def test_an_unknown_plugin_of_each_kind_comes_with_near_names(write_spec: Write) -> None:
    found = mistakes(
        write_spec(
            ("name: tiny-data", "name: tiny-dat"),
            ("  - tiny-gradient", "  - tiny-gradent"),
            ("name: unet,", "name: unett,"),
            ("name: tiny-budget", "name: tiny-bugdet"),
            ("none: [tiny-error", "none: [tiny-eror"),
            ("batch: 4", "defenses: [tiny-smoth]"),
        )
    )
    expected = [
        ":3: data: no 'tiny-dat' among data; did you mean tiny-data",
        ":8: targets[1]: no 'unett' among zoo models and targets; did you mean unet",
        ":12: attacks[2]: no 'tiny-gradent' among attacks; did you mean tiny-gradient",
        ":13: budget: no 'tiny-bugdet' among budgets; did you mean tiny-budget",
        ":14: metrics.none[0]: no 'tiny-eror' among metrics; did you mean tiny-error",
        ":15: defenses[0]: no 'tiny-smoth' among defenses; did you mean tiny-smooth",
    ]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_options_are_checked_by_name_type_and_range(write_spec: Write) -> None:
    found = mistakes(
        write_spec(
            ("{name: tiny-search, store: true}", "{name: tiny-search, options: {draw: 3}}"),
            ("options: {radius: 0.2}", "options: {radius: -1}"),
            ("data: {keep: 0.5}", "data: {keep: much, size: 32}"),
            ("channels: 4,", "channels: 4.5,"),
        )
    )
    assert found == [
        ":5: conditions.half.data: tiny-data: keep: found \"much\", expected a valid number",
        ":8: targets[1]: unet: channels: found 4.5, expected a valid integer",
        ":11: attacks[1]: tiny-search: no field 'draw'; did you mean draws?",
        ":13: budget: tiny-budget: radius: found -1.0, expected a positive number",
    ]


def test_a_misspelt_track_is_told_from_one_of_its_own(write_spec: Write) -> None:
    (found,) = mistakes(write_spec(("track: tiny-track", "track: recon-fanf")))
    assert found.startswith(":2: track: found 'recon-fanf', did you mean recon-fnaf or recon-l2?")


def test_a_list_becomes_the_tuple_that_a_field_is(write_spec: Write) -> None:
    resolved = resolve(write_spec(("data: {keep: 0.5}", "data: {scale: [0.0, 2.0]}")))
    assert resolved.conditions[0].dataset.scale == (0.0, 2.0)  # type: ignore[attr-defined]


def test_options_that_are_not_finite_are_refused(write_spec: Write) -> None:
    (found,) = mistakes(write_spec(("radius: 0.2", "radius: .inf")))
    assert found.startswith(":13: budget: tiny-budget: ")


def test_a_plugin_that_cannot_be_imported_names_its_distribution(write_spec: Write) -> None:
    (found,) = mistakes(write_spec(("  - tiny-gradient", "  - tiny-absent")))
    assert "'tiny-absent' of tiny-plugins cannot be imported (tiny_plugins:Absent)" in found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: unet,",
            "name: unet, metrics: [tiny-eror],",
            ":8: targets[1].metrics: no metric 'tiny-eror' in this spec; did you mean tiny-error or tiny-volume?",
        ),
        ("batch: 4", "transfer: [tiny-serch]", ":15: transfer[0]: no attack 'tiny-serch' in this spec; did you mean tiny-search or tiny-gradient?"),
        ("  - tiny-gradient", "  - tiny-search", ":9: attacks: found 'tiny-search' 2 times, expected distinct names; `as` gives another"),
        ("  - zero-filled", "  - unet", ":6: targets: found 'unet' 2 times, expected distinct names; `as` gives another"),
        (BUDGET, "title: x", ":9: attacks: found attacks without a budget, expected `budget: {name: ...}`"),
        ("data: {keep: 0.5}", "attack: {drws: 3}", ":5: conditions.half.attack.drws: no attack of this spec has such a field; did you mean draws?"),
        ("options: {channels: 4, pools: 2}}", "option: {}}", ":8: targets[1].option: unknown field; did you mean options or precision?"),
    ],
)
def test_what_no_single_entry_shows_is_found(write_spec: Write, old: str, new: str, expected: str) -> None:
    assert mistakes(write_spec((old, new))) == [expected]


def test_a_condition_overrides_data_budget_and_every_attack_that_has_the_field(write_spec: Write) -> None:
    resolved = resolve(write_spec(("data: {keep: 0.5}", "data: {keep: 0.25}, attack: {draws: 7}, budget: {radius: 0.1}")))
    (condition,) = resolved.conditions
    assert condition.data.options["keep"] == 0.25
    assert condition.budget is not None
    assert condition.budget.options == {"radius": 0.1}
    search = condition.attacks[1].configured
    assert search is not None
    assert search.options["draws"] == 7


def test_a_transferred_attack_is_stored(write_spec: Write) -> None:
    resolved = resolve(write_spec(("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-gradient]")))
    assert [attack.store for attack in resolved.conditions[0].attacks] == [False, True, True]


def test_a_shipped_spec_is_found_by_name_and_a_missing_one_named() -> None:
    assert "suite: recon-fnaf" in locate("recon-fnaf")[0]
    with pytest.raises(SpecError, match=r"^recon-fnf: found no such file or shipped spec; did you mean recon-fnaf"):
        locate("recon-fnf")


def test_a_budget_in_a_unit_that_the_data_do_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    text = """\
suite: unit
track: unit
data: {name: abdomen-phantom, options: {train: 0, val: 0, test: 1}}
conditions:
  20 HU: {budget: {epsilon: 20 HU}}
  20 mm: {budget: {epsilon: 20 mm}}
targets: [seg-unet]
budget: {name: norm}
metrics: {none: [dice]}
"""
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        resolve(str(path))
    assert str(error.value) == f"{path}:6: conditions.20 mm.budget: found intensities in 'mm', expected HU, which data 'abdomen-phantom' declare"
    path.write_text(text.replace("20 mm", "30 HU"))
    assert [condition.name for condition in resolve(str(path)).conditions] == ["20 HU", "30 HU"]
