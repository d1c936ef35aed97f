"""The model card of a run: a README.md with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

PICTURE = "samples.png"
"""Where the card looks for its picture."""


class Metric(NamedTuple):
    """A number that an evaluation has found, and how sure it is, in words."""

    name: str
    value: float
    spread: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.5g} {self.spread}".strip()


def model_card(about: dict[str, Any], *, name: str, license_id: str, usage: str, library: str, notes: list[str]) -> str:
    """Return the text of a card.

    Parameters
    ----------
    about
        What :func:`blurcore.runs.description.describe_run` returns.
    name
        Name of the model.
    license_id
        A licence of the Hub's list, for the weights.
    usage
        Markdown: how to sample from the folder.
    library
        The Hub's `library_name`.
    notes
        Sentences on the limits of what is there.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data, metrics = about["data"]["kind"], metrics_of(about["evaluation"])
    image = about["image_shape"] is not None and len(about["image_shape"]) == 3
    results = [
        EvalResult(
            task_type="unconditional-image-generation" if image else "other",
            dataset_type=data,
            dataset_name=data,
            metric_type=metric.name,
            metric_value=metric.value,
        )
        for metric in metrics
    ]
    card = ModelCardData(
        license=license_id,
        library_name=library,
        tags=["blurcore", "diffusion", about["process"]["kind"]],
        pipeline_tag="unconditional-image-generation" if image else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    return f"---\n{card.to_yaml()}\n---\n\n{_body(about, name, license_id, usage, metrics, notes)}"


def _body(
    about: dict[str, Any], name: str, license_id: str, usage: str, metrics: list[Metric], notes: list[str]
) -> str:
    parts = [f"# {name}", _summary(about)]
    if about["pictures"]:
        parts.append(f"![Samples]({PICTURE})")
    parts += ["## Use", usage.strip(), "## Data", _data(about)]
    parts += ["## Training", "\n".join(f"- {line}" for line in _training(about))]
    if metrics:
        rows = "\n".join(f"| {metric.name} | {metric.value:.5g} | {metric.spread} |" for metric in metrics)
        parts += [
            "## Evaluation",
            f"By `blurcore evaluate`:\n\n| metric | value | interval or error |\n| --- | ---: | --- |\n{rows}",
        ]
    else:
        parts += ["## Evaluation", "Not evaluated (`blurcore evaluate RUN` does)."]
    unknown = license_id == "unknown"
    parts += ["## Licence", "Of the weights: " + ("not stated by who exported them." if unknown else f"{license_id}.")]
    if notes:
        parts += ["## Limits", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _summary(about: dict[str, Any]) -> str:
    process, count = about["process"]["kind"], about["parameters"]
    size = "" if count is None else f" of {count:,} parameters"
    return (
        f"A U-Net{size}, trained with `blurcore` as a `{process}` model, a diffusion process in"
        f" frequency space (Hoogeboom & Salimans 2023). It predicts `{about['prediction']}`."
    )


def _data(about: dict[str, Any]) -> str:
    name = about["data"]["kind"]
    shape = "" if about["image_shape"] is None else f" as {' x '.join(map(str, about['image_shape']))}"
    return f"`{name}`{shape}: {about['data_description']}."


def _training(about: dict[str, Any]) -> Iterator[str]:
    steps, loss, train = about["steps"], about["loss"], about["train"]
    yield f"{steps['done']:,} of {steps['planned']:,} steps, batches of {train['batch_size']}"
    yield f"learning rate {train['learning_rate']:g} ({train['schedule']}), moving average {train['ema_decay']:g}, {train['precision']}"
    if loss is not None:
        yield f"last loss {loss['value']:.4g}, at step {loss['step']:,}"
    yield f"backend {about['backend']}, blurcore {about['version'] or 'of an unknown version'}"
    yield f"process `{about['process']}`"


def metrics_of(evaluation: dict[str, Any] | None) -> list[Metric]:
    """Return what `blurcore evaluate` has found, by name: the bound in bits/dim, and the distances of samples."""
    found, evaluation = [], evaluation or {}
    bits, samples = (_table(evaluation, name) for name in ("bits_per_dim", "samples"))
    total = _table(bits, "total")
    if (value := total.get("mean")) is not None:
        kind, error = _table(evaluation, "settings").get("likelihood", "likelihood"), total.get("standard_error")
        found.append(Metric(f"bits_per_dim ({kind})", value, "" if error is None else f"+- {error:.4g}"))
    for name in (metrics := _table(samples, "metrics")):
        result = _table(metrics, name)
        label = name if name == "spectrum_distance" else f"{name} ({samples.get('features')} features)"
        if (value := result.get("value")) is not None:
            low, high = result.get("low"), result.get("high")
            spread = "" if low is None or high is None else f"[{low:.4g}, {high:.4g}]"
            found.append(Metric(label, value, spread))
    return found


def _table(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a part of what a file holds, empty where it has another form."""
    part = values.get(name)
    return part if isinstance(part, dict) else {}
