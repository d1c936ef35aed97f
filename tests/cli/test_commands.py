"""What a user types, and what comes back: results on stdout, one sentence on stderr, a code that scripts can trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.cli.demo import demo_config
from blurcore.runs import read_config, write_config
from blurcore.verify import verify

ROOT = Path(__file__).parents[2]


def blurcore(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "blurcore", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """Return the one sentence with which a command refuses."""
    assert main(list(words)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration that trains in a second."""
    config = bc.RunConfig(
        device="cpu",
        data=bc.Digits(),
        model=bc.ModelConfig(  # one level: XLA compiles it in a third of the time of the tiny preset
            base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), dropout=0.0, norm_groups=4
        ),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"),
            steps=4,
            batch_size=8,
            warmup_steps=1,
            log_every=1,
            checkpoint_every=2,
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=2), num_samples=4, batch_size=4),
    )
    path = tmp_path / "config.toml"
    write_config(config, path)
    return path


class TestHelp:
    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("demo",),
            ("train",),
            ("sample",),
            ("figure",),
            ("figure", "overview"),
            ("figure", "snr"),
            ("figure", "dead-frequencies"),
            ("figure", "kernels"),
            ("figure", "trajectory"),
            ("figure", "losses"),
            ("explore",),
            ("info",),
            ("export",),
            ("verify",),
            ("completion",),
        ],
        ids=" ".join,
    )
    def test_every_command_explains_itself(self, words, capsys):
        assert main([*words, "--help"]) == 0
        out, err = capsys.readouterr()
        assert "usage:" in out.lower()
        assert err == ""

    def test_help_of_train_has_every_setting_of_the_configuration(self, capsys):
        assert main(["train", "--help"]) == 0
        text = capsys.readouterr().out
        for flag in ("--train.learning-rate", "--process.blur.sigma-blur-max", "--model.base-channels", "--data.split"):
            assert flag in text

    def test_help_imports_nothing_heavy(self):
        code = "import sys; from blurcore.cli import main; main(['--help']); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
        assert {"torch", "jax", "matplotlib"}.isdisjoint(done.stdout.splitlines()[-1].split())

    @pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("verify", "--help")], ids=" ".join)
    def test_narrow_plain_and_foreign_terminals_get_help_too(self, words):
        done = blurcore(*words, COLUMNS="20", LC_ALL="C", NO_COLOR="1", TERM="dumb")
        assert done.returncode == 0, done.stderr
        assert "\x1b[" not in done.stdout

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert bc.__version__ in capsys.readouterr().out

    @pytest.mark.skipif(os.name == "nt", reason="a POSIX pipe")
    def test_a_reader_that_leaves_early_is_no_error(self):
        words = f"{sys.executable} -m blurcore train --help | head -n 1"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True, timeout=300, check=False
        )
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr


