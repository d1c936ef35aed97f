"""Randomness that is derived, never carried: every draw follows from the seed, what it is for, and an index.

Resuming needs no random state, and a sample does not depend on the batch that it is drawn in. The frameworks draw
other numbers from one seed; which numbers belong together is the same everywhere.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a draw is for; numbers are part of the definition and never change."""

    TIME = 1
    NOISE = 2
    DROPOUT = 3
    SAMPLE = 4
    WEIGHTS = 5
    START = 6
    PRIOR = 7
    CALIBRATION = 8
    LABEL = 9
    EVALUATION = 10
    OBSERVATION = 11
    RESTORATION = 12


def derived_seed(seed: int, stream: Stream, *index: int) -> int:
    """Return a 63-bit seed for one draw."""
    # The length tells (seed, stream) from (seed, stream, 0): SeedSequence takes no notice of zeros at the end.
    words = np.random.SeedSequence([seed, int(stream), len(index), *index]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])
