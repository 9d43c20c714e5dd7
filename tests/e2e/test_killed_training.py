"""A training of CycleGAN at 256x256, of small networks, that is killed without warning goes on to the very weights of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medrobust.targets.weights import read

FIT = """
import torch
from medrobust.fitting import FITS, fitted
from medrobust.testing import Bench
from medrobust.testing.mammograms import MammogramData
from medrobust_attacks.cyclegan.cyclegan import CycleGAN
from medrobust_attacks.cyclegan.discriminator import Discriminator
from medrobust_attacks.cyclegan.generator import Generator
from medrobust_attacks.cyclegan.recipe import CycleTraining

torch.set_num_threads(1)
training = CycleTraining(Generator(2, blocks=1), Discriminator(2), steps=4, constant=2, pool=1, checkpoints=(1,), interval=2, validate=1)
target = Bench(task="classification", images="mammograms").target()
done = fitted(CycleGAN(training=training), target, MammogramData(256), 3, lambda step, *_: print("step", step, flush=True))
print("kept", len(done.weights))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "MEDROBUST_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", FIT], env=environment, stdout=subprocess.PIPE, text=True)


def said(training: subprocess.Popen[str]) -> list[str]:
    output, _ = training.communicate()
    assert training.returncode == 0
    return output.splitlines()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed otherwise here")
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    undisturbed, killed = start(tmp_path / "undisturbed"), start(tmp_path / "killed")
    assert killed.stdout
    for line in killed.stdout:
        if line == "step 3\n":  # after the checkpoint of step 2 and maybe in the middle of the next thing that is written
            killed.send_signal(signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    (folder,) = (tmp_path / "killed" / "fits").iterdir()
    assert not (folder / "weights.safetensors").exists()
    assert json.loads((folder / "history.json").read_text())[-1]["step"] == 2
    again = said(start(tmp_path / "killed"))
    assert again[0] == "step 3", "it does not begin again, nor wait for the claim of the dead"
    assert again[-1] == said(undisturbed)[-1]
    (other,) = (tmp_path / "undisturbed" / "fits").iterdir()
    assert other.name == folder.name
    one, two = read(folder / "weights.safetensors"), read(other / "weights.safetensors")
    assert one.keys() == two.keys()
    assert {name.split(".")[0] for name in one} == {"step-000001", "step-000004"}
    assert all(bool((one[name] == two[name]).all()) for name in one)
    assert read(folder / "checkpoint.safetensors").keys() == read(other / "checkpoint.safetensors").keys()
    assert (folder / "history.json").read_text() == (other / "history.json").read_text()
    assert not list(folder.glob(".*")), "nothing torn or temporary is left behind"
