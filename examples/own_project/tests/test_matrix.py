from own_project import Fading, Restart

from blurcore.testing import check_process, check_solver


def test_process(blurcore_backend):
    check_process(Fading(), backend=blurcore_backend)


def test_solver(blurcore_backend):
    check_solver(Restart(process=Fading()), backend=blurcore_backend)
