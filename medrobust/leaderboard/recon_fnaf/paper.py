"""The tables of Cheng et al. 2020, each number beside ours, with the data that each was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.printed import ABOUT, QUIET, both, interleaved, numbers
from medrobust.leaderboard.recon_fnaf.rule import ACCEPTED, LESION, LOSS, PRESERVED, RATE
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.stats import wilson


def fnaf(section: Section) -> list[Table]:
    """Tables 1 and 2, information preservation, transfer and real lesions of Cheng et al. 2020."""
    printed = numbers("fnaf")
    data = f"paper: {printed['measured_on']}; ours: {section.data_label}"
    shared = (section, printed, data)
    return [_quality(*shared), *_attack(*shared), _information(*shared), _transfer(*shared), _lesions(*shared)]


def _quality(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    columns = both(Column("SSIM", digits=4), Column("NMSE", digits=5))
    lines = []
    for condition, models in printed["quality"].items():
        for name, values in models.items():
            ours = [_ours(section, printed, name, "none", condition, Quantity(metric.lower())) for metric in values]
            paper = [Entry(mean, spread=spread, validity=QUIET) for mean, spread in values.values()]
            lines.append(Line((condition, name), interleaved(paper, ours)))
    caption = f"Clean quality. The paper does not say what follows its ± (two standard deviations over volumes, most likely). {ABOUT}"
    return Table("paper-quality", "Beside the paper: Table 1", caption, data, ("condition", "model"), columns, tuple(lines))


def _attack(section: Section, printed: Mapping[str, Any], data: str) -> list[Table]:
    """Rates and losses, which the paper prints in one table."""
    kinds = (
        ("rate", "attack rate", "Share of cases with a loss of at least 0.001 σ²", 0, 0.01, RATE, ("", "%", 100.0, 2)),
        ("loss", "mean loss", "Mean over cases of the highest adversarial loss", 1, 1.0, LOSS, ("sigma^2", "10⁻³ σ²", 1000.0, 3)),
    )
    tables = []
    for name, title, what, index, unit, quantity, (natural, shown, scale, digits) in kinds:
        columns = both(*(Column(attack, natural, shown, scale, digits) for attack in ("RS", "FD")))
        lines = []
        for condition, models in printed["attack"].items():
            for model, values in models.items():
                paper = [Entry(numbers[index] * unit, validity=QUIET) for numbers in values.values()]
                lines.append(
                    Line((condition, model), interleaved(paper, [_ours(section, printed, model, one, condition, quantity) for one in values]))
                )
        caption = f"{what}, by random search (RS) and finite differences (FD). {ABOUT}"
        tables.append(Table(f"paper-{name}", f"Beside the paper: Table 2, {title}", caption, data, ("condition", "model"), columns, tuple(lines)))
    return tables


def _information(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    columns = both(Column("accepted", "", "%", 100, 2), Column("IP loss", "sigma^2", "10⁻⁴ σ²", 1e4, 2))
    lines = []
    for condition in printed["attack"]:
        for name, values in printed["information"].items():
            paper = [Entry(values["accepted"] / 100, validity=QUIET), Entry(values["loss"], validity=QUIET)]
            ours = [_ours(section, printed, values["model"], values["attack"], condition, quantity) for quantity in (ACCEPTED, PRESERVED)]
            lines.append(Line((condition, name), interleaved(paper, ours)))
    caption = f"Information preservation (IP). The paper gives one number and no acceleration; it stands beside each of ours. {ABOUT}"
    heads = ("condition", "features")
    return Table("paper-information", "Beside the paper: information preservation", caption, data, heads, columns, tuple(lines))


def _transfer(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    lines = []
    for condition in printed["attack"]:
        for one in printed["transfer"]:
            source, model = (_model(section, printed, one[end]) for end in ("found on", "replayed on"))
            names = printed["attacks"][one["attack"]]
            here = [record for record in section.records if (record.condition, record.target, record.defense) == (condition, *model)]
            replay = next((record.attack for record in here if _from(section, record.source, source, names)), "")
            ours = measure(section, model, replay, condition, RATE).entry
            lines.append(Line((condition, one["found on"], one["replayed on"]), (Entry(one["rate"] / 100, validity=QUIET), ours)))
    caption = f"Attack rate of features found on one model and replayed on another. The paper names no acceleration. {ABOUT}"
    heads = ("condition", "found on", "replayed on")
    columns = both(Column("rate", "", "%", 100, 2))
    return Table("paper-transfer", "Beside the paper: transfer", caption, data, heads, columns, tuple(lines))


def _from(section: Section, digest: str | None, source: Model, attacks: Sequence[str]) -> bool:
    found = section.by_digest.get(digest or "")
    return found is not None and Model(found.target, found.defense) == source and found.attack in attacks


def _lesions(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    conditions = list(printed["attack"])
    columns = (
        *(Column(f"{place}, paper", "", "%", 100, 1) for place in ("cartilage", "meniscus")),
        *(Column(f"{condition}, ours", "", "%", 100, 1) for condition in conditions),
    )
    lines = []
    for name, counts in printed["lesions"].items():
        paper = []
        for kept, total in counts.values():
            low, high = wilson(kept, total)
            paper.append(Entry(kept / total, low, high, validity=QUIET))
        ours = [_ours(section, printed, name, "none", condition, LESION) for condition in conditions]
        lines.append(Line((name,), (*paper, *ours)))
    caption = (
        "Lesions preserved. Paper: 8 cartilage and 9 meniscus lesions judged by readers; Wilson intervals are ours, from its counts. "
        f"Our rule: half of the contrast retained. {ABOUT}"
    )
    return Table("paper-lesions", "Beside the paper: real abnormalities", caption, data, ("model",), columns, tuple(lines), 0)


def _ours(section: Section, printed: Mapping[str, Any], name: str, attack: str, condition: str, quantity: Quantity) -> Entry:
    known = printed["attacks"].get(attack, [attack])
    chosen = next((one for one in known if one in section.attacks), known[0])
    return measure(section, _model(section, printed, name), chosen, condition, quantity).entry


def _model(section: Section, printed: Mapping[str, Any], name: str) -> Model:
    """Ours of the paper's name: the first of its possible targets that the section has."""
    known = printed["models"][name]
    models = [Model(target, known["defense"]) for target in known["target"]]
    return next((model for model in models if model in section.models), models[0])
