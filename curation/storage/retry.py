"""Trying again what may pass, for as long as it gets further and no longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from curation.errors import CurationError, ErrorCode

# A round of attempts that gained less than this has failed, so that a server which gives a byte a time ends too.
_GAIN_BYTES = 1 << 20

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Patience:
    """How long to try; times in seconds.

    Parameters
    ----------
    attempts : int
        Tries in a round; a round that gained next to nothing is the last.
    first_pause, longest_pause : float
        Pauses double within a round, from the first to the longest, with as much again by chance.
    longest_wish : float
        The longest pause a server may ask for (Retry-After) that is waited for.
    """

    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 15.0
    longest_wish: float = 300.0


class TryAgain(Exception):
    """An attempt failed in a way that another one may mend; `after` is the pause the server asks for, in seconds."""

    def __init__(self, reason: str, *, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


def try_patiently(
    attempt: Callable[[], Answer], *, what: str, patience: Patience, gained: Callable[[], int] = lambda: 0
) -> Answer:
    """Call until it succeeds, raises something else than TryAgain, or no longer gets further.

    Parameters
    ----------
    attempt : callable
    what : str
        What is tried, for the error.
    patience : Patience
    gained : callable, optional
        Tells how many bytes there are by now.

    Raises
    ------
    CurationError
        With the last failure, where a round of attempts brought nothing, or the server asks for too long a pause.
    """

    def is_worth_it(error: BaseException) -> bool:
        return isinstance(error, TryAgain) and error.after <= patience.longest_wish

    backoff = tenacity.wait_exponential(multiplier=patience.first_pause, max=patience.longest_pause)
    jitter = tenacity.wait_random_exponential(multiplier=patience.first_pause, max=patience.longest_pause)

    def pause(state: tenacity.RetryCallState) -> float:
        return max(_wish(state), backoff(state) + jitter(state))

    while True:
        before = gained()
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_it),
            stop=tenacity.stop_after_attempt(patience.attempts),
            wait=pause,
            reraise=True,
        )
        try:
            return tries(attempt)
        except TryAgain as error:
            if not is_worth_it(error) or gained() - before < _GAIN_BYTES:
                raise _give_up(what, error, tries.statistics["attempt_number"]) from error


def _wish(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.after if isinstance(error, TryAgain) else 0.0


def _give_up(what: str, error: TryAgain, attempts: int) -> CurationError:
    wish = f" and asks to wait {error.after:.0f} s" if error.after else ""
    return CurationError(
        ErrorCode.NETWORK_FAILED,
        f"{what}: it cannot be downloaded: {error}{wish} (tried {attempts} times without getting further)",
        hint="run it again later: what arrived is kept and resumed; without internet use --mirror DIR",
    )
