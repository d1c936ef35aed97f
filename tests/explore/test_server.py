"""The explorer over HTTP: what it answers, and that every mistake is one sentence with 400, never a 500."""

from __future__ import annotations

import base64
import io
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.data.formats import in_words
from blurcore.errors import ArgumentError, CheckpointError, ConfigError
from blurcore.explore import server as module
from blurcore.explore.server import ExploreServer
from blurcore.explore.stepping import Stepper

RUN = Path(__file__).parents[1] / "training" / "fixtures" / "format_1"
QUESTION: dict[str, Any] = {"image": "rings", "process": {"kind": "BlurringDiffusion"}, "t": 0.2, "seed": 0}


def under(kind: str, **settings: Any) -> dict[str, Any]:
    """Return a question's process."""
    return {"process": {"kind": kind, **settings}}


def encoded(mode: str = "RGB", size: tuple[int, int] = (40, 30), form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, 100).save(stream, form)
    return stream.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of some hundred bytes that says it has 3.6 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def pixels(url: str) -> np.ndarray:
    assert url.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture)


class TestPage:
    def test_page_and_its_parts_come_with_the_package(self, client):
        for path, kind, mark in (
            ("/", "text/html", b"<title>"),
            ("/page.css", "text/css", b":root"),
            ("/page.js", "text/javascript", b"use strict"),
        ):
            reply = client.ask(path)
            assert reply.status == 200
            assert reply.headers["Content-Type"].startswith(kind)
            assert mark in reply.body
            assert "default-src 'none'" in reply.headers["Content-Security-Policy"]

    def test_nothing_is_loaded_from_elsewhere(self):
        for name in ("page.html", "page.css", "page.js"):
            text = resources.files("blurcore.explore").joinpath(name).read_text(encoding="utf-8")
            assert set(re.findall(r"(?:https?:)?//[a-z][\w.]+\S*", text)) <= {'http://www.w3.org/2000/svg";'}
            assert "@import" not in text
            assert "url(" not in text

    def test_page_is_small(self):
        folder = resources.files("blurcore.explore")
        assert sum(len(folder.joinpath(name).read_bytes()) for name in ("page.html", "page.css", "page.js")) < 50_000

    def test_pictures_that_are_offered_can_be_had(self, client):
        offered = client.ask("/api/options").json["pictures"]
        assert "rings" in {picture["id"] for picture in offered}
        for picture in offered:
            with Image.open(io.BytesIO(client.ask(f"/api/picture?image={picture['id']}").body)) as opened:
                assert opened.size == (picture["width"], picture["height"])
                assert 8 <= min(opened.size) <= max(opened.size) <= 128

    @pytest.mark.parametrize("path", ["/nothing", "/../pyproject.toml", "/page.py", "/api/nothing"])
    def test_nothing_else_is_there(self, client, path):
        assert client.ask(path).status == 404
        assert client.ask(path, {}).status == 404


