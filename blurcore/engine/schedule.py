"""What changes with the step: the learning rate and the weight of the average."""

from __future__ import annotations

import math

from blurcore.config import TrainConfig


def learning_rate(settings: TrainConfig, step: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then constant or a half cosine to 0."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "constant":
        return settings.learning_rate * warm
    done = max(0, step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def ema_decay(settings: TrainConfig, step: int) -> float:
    """Return the decay of the average after a step, short at first so that the start is forgotten."""
    return min(settings.ema_decay, (1 + step) / (10 + step))
