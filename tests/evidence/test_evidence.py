"""The evidence: its denoiser is the oracle's, its ledger survives being cut, its list is whole."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import blurcore as bc
from benchmarks.evidence import exact, octaves
from benchmarks.evidence.jobs import chosen, close, jobs
from benchmarks.evidence.ledger import Ledger
from benchmarks.evidence.rows import Row, times_for
from benchmarks.evidence.trials import BATCH, CHOOSING_SEED, NOISY, PROCESSES, SEEDS, Trial, config_of, process_of
from blurcore.oracle import dataset_denoiser
from blurcore.serial import from_dict, to_dict

IMAGES = np.random.default_rng(0).integers(0, 256, (37, 6, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("t", [0.0, 0.02, 0.3, 1.0])
def test_denoiser_in_blocks_is_that_of_the_oracle(monkeypatch, name, t):
    monkeypatch.setattr(exact, "BLOCK", 10)
    known, process = exact.ImageSet(IMAGES), process_of(name, 6)
    rows = known.rows.reshape(-1, 3, 6, 6)
    u = np.random.default_rng(1).standard_normal((5, 3, 6, 6))
    marginal = bc.marginal_for(process, t, u)
    u = marginal.alpha * rows[:5] + marginal.sigma * u
    expected = dataset_denoiser(u, data=rows, marginal=marginal)
    # The logits are differences of numbers up to |x|^2 / sigma^2 = 1e6, which float64 has to 1e-10.
    np.testing.assert_allclose(known.denoise(u, process, t), expected, rtol=0, atol=1e-8)


def test_many_steps_lead_to_the_set_and_few_do_not():
    known, process = exact.ImageSet(IMAGES), process_of("blur1", 6)
    distances = []
    for calls in (2, 64):
        row = Row("euler", "log_snr")
        solver = bc.Euler(process=process)
        samples = exact.draw(known, solver, times_for(row, process, calls, None), count=16, last_noise=False)
        distances.append(known.nearest(samples)[0].mean())
    sigma = float(process.marginal(0.0, shape=(6, 6)).sigma.max())
    assert distances[1] < 2 * sigma < distances[0]


def test_nearest_names_the_image_and_measures_in_pixels():
    known = exact.ImageSet(IMAGES)
    x = np.moveaxis(IMAGES[[5, 30]].astype(np.float64) / 127.5 - 1, -1, 1)
    distances, which = known.nearest(x + 0.25)
    assert which.tolist() == [5, 30]
    np.testing.assert_allclose(distances, 0.25, rtol=1e-6)  # pixels become float32


def test_error_by_octave_is_of_each_checkpoint_and_falls(tmp_path, monkeypatch):
    """A run of a few steps on digits, in a basis that its process does not have."""
    pytest.importorskip("torch")
    monkeypatch.setattr(octaves, "IMAGES", 8)
    monkeypatch.setattr(octaves, "TIMES", 3)
    trial = Trial(data="digits", process="standard", seed=1, prediction="x0")
    config = config_of(trial)
    train = replace(config.train, steps=30, checkpoint_every=15, batch_size=16, warmup_steps=1, ema_decay=0.5)
    bc.get_backend("torch").train(replace(config, train=train, device="cpu"), tmp_path / "run")
    found = octaves.octaves(trial, tmp_path / "run")
    assert found["images"] == [0, 15 * BATCH, 30 * BATCH]
    coarse = [row[found["octaves"].index("16 to 32 px")] for row in found["share"]]
    assert coarse[2] < coarse[1] < coarse[0]
    assert coarse[0] == pytest.approx(1, abs=0.3)  # a network that says 0, on 8 of the images


def test_line_that_was_cut_off_is_done_again_and_hurts_no_other(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add("one", found=1)
    ledger.add("two", found=2)
    text = ledger.path.read_text()
    ledger.path.write_text(text[:-20])
    assert ledger.done() == {"one"}
    ledger.add("two", found=2)
    assert [line["job"] for line in ledger.lines()] == ["one", "two"]
    assert json.loads(text.splitlines()[0]) == next(ledger.lines())


def test_list_has_every_run_once_and_its_seeds_in_order(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    found = list(jobs("hour", ["digits", "photos"], [1, 2, 3, 4], folder=tmp_path, ledger=ledger))
    names = [job.name for job in found]
    assert len(set(names)) == len(names)
    trained = [job.settings["trial"] for job in found if job.settings["kind"] == "train"]
    choosing = [trial for trial in trained if trial["seed"] == CHOOSING_SEED]
    trained = trained[len(choosing) :]
    assert {(trial["data"], trial["process"], trial["prediction"]) for trial in choosing} == {
        (data, process, prediction)
        for data in ("digits", "photos")
        for process in NOISY
        for prediction in ("eps", "v", "x0")
    }
    assert {(trial["data"], trial["process"], trial["seed"]) for trial in trained} == {
        (data, process, seed) for data in ("digits", "photos") for process in PROCESSES for seed in SEEDS
    }
    assert [trial["seed"] for trial in trained] == sorted(trial["seed"] for trial in trained)


def test_process_whose_step_takes_other_seconds_is_trained_for_as_long_too(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for process, ratio in {"nested": 0.4, "blur20": 1.04, "cold": 0.5}.items():
        trial = {"scale": "hour", "data": "digits", "process": process}
        ledger.add(process, kind="cost", trial=trial, found={"training": ratio})
    found = jobs("hour", ["digits"], [1], folder=tmp_path, seeds=[1], ledger=ledger)
    trained = [job.settings["trial"] for job in found if job.settings["kind"] == "train"]
    again = [trial for trial in trained if trial["seed"] == 1 and trial["share"] != 1]
    assert {(trial["process"], trial["share"]) for trial in again} == {("nested", 2.5), ("cold", 2.0)}


def choose(ledger, process, share, **distances):
    """Add the lines of the runs that choose a prediction."""
    for prediction, distance in distances.items():
        trial = {
            "scale": "day",
            "data": "digits",
            "process": process,
            "seed": 0,
            "prediction": prediction,
            "share": share,
        }
        ledger.add(f"{prediction} {share}", kind="sample", trial=trial, found={"frechet_distance_digits": distance})


def test_prediction_is_the_best_of_the_runs_that_choose_it(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for prediction, distance in {"eps": 3.0, "v": 2.0, "x0": 1.0}.items():
        assert chosen(ledger, "day", "digits", "blur20") == "v"  # as long as they are not all there
        choose(ledger, "blur20", 0.25, **{prediction: distance})
    assert chosen(ledger, "day", "digits", "blur20") == chosen(ledger, "day", "digits", "nested") == "x0"
    assert chosen(ledger, "day", "digits", "standard") == "v"


def test_choice_that_is_close_is_made_with_the_whole_budget(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    choose(ledger, "blur20", 0.25, eps=1.0, v=2.0, x0=1.1)
    assert close(ledger, "day", "digits", "blur20") == ["eps", "x0"]
    found = list(jobs("day", ["digits"], [1], folder=tmp_path, seeds=[1], ledger=ledger))
    whole = [job.settings["trial"] for job in found if job.settings["kind"] == "train"]
    asked = {(t["process"], t["prediction"]) for t in whole if t["seed"] == CHOOSING_SEED and t["share"] == 1}
    assert asked == {("blur20", "eps"), ("blur20", "x0")}
    assert {t["prediction"] for t in whole if t["seed"] == 1 and t["process"] == "blur20"} == {"eps", "x0"}
    choose(ledger, "blur20", 1.0, eps=3.0, x0=1.0)
    assert close(ledger, "day", "digits", "blur20") == ["x0", "eps"]


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("scale", ["hour", "day", "gpu"])
def test_configurations_are_whole_and_go_through_a_file(process, scale):
    trial = Trial(data="cifar10" if scale == "gpu" else "digits", process=process, seed=1, scale=scale, path="x.npy")
    config = config_of(trial)
    assert from_dict(to_dict(config), type(config)) == config
    assert config.train.steps * config.train.batch_size >= 32_000