class TestUsage:
    @pytest.mark.parametrize(
        ("words", "names"),
        [
            ((), "COMMAND"),
            (("paint",), "paint"),
            (("figure", "graph"), "graph"),
            (("demo", "--stepz", "3"), "--stepz"),
            (("demo", "--steps", "0"), "--steps must be at least 1; got 0"),
            (("demo", "--steps", "many"), "many"),
            (("demo", "--seed", "-1"), "--seed must be 0 or more; got -1"),
            (("demo", "--backend", "mlx"), "backend 'mlx' is unknown"),
            (("demo", "--backend", "numpy"), "backend 'numpy' cannot train or sample"),
            (("train",), "train needs a configuration"),
            (("train", "nowhere.toml"), "nowhere.toml"),
            (("train", "--data", "Digits", "nowhere.toml"), "cannot read the configuration nowhere.toml"),
            (("sample",), "sample needs a run folder"),
            (("sample", "nowhere"), "nowhere"),
            (("verify", "--backend", "mlx"), "mlx"),
            (("verify", "--fast"), "--fast"),
            (("figure", "overview", "nowhere.jpg"), "nowhere.jpg"),
            (("figure", "snr", "--out", "a.bmp"), "--out must end in one of .png, .svg, .pdf; got 'a.bmp'"),
            (("figure", "snr", "--size", "2"), "size must be at least 4"),
            (("figure", "overview", "--columns", "1"), "columns must be at least 2"),
            (("completion", "fish"), "fish"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_mistake_is_named(self, words, names, capsys):
        assert names in refused(capsys, *words)

    @pytest.mark.parametrize(
        ("flags", "names"),
        [
            (("--train.stepz", "3"), "--train.stepz"),
            (("--train.steps", "many"), "many"),
            (("--train.steps", "0"), "steps must be at least 1"),
            (("--train.learning-rate", "nan"), "learning_rate"),
            (("--process.blur.sigma-blur-max", "-1"), "sigma_blur_max"),
            (("--data", "lsun"), "lsun"),
            (("--backend", "mlx"), "backend 'mlx' is unknown"),
            (("--resume",), "--resume needs --out"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_wrong_setting_is_named_before_any_work(self, config_file, flags, names, tmp_path, capsys):
        out = () if "--resume" in flags else ("--out", str(tmp_path / "run"))
        assert names in refused(capsys, "train", str(config_file), *out, *flags)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("[train]\nstepz = 3\n", "stepz"),
            ("[train]\nsteps = 'many'\n", "steps"),
            ("[train]\nsteps = 3\nsteps = 4\n", "line 3"),
            ("[trainer]\nsteps = 3\n", "trainer"),
            ("[process]\nkind = 'Sharpening'\n", "Sharpening"),
            ("[model]\nbase_channels = 6\n", "base_channels"),
            ("steps = [", "TOML"),
        ],
    )
    def test_wrong_file_is_named_with_the_setting(self, text, names, tmp_path, capsys):
        path = tmp_path / "wrong.toml"
        path.write_text(text)
        message = refused(capsys, "train", str(path))
        assert "wrong.toml" in message
        assert names in message

    def test_broken_image_is_named(self, tmp_path, capsys):
        path = tmp_path / "broken.png"
        path.write_bytes(b"\x89PNG no more")
        assert "broken.png" in refused(capsys, "figure", "overview", str(path))

    def test_folder_that_is_in_use_is_refused(self, tmp_path, capsys):
        (tmp_path / "mine.txt").write_text("keep")
        assert "is not empty" in refused(capsys, "demo", "--out", str(tmp_path))
        assert (tmp_path / "mine.txt").read_text() == "keep"


class TestFigures:
    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    @pytest.mark.parametrize("figure", ["overview", "snr"])
    def test_figure_is_written_in_each_format(self, figure, suffix, tmp_path, capsys):
        path = tmp_path / f"new/figure.{suffix}"
        size = "16" if figure == "overview" else "8"
        assert main(["figure", figure, "--size", size, "--out", str(path)]) == 0
        assert capsys.readouterr().out.strip() == str(path)
        start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
        assert path.read_bytes().startswith(start)

    def test_overview_takes_any_image_grey_transparent_and_oblong(self, tmp_path):
        for mode, size in (("L", (40, 20)), ("RGBA", (20, 50)), ("P", (17, 23))):
            Image.new(mode, size).save(tmp_path / f"{mode}.png")
            assert (
                main(
                    [
                        "figure",
                        "overview",
                        str(tmp_path / f"{mode}.png"),
                        "--size",
                        "16",
                        "--out",
                        str(tmp_path / "o.png"),
                    ]
                )
                == 0
            )

    def test_overview_is_the_same_for_the_same_seed_and_no_other(self, tmp_path):
        pictures = []
        for i, seed in enumerate(("1", "1", "2")):
            path = tmp_path / f"{i}.png"
            assert main(["figure", "overview", "--size", "16", "--seed", seed, "--out", str(path)]) == 0
            with Image.open(path) as picture:
                pictures.append(np.asarray(picture))
        np.testing.assert_array_equal(pictures[0], pictures[1])
        assert (pictures[0] != pictures[2]).any()


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
    def test_script_lists_the_commands(self, shell, capsys):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(command in script for command in ("demo", "train", "sample", "figure", "explore", "verify"))

    def test_bash_accepts_its_script_and_completes(self, capsys):
        assert main(["completion", "bash"]) == 0
        script = capsys.readouterr().out
        ask = "COMP_WORDS=(blurcore ver); COMP_CWORD=1; _shtab_blurcore; echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, timeout=300, check=True)
        assert done.stdout.split() == ["verify"]


class TestRuns:
    def test_train_then_sample_needs_nothing_but_the_folder(self, config_file, default_backend, tmp_path, capsys):
        run = tmp_path / "run"
        assert main(["train", str(config_file), "--out", str(run), "--train.steps", "3", "--seed", "5"]) == 0
        assert str(run) in capsys.readouterr().out
        resolved = read_config(run / "config.toml")
        assert (resolved.train.steps, resolved.seed) == (3, 5)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3]
        config_file.unlink()

        words = ["sample", str(run), "--num-samples", "3", "--solver", "ddim", "--times.num-steps", "2"]
        drawn = []
        for name in ("a", "b"):
            assert main([*words, "--out", str(tmp_path / name)]) == 0
            drawn.append(np.load(tmp_path / name / "samples.npz")["images"])
            with Image.open(tmp_path / name / "grid.png") as grid:
                grid.verify()
        assert drawn[0].shape == (3, 8, 8, 1)
        assert drawn[0].dtype == np.uint8
        np.testing.assert_array_equal(*drawn)
        assert "--num-stepz" in refused_after(capsys, [*words, "--num-stepz", "3"])

    def test_run_resumes_at_its_step_and_refuses_other_settings(self, config_file, default_backend, tmp_path, capsys):
        run = tmp_path / "run"
        start = ["train", str(config_file), "--out", str(run)]
        assert main(start) == 0
        assert "not empty" in refused_after(capsys, start)
        assert "train.learning_rate" in refused_after(capsys, [*start, "--resume", "--train.learning-rate", "0.5"])
        assert main([*start, "--resume", "--train.steps", "6"]) == 0
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == [1, 2, 3, 4, 5, 6]

    def test_run_whose_checkpoint_is_damaged_fails_with_code_1(self, config_file, default_backend, tmp_path, capsys):
        run = tmp_path / "run"
        assert main(["train", str(config_file), "--out", str(run)]) == 0
        for path in run.glob("checkpoints/*/*.safetensors"):
            path.write_bytes(b"nothing")
        capsys.readouterr()
        assert "checkpoint" in refused(capsys, "sample", str(run), code=1)

    @pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
    def test_shipped_configuration_is_read_and_keeps_its_meaning(self, path, tmp_path):
        config = read_config(path)
        write_config(config, tmp_path / "again.toml")
        assert read_config(tmp_path / "again.toml") == config

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("backend", "library"), [("torch", "torch"), pytest.param("jax", "flax", marks=pytest.mark.nightly)]
    )
    def test_demo_ends_with_pictures(self, tmp_path, capsys, monkeypatch, backend, library):
        """With a network of one level: XLA alone compiles the demo's for half a minute, twice."""
        pytest.importorskip(library, reason=f"the {backend} trainer needs {library}")

        def small(**settings):
            config = demo_config(**settings)
            model = replace(config.model, base_channels=8, channel_multipliers=(1,), attention_levels=())
            return replace(config, model=model, sample=replace(config.sample, times=bc.Uniform(num_steps=10)))

        monkeypatch.setattr("blurcore.cli.demo.demo_config", small)
        monkeypatch.setattr("blurcore.verify.verify", partial(verify, ["numpy"]))  # every backend: tests/verify
        assert main(["demo", "--out", str(tmp_path / "demo"), "--steps", "2", "--backend", backend]) == 0
        out = capsys.readouterr().out
        for name in ("overview", "snr", "samples", "real"):
            picture = tmp_path / "demo" / f"{name}.png"
            assert str(picture) in out
            with Image.open(picture) as opened:
                opened.verify()


def refused_after(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """As `refused`, after something else has printed."""
    capsys.readouterr()
    return refused(capsys, *words)


def test_backend_that_is_not_installed_is_explained(monkeypatch, capsys):
    """As in an installation of the core alone: the entry points are declared, their imports fail."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("blurcore_torch", "blurcore_jax")]:
        monkeypatch.delitem(sys.modules, name)
    for library in ("torch", "jax"):
        monkeypatch.setitem(sys.modules, library, None)
    for library in ("torch", "jax"):
        assert f"try: pip install 'blurcore[{library}]'\n" in refused(capsys, "demo", "--backend", library)
    both = "no backend that trains and samples is installed; try: pip install 'blurcore[torch]' or pip install 'blurcore[jax]'"
    assert refused(capsys, "demo") == f"blurcore: error: {both}\n"


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("tyro", ("train", "--help")),
        ("shtab", ("completion", "bash")),
        ("scipy", ("verify", "--quick")),
        ("matplotlib", ("figure", "snr")),
    ],
)
def test_package_that_is_not_installed_is_explained(package, words):
    """A program of its own, whose imports of the package fail as they do in an installation of the core alone."""
    code = (
        f"import sys; sys.modules[{package!r}] = None; from blurcore.cli import main; sys.exit(main({list(words)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"blurcore: error: this needs {package}, which is not installed; try: pip install 'blurcore[cli]'\n"
    )


def test_flags_change_the_class_of_a_setting(tmp_path: Path) -> None:
    from blurcore.cli.settings import override
    from blurcore.errors import ConfigError

    base = bc.RunConfig(process=bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=7.0), min_scale=0.5))
    flags = [
        "--process.blur.kind",
        "Sin",
        "--process.noise.kind=LinearBeta",
        "--process.noise.num-steps",
        "500",
        "--seed",
        "4",
    ]
    got = override(base, [*flags, "--process.noise.beta-end", "0.04"], prog="x")
    noise = bc.LinearBeta(num_steps=500, beta_end=0.04)
    expected = bc.BlurringDiffusion(blur=bc.Sin(sigma_blur_max=7.0), noise=noise, min_scale=0.5)
    assert (got.process, got.seed) == (expected, 4)
    heat = override(base, ["--process.kind", "HeatDissipation", "--process.blur.num-levels", "9"], prog="x")
    assert isinstance(heat.process, bc.HeatDissipation)
    for words, message in (
        (["--process.blur.kind", "Cubic"], r"process\.blur\.kind must be one of .*NoBlur.*; got 'Cubic'"),
        (["--process.kind", "LinearBeta"], r"process\.kind must be one of BlurringDiffusion.*; got 'LinearBeta'"),
        (["--process.kind"], "got None"),
        (["--train.kind", "x"], "unknown option '--train.kind'; see --help"),
        (["--seed.kind", "x"], "unknown option '--seed.kind'; see --help"),
    ):
        with pytest.raises(ConfigError, match=message):
            override(base, words, prog="x")
