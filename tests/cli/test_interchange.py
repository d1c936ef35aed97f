"""`info` and `export --to hub-folder`: what is said of a run, and a folder that others can sample from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import blurcore as bc
from blurcore.cli import main
from blurcore.cli.info import human_size
from blurcore.runs import Checkpoint, RunFolder, newest_checkpoint, read_config, save_checkpoint

WEIGHTS = {"first.weight": np.ones((3, 2, 2), np.float32), "first.bias": np.zeros(3, np.float32)}


EVALUATION = {
    "bits_per_dim": {"steps": {"mean": 3.0}, "total": {"mean": 3.25, "standard_error": 0.1}},
    "settings": {"likelihood": "discrete", "seed": 0},
    "samples": {
        "features": "digits",
        "num_samples": 64,
        "metrics": {
            "frechet_distance": {"value": 59.8938, "low": 57.7, "high": 62.3},
            "spectrum_distance": {"value": 19.0},
        },
    },
}
"""What `blurcore evaluate` leaves, in short."""


def config(data: bc.Source = bc.Digits()) -> bc.RunConfig:  # noqa: B008
    return bc.RunConfig(
        device="cpu",
        data=data,
        model=bc.MODEL_PRESETS["tiny"],
        train=bc.TrainConfig(objective=bc.Denoising(prediction="v"), steps=9, batch_size=8, log_every=1),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=2), num_samples=2, batch_size=2),
    )


def make_run(folder: Path, settings: bc.RunConfig | None = None, *, checkpoints: tuple[int, ...] = (3, 6)) -> Path:
    """Write a run folder of a network with 15 parameters, by hand."""
    with RunFolder(folder, settings or config(), resume=False) as run:
        for step in checkpoints:
            groups = {"model": WEIGHTS, "ema": {k: v + step for k, v in WEIGHTS.items()}, "optimizer": {}}
            state = {"image_shape": [8, 8, 1], "data": "0", "totals": {}, "backend": "torch", "version": "9.8.7"}
            save_checkpoint(folder, Checkpoint(step, groups, state), keep=5)
            run.log(step=step, loss=1 / step)
        run.log(step=7, loss=float("nan"))
        Image.new("L", (20, 10), 90).save(folder / "samples" / "step-00000006.png")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object, code: int = 2) -> str:
    """Return the one sentence with which a command refuses."""
    assert main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class TestInfo:
    def test_table_has_the_settings_and_the_step_of_a_run(self, tmp_path, capsys):
        run = make_run(tmp_path / "run")
        (run / "evaluation.json").write_text(json.dumps(EVALUATION))
        assert main(["info", str(run)]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        rows = {line[:12].strip(): line[13:] for line in out.splitlines()}
        assert rows["process"].startswith("BlurringDiffusion(noise=CosineLogSNR(")
        assert rows["data"] == "Digits, 8 x 8 x 1"
        assert "15 parameters" in rows["model"]
        assert "predicts v" in rows["model"]
        assert rows["steps"] == "7 of 9"
        assert rows["loss"] == "0.166667 at step 6"
        assert [entry.split()[0] for entry in rows["checkpoints"].split(", ")] == ["3", "6"]
        assert rows["backend"] == "torch, blurcore 9.8.7"
        assert rows["samples"] == "samples/step-00000006.png"
        assert rows["evaluation"] == (
            "bits_per_dim (discrete) 3.25 +- 0.1, frechet_distance (digits features) 59.894 [57.7, 62.3], spectrum_distance 19"
        )

    def test_json_has_the_settings_the_sizes_and_the_rest(self, tmp_path, capsys):
        run = make_run(tmp_path / "run")
        assert main(["info", str(run), "--json"]) == 0
        about = json.loads(capsys.readouterr().out)
        assert bc.from_dict(about["process"]) == bc.BlurringDiffusion()
        assert bc.from_dict(about["model"], bc.ModelConfig) == bc.MODEL_PRESETS["tiny"]
        assert about["parameters"] == 15
        assert about["steps"] == {"done": 7, "planned": 9}
        assert about["loss"] == {"step": 6, "value": 1 / 6}
        assert [entry["step"] for entry in about["checkpoints"]] == [3, 6]
        assert about["bytes"] == sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        assert (about["backend"], about["version"], about["evaluation"], about["calibrated"]) == (
            "torch",
            "9.8.7",
            None,
            False,
        )

    def test_what_blurcore_evaluate_leaves_is_understood(self, tmp_path, torch, capsys):
        settings = replace(config(), train=replace(config().train, steps=1))
        bc.get_backend("torch").train(settings, tmp_path / "run")
        words = ["evaluate", str(tmp_path / "run"), "--bootstrap", "2", "--num-samples", "64", "--num-reference", "64"]
        assert main(words) == 0
        assert (
            main(
                ["evaluate", str(tmp_path / "run"), "--likelihood", "discrete", "--num-images", "2", "--num-steps", "2"]
            )
            == 0
        )
        capsys.readouterr()
        assert main(["info", str(tmp_path / "run")]) == 0
        row = capsys.readouterr().out.splitlines()[-1]
        for name in ("bits_per_dim (discrete)", "frechet_distance (digits features)", "precision", "spectrum_distance"):
            assert name in row

    def test_evaluation_of_another_form_is_no_evaluation(self, tmp_path, capsys):
        run = make_run(tmp_path / "run")
        for text in ("[]", "{", '{"samples": 3, "bits_per_dim": {"total": 1}}'):
            (run / "evaluation.json").write_text(text)
            assert main(["info", str(run)]) == 0
            assert capsys.readouterr().out.endswith("evaluation   none\n")

    def test_run_that_has_only_begun_is_described_too(self, tmp_path, capsys):
        with RunFolder(tmp_path / "run", config(), resume=False):
            pass
        assert main(["info", str(tmp_path / "run")]) == 0
        out = capsys.readouterr().out
        assert "steps        0 of 9" in out
        assert "checkpoints  none" in out
        assert "loss         none yet" in out

    def test_what_is_no_run_or_is_damaged_is_named(self, tmp_path, capsys, caplog):
        assert "cannot read the configuration" in refused(capsys, "info", tmp_path)
        run = make_run(tmp_path / "run")
        assert refused(capsys, "info", tmp_path).rstrip().endswith(f"; there is a run in {run}")
        state, weights = (run / "checkpoints" / "step-00000006" / name for name in ("state.json", "ema.safetensors"))
        weights.write_bytes(b"nothing")
        assert main(["info", str(run)]) == 0
        assert "ema.safetensors cannot be read" in caplog.text
        assert "the parameters are those of step-00000003" in caplog.text
        capsys.readouterr()
        (run / "checkpoints" / "step-00000003" / "ema.safetensors").write_bytes(b"nothing")
        assert "ema.safetensors cannot be read" in refused(capsys, "info", run, code=1)
        for text in ("{", "[]"):
            state.write_text(text)
            assert "state.json" in refused(capsys, "info", run, code=1)
        assert "unknown option" in refused(capsys, "info", run, "--yaml")

    def test_sizes_are_in_the_unit_that_suits_them(self):
        assert [human_size(n) for n in (0, 999, 1000, 1_234_567, 5 * 10**9, 2 * 10**13)] == [
            "0 bytes",
            "999 bytes",
            "1 KB",
            "1.23 MB",
            "5 GB",
            "20 TB",
        ]


@pytest.fixture
def card_of() -> Any:
    """Read a folder's model card as the Hub's own library does."""
    hub = pytest.importorskip("huggingface_hub")

    def read(folder: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return hub.ModelCard.load(folder / "README.md")

    return read


class TestHubFolder:
    def test_folder_has_averaged_weights_card_picture_and_settings(self, tmp_path, capsys, card_of):
        run, out = make_run(tmp_path / "run"), tmp_path / "my-model"
        assert main(["export", str(run), "--to", "hub-folder", "--out", str(out), "--license", "mit"]) == 0
        assert capsys.readouterr().out == f"hub-folder: {out}\n"
        step = "checkpoints/step-00000006"
        assert files(out) == {
            "README.md",
            "config.toml",
            "metrics.jsonl",
            "samples.png",
            f"{step}/manifest.json",
            f"{step}/state.json",
            *(f"{step}/{group}.safetensors" for group in ("ema", "model", "optimizer")),
        }
        weights = load_file(out / step / "ema.safetensors")
        assert {k: float(v.max()) for k, v in weights.items()} == {"first.weight": 7.0, "first.bias": 6.0}
        assert load_file(out / step / "model.safetensors") == {}
        card = card_of(out)
        assert (card.data.license, card.data.library_name) == ("mit", "blurcore")
        assert card.data.pipeline_tag == "unconditional-image-generation"
        assert {"blurcore", "BlurringDiffusion"} <= set(card.data.tags)
        for said in (
            "15 parameters",
            "CC BY 4.0",
            "![Samples](samples.png)",
            "blurcore sample my-model",
            "7 of 9 steps",
            "Not evaluated",
        ):
            assert said in card.text, said

    def test_metrics_of_an_evaluation_are_in_the_card_and_its_front_matter(self, tmp_path, card_of):
        run, out = make_run(tmp_path / "run"), tmp_path / "out"
        (run / "evaluation.json").write_text(json.dumps(EVALUATION))
        assert main(["export", str(run), "--to", "hub-folder", "--out", str(out)]) == 0
        card = card_of(out)
        found = [(result.metric_type, result.metric_value, result.dataset_name) for result in card.data.eval_results]
        assert found == [
            ("bits_per_dim (discrete)", 3.25, "Digits"),
            ("frechet_distance (digits features)", 59.8938, "Digits"),
            ("spectrum_distance", 19.0, "Digits"),
        ]
        assert "| frechet_distance (digits features) | 59.894 | [57.7, 62.3] |" in card.text
        assert "FID" not in card.text
        assert (out / "evaluation.json").is_file()

    def test_paths_of_this_machine_stay_at_home(self, tmp_path):
        pytest.importorskip("huggingface_hub")
        run = make_run(tmp_path / "run", config(bc.Folder(path="/home/me/secret/faces", image_size=(8, 8))))
        (run / "evaluation.json").write_text(
            '{"reference": ["/home/me/secret/real"], "settings": {"weights": "/secret/w.pt"}, "x": "a/b"}'
        )
        assert main(["export", str(run), "--to", "hub-folder", "--out", str(tmp_path / "out")]) == 0
        found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
        assert found == {"reference": ["real"], "settings": {"weights": "w.pt"}, "x": "a/b"}
        assert read_config(tmp_path / "out" / "config.toml").data.path == "faces"
        for name in files(tmp_path / "out"):
            assert b"secret" not in (tmp_path / "out" / name).read_bytes(), name

    @pytest.mark.slow
    def test_exported_folder_is_sampled_to_the_same_images_and_its_usage_works(
        self, torch, tmp_path, monkeypatch, capsys, run_code
    ):
        pytest.importorskip("huggingface_hub")
        settings = replace(
            config(),
            process=bc.HeatDissipation(blur=bc.LogLinear(num_levels=2)),
            model=bc.ModelConfig(
                base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), norm_groups=4
            ),
            train=replace(config().train, objective=bc.HeatReversal(), steps=1),
            sample=replace(config().sample, solver=bc.InverseHeat()),
        )
        bc.get_backend("torch").train(settings, tmp_path / "run")
        monkeypatch.chdir(tmp_path)
        assert main(["export", "run", "--to", "hub-folder", "--out", "model"]) == 0
        shutil.move("run", "elsewhere")  # nothing of it is needed
        assert main(["sample", "model", "--out", "a"]) == 0
        assert main(["sample", "elsewhere", "--out", "b"]) == 0
        a, b = (np.load(tmp_path / name / "samples.npz")["images"] for name in "ab")
        np.testing.assert_array_equal(a, b)
        card = Path("model/README.md").read_text()
        assert "blurred training data, which are part of the folder" in card
        names = run_code(Path("model/README.md"))
        np.testing.assert_array_equal(names["images"], a)
        capsys.readouterr()
        assert main(["train", "model/config.toml", "--out", "model", "--resume", "--train.steps", "2"]) == 2
        assert "it was exported without the last weights and the optimiser's state" in capsys.readouterr().err
        assert main(["info", "model", "--json"]) == 0
        about = json.loads(capsys.readouterr().out)
        assert (about["version"], about["image_shape"]) == (bc.__version__, [8, 8, 1])


class TestFoldersThatAreThere:
    @pytest.mark.parametrize("to", ["hub-folder", "diffusers"])
    def test_link_to_an_empty_folder_and_what_a_killed_export_has_left(self, to, tmp_path, request, monkeypatch):
        _need(to, request)
        if to == "diffusers":
            monkeypatch.setattr("blurcore.diffusers.run_pipeline.pipeline_of", lambda run: Pipeline())
        run, empty, link = make_run(tmp_path / "run"), tmp_path / "empty", tmp_path / "link"
        (empty / ".partial" / "checkpoints").mkdir(parents=True)
        link.symlink_to(empty)
        assert main(["export", str(run), "--to", to, "--out", str(link)]) == 0
        assert link.is_symlink()
        assert (link / "README.md").read_text().startswith("---")
        assert {path.name for path in empty.iterdir()} >= {"README.md", "samples.png"}
        assert not (empty / ".partial").exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="a mount of one's own, by unshare")
    def test_mount(self, tmp_path):
        pytest.importorskip("huggingface_hub")
        run, out = make_run(tmp_path / "run"), tmp_path / "out"
        out.mkdir()
        export = f"{sys.executable} -m blurcore export {run} --to hub-folder --out {out}"
        mount = f"mount -t tmpfs none {out} && mkdir {out}/lost+found && {export} && ls {out}"
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if "unshare" in done.stderr or "mount:" in done.stderr:
            pytest.skip(f"this system lets nobody mount: {done.stderr}")
        assert (done.returncode, done.stderr) == (0, "")
        assert {"README.md", "config.toml", "checkpoints"} <= set(done.stdout.split())


class Pipeline:
    """What is saved of diffusers' pipelines, with no network."""

    unet = types.SimpleNamespace(config=types.SimpleNamespace(sample_size=(8, 8)))

    def save_pretrained(self, folder: Path, safe_serialization: bool) -> None:
        (folder / "unet").mkdir()


