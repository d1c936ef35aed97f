"""Work off the list of the protocol: `python -m benchmarks.evidence`. It can be stopped at any moment, and goes on where it was.

python -m benchmarks.evidence --data digits                    # the first hour's subset: questions 1 and 3
python -m benchmarks.evidence --scale day --questions 1 2 4    # a day of two cores, with --part 1/2 and --part 2/2 side by side
python -m benchmarks.evidence --scale gpu --cifar10 cifar10_train.npy
python -m benchmarks.evidence --list                           # what would be done
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

from benchmarks.evidence.jobs import jobs
from benchmarks.evidence.ledger import Ledger
from benchmarks.evidence.trials import SEEDS

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "benchmarks" / "results" / "evidence.jsonl"


def main() -> int:
    """Do what is not in the ledger; return 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("hour", "day", "gpu"), default="hour")
    parser.add_argument("--data", nargs="+", choices=("digits", "photos"), default=["digits", "photos"])
    parser.add_argument("--questions", nargs="+", type=int, choices=(1, 2, 3, 4, 6), default=[1, 3])
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--part", type=part, default=(1, 1), metavar="I/N", help="do every n-th run of the list alone")
    parser.add_argument("--cifar10", help="uint8 images (n, 32, 32, 3) in an .npy file, for --scale gpu")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "evidence", help="folder of the trained runs")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    parser.add_argument("--list", action="store_true", help="print the list and what is done of it")
    args = parser.parse_args()
    if (args.scale == "gpu") != (args.cifar10 is not None):
        parser.error("--scale gpu and --cifar10 FILE.npy go together")
    data = ["cifar10"] if args.scale == "gpu" else args.data
    ledger = Ledger(args.ledger)
    failed = 0
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that a training leaves its checkpoint, as after Ctrl-C
    which, parts = args.part
    for i, job in enumerate(
        jobs(args.scale, data, args.questions, folder=args.runs, seeds=args.seeds, ledger=ledger, path=args.cifar10)
    ):
        group = (
            str(job.settings["trial"]["process"]) + str(job.settings["trial"]["seed"])
            if "trial" in job.settings
            else str(i)
        )
        if sum(group.encode()) % parts != which - 1:
            continue
        done = job.name in ledger.done()
        if args.list:
            print("done" if done else "    ", job.name)
            continue
        if done:
            continue
        start = time.process_time()
        try:
            found = job.do()
        except Exception:
            failed += 1
            print(f"failed: {job.name}", file=sys.stderr)
            traceback.print_exc()
            continue
        ledger.add(
            job.name, question=job.question, **job.settings, found=found, seconds=round(time.process_time() - start, 2)
        )
        print(job.name, flush=True)
    return 1 if failed else 0


def part(text: str) -> tuple[int, int]:
    """Read I/N."""
    which, _, parts = text.partition("/")
    found = int(which), int(parts)
    if not 1 <= found[0] <= found[1]:
        raise ValueError(text)
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
