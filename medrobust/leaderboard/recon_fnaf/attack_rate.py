"""How often each attack makes each model erase a feature, at the paper's threshold, and how far it drives the loss."""

from __future__ import annotations

from medrobust.leaderboard.layout import MODEL_HEADS, across_attacks, any_number, lines
from medrobust.leaderboard.measure import Measured, case_names, entry, flagged
from medrobust.leaderboard.recon_fnaf.rule import BOLD, HIT, INTERVALS, LOSS, RATE
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Table, Validity, worst
from medrobust.stats import Sample, clustered_rate


def attack_rate(section: Section) -> list[Table]:
    """Two tables, one column an attack: attack rate (with the worst case over attacks) and mean loss."""
    if not section.attacks:
        return []
    rates = [Column(attack, "", "%", 100, 1, better=False) for attack in section.attacks]
    losses = [Column(attack, "sigma^2", "10⁻³ σ²", 1000, 3, better=False) for attack in section.attacks]
    losses += [Column(control, "sigma^2", "10⁻³ σ²", 1000, 3) for control in section.controls]
    grid = across_attacks(section, RATE, section.attacks)
    if len(section.attacks) > 1:
        rates.append(Column("worst case", "", "%", 100, 1, better=False))
        grid = [(labels, [*row, worst_case(section, Model(*labels[1:]), labels[0], [one.entry for one in row])]) for labels, row in grid]
    if section.controls:
        rates += [Column(control, "", "%", 100, 1) for control in section.controls]
        controls = across_attacks(section, RATE, section.controls)
        grid = [(labels, [*row, *others]) for (labels, row), (_, others) in zip(grid, controls, strict=True)]
    share, level = lines(grid, rates, 1), lines(across_attacks(section, LOSS, (*section.attacks, *section.controls)), losses, 1)
    if not any_number(share):
        return []
    several = "Worst case: a case counts as hit where any attack of its line hits it. " if len(section.attacks) > 1 else ""
    several += f"{', '.join(section.controls)}: control without a feature, where every hit is a false one. " if section.controls else ""
    caption = (
        f"Share of cases in which a real feature of up to ten pixels is lost (adversarial loss of at least {HIT:g} σ²). Lower is better. "
        f"{several}{INTERVALS} {BOLD}"
    )
    mean = f"Mean over cases of the highest adversarial loss each attack found, judged anew by the harness. Lower is better. {INTERVALS} {BOLD}"
    return [
        Table("attack-rate", "Attack rate", caption, section.data_label, MODEL_HEADS, tuple(rates), share),
        Table("attack-loss", "Adversarial loss", mean, section.data_label, MODEL_HEADS, tuple(losses), level),
    ]


def worst_case(section: Section, model: Model, condition: str, entries: list[Entry]) -> Measured:
    """Share of cases that any attack hits. Needs every attack; an invalid one is left out and said to be."""
    import pandas as pd

    if not all(one.complete for one in entries):
        return Measured(Entry(note="needs every attack", validity=Validity("missing", ("needs every attack",))))
    sound = [attack for attack, one in zip(section.attacks, entries, strict=True) if one.validity.level != "invalid"]
    if not sound:
        return Measured(Entry(note="no valid attack", validity=Validity("missing", ("no valid attack",))))
    frame = pd.concat([section.frame(model, attack, condition, "fnaf-loss") for attack in sound])
    cases = frame.groupby(["seed", "patient", "case"], sort=True)["value"].max().reset_index()
    sample = Sample.of((cases["value"] >= HIT).to_numpy(), cases["patient"].to_numpy(dtype=str), case_names(cases))
    believed = worst([one.validity for one in entries if one.validity.level != "invalid"])
    found = entry(clustered_rate(sample), len(sample.values), believed)
    left_out = [attack for attack in section.attacks if attack not in sound]
    return Measured(flagged(found, f"worst case without {', '.join(left_out)}, which is invalid") if left_out else found, sample)