class TestView:
    @pytest.mark.parametrize("kind", ["BlurringDiffusion", "GaussianDiffusion", "HeatDissipation", "ColdDiffusion"])
    def test_every_process_is_shown_at_every_time(self, client, kind):
        for t in (0, 0.37, 1):
            reply = client.ask("/api/view", QUESTION | {"process": {"kind": kind}, "t": t})
            assert reply.status == 200
            view = reply.json
            assert pixels(view["noisy"]).shape == pixels(view["blurred"]).shape == (96, 96)
            assert len(view["frequency"]) == len(view["signal"]) == len(view["log_snr"])

    def test_time_and_noise_change_the_picture_and_the_same_question_does_not(self, client):
        first, again, later, other = (
            client.ask("/api/view", QUESTION | change).json["noisy"] for change in ({}, {}, {"t": 0.3}, {"seed": 1})
        )
        assert first == again
        assert len({first, later, other}) == 3

    def test_two_processes_see_the_same_noise(self, client):
        """Blurring diffusion without a blur is standard diffusion, noise and all."""
        unblurred = {"kind": "BlurringDiffusion", "blur": {"kind": "NoBlur"}}
        a, b = (
            client.ask("/api/view", QUESTION | {"process": p}).json["noisy"]
            for p in (unblurred, {"kind": "GaussianDiffusion"})
        )
        assert np.abs(pixels(a).astype(int) - pixels(b)).max() <= 1

    def test_concurrent_requests_get_their_own_answers(self, client):
        questions = [QUESTION | {"t": i / 16} for i in range(16)]
        alone = [client.ask("/api/view", question).body for question in questions]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda question: client.ask("/api/view", question).body, questions)) == alone

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"t": 2}, "t must be a number from 0 to 1; got 2"),
            ({"t": None}, "t must be a number"),
            ({"t": "x"}, "t must be a number"),
            ({"seed": -1}, "seed must be from 0"),
            ({"seed": 10**400}, "seed must be from 0"),
            ({"image": "../secret"}, "image must be one that the page offers"),
            ({"image": ["rings"]}, "image must be one that the page offers"),
            ({"process": None}, "process must be a table"),
            ({"process": {}}, "process.kind must be one of"),
            ({"process": {"kind": "Sharpening"}}, "process.kind must be one of BlurringDiffusion"),
            ({"process": {"kind": "LinearBeta"}}, "process.kind must be one of"),
            (under("BlurringDiffusion", min_scale=2), "min_scale must be in [0, 1]; got 2"),
            (under("BlurringDiffusion", min_scale=None), "process.min_scale must be a number; got None"),
            (
                under("BlurringDiffusion", blur={"kind": "SinSquared", "sigma_blur_max": -1}),
                "sigma_blur_max must be 0 or more",
            ),
            (
                under("BlurringDiffusion", blur={"kind": "SinSquared", "sigma_blur_max": 1e300}),
                "sigma_blur_max must be",
            ),
            (under("BlurringDiffusion", noise={"kind": "CosineLogSNR", "log_snr_min": 20}), "log_snr_min"),
            (under("HeatDissipation", sigma=1e307), "sigma must be"),
            (
                under("HeatDissipation", blur={"kind": "LogLinear", "num_levels": 1.5}),
                "num_levels must be a whole number",
            ),
            (under("HeatDissipation", sigma=1e308), "sigma must be"),
            (
                under("BlurringDiffusion", noise={"kind": "CosineLogSNR", "log_snr_max": -1e6, "log_snr_min": -2e6}),
                "log_snr_min must be",
            ),
            ({"extra": 1}, "the request must be an object with image, process, t, seed"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_mistake_is_one_sentence_with_400(self, client, change, message):
        reply = client.ask("/api/view", QUESTION | change)
        assert reply.status == 400
        assert message in reply.json["error"]
        assert "\n" not in reply.json["error"]

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b'{"t": NaN}', b"1" * 5000],
        ids=lambda b: repr(b[:12]),
    )
    def test_what_is_no_question_is_refused(self, client, body):
        reply = client.ask("/api/view", body)
        assert reply.status == 400
        assert "the request must be" in reply.json["error"]

    def test_numbers_that_json_has_not_are_refused(self, client):
        for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
            body = b'{"image": "rings", "process": {"kind": "GaussianDiffusion"}, "seed": 0, "t": ' + number + b"}"
            assert client.ask("/api/view", body).status == 400


class TestUpload:
    @pytest.mark.parametrize(
        ("mode", "size", "form", "shown"),
        [
            ("RGB", (40, 30), "PNG", (40, 30)),
            ("L", (1000, 500), "JPEG", (128, 64)),
            ("RGBA", (128, 300), "WEBP", (55, 128)),
            ("P", (3, 3), "PNG", (8, 8)),
            ("RGB", (40, 30), "BMP", (40, 30)),
            ("L", (40, 30), "TIFF", (40, 30)),
            ("I;16", (2000, 4), "PNG", (128, 8)),
        ],
    )
    def test_image_is_taken_and_shown(self, client, mode, size, form, shown):
        reply = client.ask("/api/upload", encoded(mode, size, form))
        assert reply.status == 200
        found = reply.json
        assert (found["width"], found["height"]) == shown
        view = client.ask("/api/view", QUESTION | {"image": found["id"]})
        assert view.status == 200
        assert pixels(view.json["noisy"]).shape[:2] == shown[::-1]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"just some text in a file that is named .png", f"not a {in_words()} image"),
            (b"", f"not a {in_words()} image"),
            (encoded()[:60], ""),
            (encoded(size=(300, 300), form="JPEG")[:-400], ""),
            (bomb(), "pixels"),
            (bomb(9000, 9000), "9000 x 9000 pixels are more than"),
            (encoded(form="GIF", mode="L"), f"not a {in_words()} image"),
            (bytes(range(256)) * 40, f"not a {in_words()} image"),
        ],
        ids=["text", "empty", "cut PNG", "cut JPEG", "bomb", "large", "GIF", "noise"],
    )
    def test_what_is_no_image_is_refused_kindly(self, client, content, reason):
        reply = client.ask("/api/upload", content)
        assert reply.status == 400
        assert reply.json["error"].startswith("this cannot be shown: ")
        assert reply.json["error"].endswith(f"; bring a {in_words()} image")
        assert reason in reply.json["error"]

    def test_old_uploads_make_room_for_new_ones(self, client):
        keys = [client.ask("/api/upload", encoded(size=(20 + i, 20))).json["id"] for i in range(17)]
        assert client.ask(f"/api/picture?image={keys[0]}").status == 400
        assert client.ask(f"/api/picture?image={keys[-1]}").status == 200

    def test_body_that_is_too_large_or_of_unknown_size_is_refused(self, client, monkeypatch):
        monkeypatch.setattr(module, "MAX_UPLOAD", 1000)
        reply = client.ask("/api/upload", b"x" * 1001)
        assert reply.status == 413
        assert "1001 bytes, where 1000 are the most" in reply.json["error"]
        assert client.ask("/api/view", b" " * (2**16 + 1)).status == 413
        for length in ("-1", "many", "1" * 5000):
            with socket.create_connection(("127.0.0.1", client.port), timeout=300) as plain:
                plain.sendall(
                    f"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()
                )
                assert b" 411 " in plain.recv(2000)


