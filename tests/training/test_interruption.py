from __future__ import annotations

import ctypes
import signal
import threading

import pytest

from tfod_transfer import errors
from tfod_transfer.training.interruption import StopRequests

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_a_signal_raises_with_the_status_of_shells(number: signal.Signals) -> None:
    with pytest.raises(errors.StoppedError, match="nothing was exported") as error, StopRequests().handled():
        signal.raise_signal(number)
    assert error.value.status == 128 + number


@SIGNALS
def test_a_deferred_signal_is_kept_and_a_second_one_raises(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    requests = StopRequests()
    with requests.handled(), requests.deferred():
        signal.raise_signal(number)
        assert requests.received == number
        assert "stopping at the end of this step" in capfd.readouterr().err
        with pytest.raises(errors.StoppedError):
            signal.raise_signal(number)


@SIGNALS
def test_earlier_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequests().handled():
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before


def test_a_signal_that_a_library_took_can_be_taken_back() -> None:
    requests = StopRequests()
    with requests.handled():
        ctypes.CDLL(None).signal(int(signal.SIGTERM), 1)  # SIG_IGN, beside Python's knowledge
        signal.raise_signal(signal.SIGTERM)
        requests.handle_again()
        with pytest.raises(errors.StoppedError):
            signal.raise_signal(signal.SIGTERM)


def test_outside_the_main_thread_nothing_is_handled() -> None:
    seen: list[object] = []

    def work() -> None:
        with StopRequests().handled():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
