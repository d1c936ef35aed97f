"""`nox` runs the tests on every Python with every library; `nox -s "tests-3.12(cell='jax')"` runs one cell."""

import nox

CELLS = {"core": "numpy", "torch": "numpy,torch", "jax": "numpy,jax"}


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("cell", list(CELLS))
def tests(session, cell):
    extras = "test" if cell == "core" else f"test,{cell}"
    session.install("-e", f".[{extras}]")
    session.run("pytest", *session.posargs, env={"BLURCORE_TEST_LIBRARIES": CELLS[cell]})