class TestSecurity:
    def test_it_listens_to_this_machine_alone(self, client):
        assert client.server.server_address[0] == "127.0.0.1"

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[", "0.0.0.0"]
    )
    def test_other_names_are_refused(self, client, host):
        """A page whose name is made to point to this machine (DNS rebinding) sends its own name."""
        for path, body in (("/", None), ("/api/options", None), ("/api/view", QUESTION)):
            reply = client.ask(path, body, Host=host)
            assert reply.status == 403
            assert "answers to 127.0.0.1 and localhost alone" in reply.json["error"]

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9999", "[::1]:80"])
    def test_names_of_this_machine_are_answered_at_any_port(self, client, host):
        """Any port, because the page may be reached through a tunnel."""
        assert client.ask("/api/options", Host=host).status == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
    def test_pages_from_elsewhere_are_refused(self, client, origin):
        assert client.ask("/api/upload", encoded(), Origin=origin).status == 403

    def test_own_page_is_answered(self, client):
        assert client.ask("/api/upload", encoded(), Origin=f"http://127.0.0.1:{client.port}").status == 200


class TestCommand:
    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ("--port 70000", "--port must be from 0 to 65535; got 70000"),
            ("--port many", "invalid int value: 'many'"),
            ("--run nowhere", "cannot read the configuration nowhere/config.toml"),
            ("--colour", "unknown option '--colour'"),
        ],
    )
    def test_mistake_is_named(self, flags, message, capsys):
        assert main(["explore", "--no-browser", *flags.split()]) == 2
        assert message in capsys.readouterr().err

    def test_port_that_is_taken_is_named(self, client):
        with pytest.raises(
            ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{client.port} \(.+\); choose another --port"
        ):
            ExploreServer(client.port)

    def test_server_prints_its_address_and_stops_at_a_signal(self):
        words = [sys.executable, "-m", "blurcore", "explore", "--port", "0", "--no-browser"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=300) as page:
                assert b"blurcore" in page.read()
            server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=300)
        assert server.returncode == 130
        assert "Traceback" not in said


class FakeBackend:
    """Shows three states of white noise, and waits before the last, or fails there."""

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.fails, self.calls = fails, 0

    def sample(self, folder, settings, *, device, progress, watch):
        self.calls += 1
        rng = np.random.default_rng(settings.seed)
        for k in range(settings.times.num_steps + 1):
            if k == 1 and self.fails is not None:
                raise self.fails
            watch(0, k, rng.standard_normal((settings.num_samples, 8, 8, 1)).astype(np.float32))


def wait(stepper: Stepper, number: int) -> dict[str, Any]:
    for _ in range(3000):
        found = stepper.progress(number)
        if found["done"]:
            return found
        time.sleep(0.02)
    raise AssertionError("the sample is never done")


