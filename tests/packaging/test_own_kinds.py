"""examples/own_kinds: a package with one kind for each role, in every command and on both backends, known by its entry points."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore import kinds
from blurcore.cli import main
from blurcore.testing import check_process, check_solver

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "own_kinds"
DECLARED = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"][kinds.GROUP]
SMALL = (
    "--model.base-channels 8 --model.channel-multipliers 1 2 --model.num-res-blocks 1 --model.attention-levels --model.norm-groups 4"
    " --model.dropout 0 --train.steps 3 --train.batch-size 8 --train.warmup-steps 1 --sample.num-samples 2 --device cpu"
)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the package as pip does: its folder on the path, and its entry points beside it."""
    place = tmp_path_factory.mktemp("site")
    info = place / "own_kinds-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-kinds\nVersion: 0.1.0\n")
    lines = [f"{name} = {target}" for name, target in DECLARED.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{kinds.GROUP}]", *lines]) + "\n")
    before = {role: dict(kinds._ours(role)) for role in kinds.ROLES}
    sys.path[:0] = [str(place), str(PACKAGE)]
    kinds._declared.cache_clear()
    kinds._load.cache_clear()
    yield
    del sys.path[:2]
    kinds._declared.cache_clear()
    kinds._load.cache_clear()
    for role, kept in before.items():
        kinds._ours(role).clear()
        kinds._ours(role).update(kept)


BACKENDS = ["torch", pytest.param("jax", marks=pytest.mark.nightly)]  # the kinds know no backend


def test_every_role_has_a_kind_in_one_file() -> None:
    roles = {kinds.role_of(kinds.find_kind(name)) for name in DECLARED}
    assert roles == {"process", "solver", "times", "objective", "start", "data"}
    assert len({target.partition(":")[0] for target in DECLARED.values()}) == len(DECLARED)


def test_process_and_solver_pass_the_kit() -> None:
    check_process(kinds.find_kind("FractionalHeat")(), shapes=[(5, 8)])
    check_solver(kinds.find_kind("Rotation")(degrees=20.0).build(bc.BlurringDiffusion(), axes=(-2, -1)), shape=(5, 8))


@pytest.mark.parametrize("backend", BACKENDS)
def test_run_of_custom_kinds_passes_every_command(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request.getfixturevalue(backend)
    run, machine = tmp_path / "run", ["--backend", backend, "--device", "cpu"]
    own = "--data rings --data.count 64 --train.objective huber --train.objective.delta 0.2 --sample.solver Rotation"
    own += " --sample.times power --sample.times.num-steps 3 --process.blur.sigma-blur-max 2"
    train = ["train", str(ROOT / "configs" / "mnist_blurring.toml"), "--out", str(run), *own.split(), *SMALL.split()]
    assert main([*train, "--backend", backend]) == 0
    config = (run / "config.toml").read_text()
    assert all(f'kind = "{name}"' in config for name in ("Rings", "Huber", "Rotation", "Power"))
    sample = ["sample", str(run), "--solver.degrees", "45", "--times", "Power", "--times.power", "2", *machine]
    assert main(sample) == 0
    assert (run / "samples" / "Rotation-degrees45-Power3-seed0" / "grid.png").is_file()
    assert main(["calibrate", str(run), "--num-images", "8", "--num-times", "3", *machine]) == 0
    assert (
        main(["evaluate", str(run), "--num-samples", "40", "--metrics", "spectrum", "--bootstrap", "0", *machine]) == 0
    )
    assert main(["evaluate", str(run), "--num-images", "2", "--num-steps", "3", *machine]) == 0
    assert (
        main(
            [
                "figure",
                "losses",
                str(run),
                "--num-images",
                "8",
                "--num-times",
                "3",
                "--out",
                str(tmp_path / "l.png"),
                *machine,
            ]
        )
        == 0
    )
    assert (
        main(["figure", "trajectory", str(run), "--num-samples", "1", "--out", str(tmp_path / "t.webp"), *machine]) == 0
    )
    assert main(["export", str(run), "--to", "hub-folder", "--out", str(tmp_path / "hub")]) == 0
    assert "Rings" in (tmp_path / "hub" / "README.md").read_text()
    capsys.readouterr()
    assert main(["info", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prediction"] == "x0"


@pytest.mark.parametrize("backend", BACKENDS)
def test_heat_like_process_starts_from_data(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    request.getfixturevalue(backend)
    run, machine = tmp_path / "run", ["--backend", backend, "--device", "cpu"]
    own = "--process fractional_heat --process.blur.num-levels 4 --data rings --data.count 40 --train.objective heat_reversal"
    own += " --sample.solver inverse_heat --sample.times.num-steps 4 --sample.start mean_image"
    train = ["train", str(ROOT / "configs" / "mnist_blurring.toml"), "--out", str(run), *own.split(), *SMALL.split()]
    assert main([*train, "--backend", backend]) == 0
    assert main(["sample", str(run), *machine]) == 0
    assert main(["evaluate", str(run), "--num-images", "2", "--num-steps", "3", *machine]) == 0
    with np.load(next(run.glob("samples/InverseHeat-*/samples.npz"))) as archive:
        assert archive["finite"].all()


def test_help_names_the_kinds_of_a_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--help", "--solver", "rotation"]) == 0
    said = capsys.readouterr().out
    assert "Rotation (now)" in said
    assert "--solver.degrees" in said


def test_package_does_not_mention_the_custom_kinds() -> None:
    for folder in ("blurcore", "backends"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not any(word in text for name in DECLARED for word in (f'"{name}"', f"{name}(", "own_kinds")), path


OURS = {name: (role, cls) for role in kinds.ROLES for name, cls in kinds._ours(role).items()}


def names_that_are_asked(tree: ast.AST) -> Iterator[str]:
    """Yield the names that stand in isinstance, issubclass, comparisons of types and strings of kinds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            for inner in ast.walk(node.args[1]):
                if isinstance(inner, (ast.Name, ast.Attribute)):
                    yield getattr(inner, "id", getattr(inner, "attr", ""))
        if isinstance(node, ast.Compare):
            for inner in (node.left, *node.comparators):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value


FOR_CHOICES = {"process", "solver", "times", "objective", "start", "data"}


def test_no_kind_is_tested_by_name_or_class_outside_its_own_file() -> None:
    """DESIGN's law, for the roles that commands choose; what diffusers' own schedulers accept is theirs."""
    found = []
    for folder in ("blurcore", "backends"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in names_that_are_asked(ast.parse(path.read_text(encoding="utf-8"))):
                role, cls = OURS.get(name, ("", None))
                if role in FOR_CHOICES and cls.__module__ != ".".join(path.relative_to(ROOT).with_suffix("").parts):
                    found.append(f"{path.relative_to(ROOT)}: {name}")
    assert found == []