class TestRefusals:
    @pytest.mark.parametrize("to", ["hub-folder", "diffusers"])
    def test_full_folder_or_file_is_refused_and_left_as_it_is(self, to, tmp_path, capsys, request):
        _need(to, request)
        run = make_run(tmp_path / "run")
        full, file = tmp_path / "full", tmp_path / "file"
        full.mkdir()
        for path in (full / "mine.txt", file):
            path.write_text("mine")
        for out, right in ((full, "is not there or is empty"), (file, "can be written")):
            assert f"--out must be a folder that {right}" in refused(capsys, "export", run, "--to", to, "--out", out)
        assert (full / "mine.txt").read_text() == file.read_text() == "mine"

    @pytest.mark.parametrize("to", ["hub-folder", "diffusers"])
    def test_run_without_checkpoint_is_refused_with_code_1(self, to, tmp_path, capsys, request):
        _need(to, request)
        run = make_run(tmp_path / "run", checkpoints=())
        assert "has no checkpoint to load" in refused(
            capsys, "export", run, "--to", to, "--out", tmp_path / "out", code=1
        )
        assert not (tmp_path / "out").exists()

    def test_weights_that_do_not_fit_the_configuration_are_refused(self, tmp_path, capsys, request):
        _need("diffusers", request)
        run = make_run(tmp_path / "run")
        assert "do not fit this model" in refused(
            capsys, "export", run, "--to", "diffusers", "--out", tmp_path / "out", code=1
        )

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--to", "gguf", "--out", "x"), "--to must be one of Diffusers, HubFolder"),
            (("--out", "x"), "required: --to"),
            (("--to", "hub-folder"), "required: --out"),
            (("--to", "hub-folder", "--out", "x", "--fast"), "Unrecognized options"),
            (("--to", "hub-folder", "--out", "."), "--out must"),
        ],
        ids=str,
    )
    def test_words_that_make_no_sense_are_refused(self, words, message, tmp_path, capsys, monkeypatch):
        run = make_run(tmp_path / "run")
        monkeypatch.chdir(tmp_path)
        assert message in refused(capsys, "export", run, *words)

    def test_what_is_no_run_is_refused(self, tmp_path, capsys):
        assert "cannot read the configuration" in refused(
            capsys, "export", tmp_path, "--to", "hub-folder", "--out", tmp_path / "out"
        )

    @pytest.mark.skipif(os.name != "posix", reason="a folder that is closed by its mode")
    def test_place_where_one_may_not_write_is_named(self, tmp_path, capsys):
        run = make_run(tmp_path / "run")
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        if os.geteuid() == 0:  # who may write into any folder of a disk
            closed = Path("/proc")
        assert "must be a folder that can be written" in refused(
            capsys, "export", run, "--to", "hub-folder", "--out", closed / "x"
        )

    def test_export_below_a_file_is_refused(self, tmp_path, capsys):
        run = make_run(tmp_path / "run")
        (tmp_path / "file").write_text("mine")
        assert "must be a folder that can be written" in refused(
            capsys, "export", run, "--to", "hub-folder", "--out", tmp_path / "file" / "x"
        )

    @pytest.mark.parametrize(("to", "package"), [("hub-folder", "huggingface_hub"), ("diffusers", "diffusers")])
    def test_missing_package_names_the_install_command_and_leaves_no_file(
        self, to, package, tmp_path, capsys, monkeypatch
    ):
        run = make_run(tmp_path / "run")
        monkeypatch.setitem(sys.modules, package, None)
        for name in [name for name in sys.modules if name.startswith("blurcore.diffusers")]:
            monkeypatch.delitem(sys.modules, name)
        extra = {"hub-folder": "hub", "diffusers": "diffusers"}[to]
        err = refused(capsys, "export", run, "--to", to, "--out", tmp_path / "out")
        assert f"pip install 'blurcore[{extra}]'" in err
        assert {path.name for path in tmp_path.iterdir()} == {"run"}

    def test_damaged_newest_checkpoint_is_left_aside(self, tmp_path, caplog):
        pytest.importorskip("huggingface_hub")
        run = make_run(tmp_path / "run")
        (run / "checkpoints" / "step-00000006" / "ema.safetensors").write_bytes(b"")
        assert main(["export", str(run), "--to", "hub-folder", "--out", str(tmp_path / "out")]) == 0
        assert newest_checkpoint(tmp_path / "out").step == 3
        assert "falling back to the checkpoint of step 3" in caplog.text


def _need(to: str, request: pytest.FixtureRequest) -> None:
    if to == "diffusers":
        request.getfixturevalue("torch")
        pytest.importorskip("diffusers")