class TestRun:
    @pytest.mark.parametrize("backend", ["torch", "jax"])
    def test_run_is_stepped_through_by_its_backend(self, backend, request, serve):
        request.getfixturevalue(backend)
        with serve(Stepper(RUN, bc.get_backend(backend), device="cpu")) as client:
            about = client.ask("/api/options").json["run"]
            assert (about["name"], about["data"]) == ("format_1", "Digits")
            number = client.ask("/api/run/sample", {"seed": 1, "num_steps": 3, "num_samples": 2}).json["sample"]
            found = wait(client.server.stepper, number)
            assert (found["error"], found["states"], found["total"]) == (None, 4, 4)
            assert (found["captions"][0], found["captions"][-1]) == ("t = 1.000", "t = 0.000")
            frames = [client.ask(f"/api/run/frame?sample={number}&step={k}") for k in range(4)]
            assert {frame.status for frame in frames} == {200}
            assert len({frame.body for frame in frames}) == 4
            settings = bc.SampleConfig(times=bc.Uniform(num_steps=3), num_samples=2, batch_size=2, seed=1)
            drawn = bc.get_backend(backend).sample(RUN, settings, device="cpu", progress=False).images
            np.testing.assert_array_equal(client.server.stepper._sample(number).states[-1], drawn)

    def test_one_sample_is_drawn_at_a_time(self, serve):
        free = threading.Event()

        class Slow(FakeBackend):
            def sample(self, *args, watch, **kwargs):
                free.wait(60)
                super().sample(*args, watch=watch, **kwargs)

        asked = {"seed": 0, "num_steps": 2, "num_samples": 1}
        with serve(Stepper(RUN, Slow())) as client:
            number = client.ask("/api/run/sample", asked).json["sample"]
            reply = client.ask("/api/run/sample", asked)
            assert (reply.status, reply.json["error"]) == (409, "a sample is being drawn; wait until it is done")
            early = client.ask(f"/api/run/frame?sample={number}&step=0")
            assert early.status == 400
            assert "as far as the sample is" in early.json["error"]
            free.set()
            assert wait(client.server.stepper, number)["states"] == 3
            assert client.ask("/api/run/sample", asked).status == 200

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (CheckpointError("the checkpoint is damaged"), "the checkpoint is damaged"),
            (MemoryError("9 GiB"), "MemoryError: 9 GiB"),
        ],
    )
    def test_failed_sample_gives_its_reason_and_allows_the_next(self, error, said):
        stepper = Stepper(RUN, FakeBackend(fails=error))
        for _ in range(2):
            found = wait(stepper, stepper.begin(seed=0, num_steps=2, num_samples=1))
            assert (found["error"], found["states"]) == (said, 1)

    def test_only_the_last_samples_are_kept(self):
        stepper = Stepper(RUN, FakeBackend())
        numbers = []
        for _ in range(6):
            numbers.append(stepper.begin(seed=0, num_steps=1, num_samples=1))
            wait(stepper, numbers[-1])
        stepper.frame(numbers[-1], 0)
        with pytest.raises(ArgumentError, match="sample must be one of the last 4; got 1"):
            stepper.progress(numbers[0])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": -1}, "seed must be a whole number from 0"),
            ({"num_steps": 0}, "num_steps must be a whole number from 1 to 1000; got 0"),
            ({"num_steps": 10**9}, "num_steps must be a whole number from 1 to 1000"),
            ({"num_samples": 17}, "num_samples must be a whole number from 1 to 16; got 17"),
            ({"num_samples": None}, "num_samples must be a whole number"),
            ({"num_samples": True}, "num_samples must be a whole number"),
            ({"more": 1}, "the request must be an object with seed, num_steps, num_samples"),
        ],
        ids=str,
    )
    def test_wish_that_makes_no_sense_is_refused(self, change, message, serve):
        backend = FakeBackend()
        with serve(Stepper(RUN, backend)) as client:
            reply = client.ask("/api/run/sample", {"seed": 0, "num_steps": 2, "num_samples": 1} | change)
            assert reply.status == 400
            assert message in reply.json["error"]
            assert backend.calls == 0

    def test_states_that_would_fill_the_memory_are_refused(self, monkeypatch):
        monkeypatch.setattr("blurcore.explore.stepping._MAX_BYTES", 8 * 8 * 2 * 4)
        stepper = Stepper(RUN, FakeBackend())
        wait(stepper, stepper.begin(seed=0, num_steps=3, num_samples=2))
        with pytest.raises(ArgumentError, match="must be such that all states fit in 512 bytes; these take 640"):
            stepper.begin(seed=0, num_steps=4, num_samples=2)

    @pytest.mark.parametrize(
        "query", ["", "?sample=1", "?sample=x&step=0", "?sample=-1&step=0", "?sample=7&step=0", f"?sample={'9' * 5000}"]
    )
    def test_frame_that_is_not_there_is_refused(self, query, serve):
        with serve(Stepper(RUN, FakeBackend())) as client:
            assert client.ask(f"/api/run/frame{query}").status == 400
            assert client.ask(f"/api/run/progress{query}").status == 400

    def test_page_without_a_run_explains_how_to_add_one(self, client):
        assert client.ask("/api/options").json["run"] is None
        for path, body in (
            ("/api/run/progress?sample=1", None),
            ("/api/run/sample", {"seed": 0, "num_steps": 2, "num_samples": 1}),
        ):
            reply = client.ask(path, body)
            assert reply.status == 400
            assert "blurcore explore --run RUN" in reply.json["error"]

    def test_folder_without_a_checkpoint_is_refused(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("blurcore.cli.explore.machinery_of", lambda folder, name: FakeBackend())
        (tmp_path / "config.toml").write_bytes((RUN / "config.toml").read_bytes())
        assert main(["explore", "--no-browser", "--port", "0", "--run", str(tmp_path)]) == 1
        assert "checkpoint" in capsys.readouterr().err
