"""The program in bad surroundings: streams that are closed, broken or full, terminals that are narrow or know no Unicode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blurcore.cli import main

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX streams and terminals")

PROGRAM = f"{sys.executable} -m blurcore"
C_LOCALE = {
    "LC_ALL": "C",
    "PYTHONIOENCODING": "ascii",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "COLUMNS": "20",
    "NO_COLOR": "1",
}
COMMANDS = (
    "",
    "demo",
    "train",
    "sample",
    "evaluate",
    "calibrate",
    "restore",
    "data",
    "figure",
    "figure overview",
    "figure snr",
    "figure sampler-error",
    "verify",
    "completion",
)
TRAINING = """\
import sys
from blurcore.runs.progress import SamplingProgress, TrainingProgress
with TrainingProgress(total=400, start=0) as progress:
    for _ in range(400):
        progress.advance(0.5, 8)
with SamplingProgress(4, 100, show=True) as progress:
    for _ in range(100):
        progress.advance(4)
"""


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, of which the program is a part."""
    return subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | environment,
        encoding="utf-8",
    )


class TestStreams:
    def test_reader_that_leaves_after_a_line_is_no_error(self):
        done = shell(f"{PROGRAM} verify --quick --backend numpy | head -n 1")
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 1
        assert "Traceback" not in done.stderr
        assert "error" not in done.stderr

    @pytest.mark.parametrize("words", ["completion bash", "--help"])
    def test_reader_that_never_reads_is_no_error(self, words):
        # the pipe has no reader when the program writes: `exec` ends the one that there was, and is waited for
        done = shell(f"{{ sleep 0.1; {PROGRAM} {words}; }} | exec true")
        assert done.stderr == ""

    @pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
    def test_closed_streams_are_no_error(self, closed, tmp_path):
        done = shell(f"{PROGRAM} figure snr --size 4 --out {tmp_path}/a.png {closed}")
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_full_disk_under_stdout_is_a_failure_in_one_sentence(self, unbuffered):
        done = shell(f"{PROGRAM} completion bash > /dev/full", PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 1
        assert done.stderr == "blurcore: error: [Errno 28] No space left on device\n"

    def test_closed_pipe_of_progress_does_not_end_a_run(self):
        """As in `blurcore train CONFIG 2>&1 | head -n 1`, whose first line of progress comes after 20 seconds."""
        code = (
            "import sys, blurcore.cli as cli, blurcore.cli.completion as command\n"
            "def run(args, rest):\n"
            "    for _ in range(2): print('progress', file=sys.stderr, flush=True)\n"
            "    return 5\n"
            "command.run = run\n"
            "sys.exit(cli.main(['completion', 'bash']))"
        )
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as broken:
            done = subprocess.run([sys.executable, "-c", code], stderr=broken, timeout=300, check=False)
        assert done.returncode == 5

    def test_names_that_a_stream_has_no_characters_for_are_escaped(self, tmp_path):
        done = shell(f"cd {tmp_path}; {PROGRAM} figure snr --size 4 --out ünïcode.png", **C_LOCALE)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()
        assert (tmp_path / "ünïcode.png").exists()

    def test_streams_are_given_back(self, capsys):
        before = sys.stderr
        assert main(["--version"]) == 0
        assert sys.stderr is before


class TestNarrowAndPlainTerminals:
    def test_every_command_explains_itself_in_20_columns_of_ascii(self):
        code = (
            f"from blurcore.cli import main\nfor words in {COMMANDS!r}: print('EXIT', main([*words.split(), '--help']))"
        )
        helps = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=120, check=False, env=os.environ | C_LOCALE
        )
        assert (helps.returncode, helps.stderr) == (0, b"")
        assert helps.stdout.count(b"EXIT 0") == len(COMMANDS)
        assert b"\x1b" not in helps.stdout
        assert helps.stdout.isascii()

    @staticmethod
    def on_a_terminal(columns: int, **environment: str) -> str:
        """Return what two progress bars of some hundred steps write to a terminal so wide."""
        import fcntl
        import pty
        import struct
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "TERM")}
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | environment,
        )
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 2**16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            written += part
        os.close(ours)
        assert process.wait(timeout=300) == 0
        return written.decode()

    @pytest.mark.parametrize(
        ("columns", "environment"), [(20, {}), (200, {"TERM": "dumb"}), (200, {"PYTHONIOENCODING": "ascii"})]
    )
    def test_terminal_on_which_no_bar_can_be_drawn_gets_plain_lines(self, columns, environment):
        written = self.on_a_terminal(columns, **environment)
        assert written.isascii()
        assert "\x1b" not in written
        assert [line.split()[:2] for line in written.splitlines()] == [["training", "400/400"], ["sampling", "400/400"]]

    def test_colour_that_notebooks_ask_for_makes_no_terminal_of_a_pipe(self):
        done = subprocess.run(
            [sys.executable, "-c", TRAINING],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
            env=os.environ | {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-color", "COLUMNS": "120"},
        )
        assert [line.split()[:2] for line in done.stderr.splitlines()] == [
            ["training", "400/400"],
            ["sampling", "400/400"],
        ]

    def test_wide_terminal_gets_one_line_that_is_drawn_again(self):
        written = self.on_a_terminal(100)
        assert "\x1b[" in written
        assert written.count("\n") <= 4
        assert "400/400" in written

    def test_no_color_is_respected(self):
        written = self.on_a_terminal(100, NO_COLOR="1")
        assert "400/400" in written
        # cursor movements are no colours
        assert "\x1b[3" not in written

    def test_pipe_gets_a_line_now_and_then(self):
        done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, timeout=300, check=True)
        assert len(done.stderr.splitlines()) == 2
        assert "\x1b" not in done.stderr


class TestMistakes:
    @pytest.mark.parametrize("words", COMMANDS)
    def test_unknown_flag_is_named_in_one_line(self, words, capsys):
        needed = {"figure": ("snr",), "calibrate": ("RUN",), "completion": ("bash",)}
        # what a command needs comes first, or its absence would be the mistake
        assert main([*words.split(), *needed.get(words, ()), "--no-such-flag"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        if words not in ("", "train", "sample", "evaluate", "restore", "data"):  # these say first what they need
            assert "--no-such-flag" in err

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            ("train {file}/x.toml", 2),
            ("train {folder}", 2),
            ("sample {folder}", 2),
            ("sample {file}", 2),
            ("evaluate {folder}", 2),
            ("calibrate {folder}", 2),
            ("figure overview {folder}", 2),
            ("figure overview {file}", 2),
            ("figure snr --size 4 --out {file}/a.png", 2),
            ("figure snr --size 4 --out {folder}.png/a.png", 2),
            ("demo --out {file}", 2),
            ("verify --html {folder}", 2),
            ("verify --html {file}/a.html", 2),
        ],
    )
    def test_path_that_does_not_serve_is_named_in_one_line(self, words, code, tmp_path, capsys):
        (tmp_path / "folder.png").touch()
        file, folder = tmp_path / "file", tmp_path / "folder"
        file.write_text("text")
        folder.mkdir()
        assert main(words.format(file=file, folder=folder).split()) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert str(tmp_path) in err

    def test_error_of_the_system_is_a_failure_in_one_line(self, monkeypatch, capsys):
        from blurcore.cli import completion

        def run(args, rest):
            raise PermissionError(13, "Permission denied", "some/path")

        monkeypatch.setattr(completion, "run", run)
        assert main(["completion", "bash"]) == 1
        assert capsys.readouterr().err == "blurcore: error: [Errno 13] Permission denied: 'some/path'\n"
