"""The server of the page: the standard library's, for this machine alone.

It listens on 127.0.0.1 and answers only requests that are addressed to this machine by name, so that no page from elsewhere
can reach it under a name of its own (DNS rebinding), nor make a browser post to it. Bodies are bounded before they are read. A
mistake is answered with 400 and one sentence as ``{"error": ...}``.
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from blurcore import __version__
from blurcore.errors import ArgumentError, BlurcoreError, ConfigError
from blurcore.explore.controls import process_controls
from blurcore.explore.rendering import Gallery, describe, encode_png
from blurcore.explore.stepping import BusyError, Stepper
from blurcore.explore.views import look
from blurcore.serial import from_dict

HOST = "127.0.0.1"
MAX_UPLOAD = 20 * 2**20
"""Largest image that may be brought, in bytes."""
_MAX_QUESTION = 2**16
_DRAINED = 2**27  # of a body that is too large so much is read and forgotten, so that the sender reads the answer
_NAMES = {"127.0.0.1", "localhost", "::1"}
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_POLICY = "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"


class Answer(NamedTuple):
    """A body with its type and status."""

    body: bytes
    kind: str = "application/json"
    status: int = 200


class Refusal(Exception):
    """A refused request: a status and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ExploreServer(ThreadingHTTPServer):
    """The server with what it shows.

    Parameters
    ----------
    port
        Where to listen on 127.0.0.1; 0 takes any that is free.
    stepper
        The run whose samples can be stepped through, if there is one.

    Raises
    ------
    ConfigError
        The port cannot be had.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, stepper: Stepper | None = None) -> None:
        self.gallery, self.stepper = Gallery(), stepper
        self.controls = process_controls()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot listen on {HOST}:{port} ({reason}); choose another --port") from None

    @property
    def address(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a closed connection; print any other error in one line."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print(f"blurcore explore: {type(error).__name__}: {error}", file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    server: ExploreServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"blurcore/{__version__}", ""
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout = 60  # of a connection on which nothing comes

    def do_GET(self) -> None:
        """Answer the page, its parts, pictures and what can be chosen."""
        self._respond(self._get)

    def do_POST(self) -> None:
        """Handle an uploaded image, a view of an image, and a request for a sample."""
        self._respond(self._post)

    def _respond(self, find: Any) -> None:
        try:
            self._check_sender()
            answer = find(urlsplit(self.path))
        except Refusal as refusal:
            answer = _say({"error": str(refusal)}, refusal.status)
        except BusyError as error:
            answer = _say({"error": str(error)}, 409)
        except BlurcoreError as error:
            answer = _say({"error": str(error)}, 400)
        if answer.status not in (200, 400, 409):
            self.close_connection = True  # its body may not have been read
        self.send_response(answer.status)
        for name, value in (
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", _POLICY),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def _check_sender(self) -> None:
        """Refuse requests that a page of another origin made the browser send."""
        host = self.headers.get("Host", "")
        if _name_of_host(f"//{host}") not in _NAMES:
            raise Refusal(403, f"this server answers to {HOST} and localhost alone; got Host {host!r:.80}")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refusal(403, f"this server answers its own page alone; got Origin {origin!r:.80}")

    def _get(self, url: Any) -> Answer:
        if url.path in _FILES:
            file, kind = _FILES[url.path]
            return Answer(resources.files("blurcore.explore").joinpath(file).read_bytes(), kind)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if url.path == "/api/options":
            return _say(self._options())
        if url.path == "/api/picture":
            return Answer(encode_png(self.server.gallery.pick(query.get("image")).pixels), "image/png")
        if url.path == "/api/run/progress":
            return _say(self._run().progress(_whole(query.get("sample"))))
        if url.path == "/api/run/frame":
            frame = self._run().frame(_whole(query.get("sample")), _whole(query.get("step")))
            return Answer(encode_png(frame), "image/png")
        raise Refusal(404, f"there is nothing at {url.path!r:.80}")

    def _options(self) -> dict[str, Any]:
        server = self.server
        return {
            "version": __version__,
            "pictures": server.gallery.offered(),
            "processes": server.controls,
            "max_upload": MAX_UPLOAD,
            "run": None if server.stepper is None else server.stepper.about(),
        }

    def _post(self, url: Any) -> Answer:
        if url.path == "/api/upload":
            return _say(describe(*self.server.gallery.bring(self._body(MAX_UPLOAD))))
        if url.path == "/api/view":
            return self._view(self._question("image", "process", "t", "seed"))
        if url.path == "/api/run/sample":
            asked = self._question("seed", "num_steps", "num_samples")
            return _say({"sample": self._run().begin(**asked)})
        raise Refusal(404, f"there is nothing to post to at {url.path!r:.80}")

    def _view(self, asked: dict[str, Any]) -> Answer:
        picture = self.server.gallery.pick(asked["image"])
        try:
            view = look(from_dict(asked["process"], name="process"), picture.pixels, t=asked["t"], seed=asked["seed"])
        except BlurcoreError:
            raise
        except Exception as error:  # numbers beyond all range, or whatever a process of one's own does not check
            raise ArgumentError(
                f"process cannot be shown with these settings ({type(error).__name__}: {error})"
            ) from None
        found: dict[str, Any] = view._asdict()
        for name in ("noisy", "blurred", "noise"):
            if found[name] is not None:
                found[name] = "data:image/png;base64," + base64.b64encode(encode_png(found[name])).decode()
        return _say(found)

    def _run(self) -> Stepper:
        if self.server.stepper is None:
            raise ConfigError("there is no run to sample from; start with blurcore explore --run RUN")
        return self.server.stepper

    def _question(self, *names: str) -> dict[str, Any]:
        """Return the body, a JSON object of exactly these names."""
        try:
            asked = json.loads(self._body(_MAX_QUESTION))
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"the request must be JSON; {type(error).__name__}: {str(error)[:80]}") from None
        if not isinstance(asked, dict) or set(asked) != set(names):
            raise ArgumentError(f"the request must be an object with {', '.join(names)}; got {str(asked)[:80]}")
        return asked

    def _body(self, most: int) -> bytes:
        """Return the body; one that is too large, or whose size is not said, is refused."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise Refusal(411, f"a request must say its Content-Length; got {length!r:.40}")
        size = int(length)
        if size > most:
            left = min(size, _DRAINED)
            while left > 0 and (part := self.rfile.read(min(left, 2**16))):
                left -= len(part)
            raise Refusal(413, f"this is too large: {size} bytes, where {most} are the most")
        body = self.rfile.read(size)
        if len(body) < size:
            raise Refusal(400, f"only {len(body)} of {size} bytes have come")
        return body

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: the page shows their errors."""


def _say(values: dict[str, Any], status: int = 200) -> Answer:
    return Answer(json.dumps(values, allow_nan=False).encode(), status=status)


def _name_of_host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _whole(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ArgumentError(f"sample and step must be whole numbers; got {text!r:.40}")
    return int(text)
