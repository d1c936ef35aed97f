"""`blurcore explore`: the processes at work, on a page of this machine's own."""

from __future__ import annotations

import argparse
import sys
import threading
import webbrowser

from blurcore.cli.settings import machinery_of, refuse_rest
from blurcore.errors import ConfigError


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Serve the page until a signal ends it."""
    refuse_rest(rest)
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"--port must be from 0 to 65535; got {args.port}")
    from blurcore.explore.server import ExploreServer
    from blurcore.explore.stepping import Stepper

    stepper = None
    if args.run_folder is not None:
        backend = machinery_of(args.run_folder, args.backend)
        stepper = Stepper(args.run_folder, backend, device=args.device)
    with ExploreServer(args.port, stepper) as server:
        print(server.address, flush=True)
        print("stop with Ctrl-C", file=sys.stderr)
        if not args.no_browser:
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        server.serve_forever()
    return 0
