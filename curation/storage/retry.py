"""Retries what may succeed later, for as long as there is progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from curation.errors import CurationError, ErrorCode

# A round of attempts that gained fewer bytes has failed, so that a server that sends single bytes is given up.
_GAIN_BYTES = 1 << 20

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to retry; times in seconds.

    Parameters
    ----------
    attempts : int
        Attempts in a round; a round that gained next to nothing is the last.
    first_pause, longest_pause : float
        Pauses double within a round, from the first to the longest, with random jitter of the same size.
    longest_wish : float
        The longest pause requested by a server (Retry-After) that is waited for.
    """

    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 15.0
    longest_wish: float = 300.0


class TransientError(Exception):
    """An attempt failed and may succeed later; `after` is the pause requested by the server, in seconds."""

    def __init__(self, reason: str, *, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


def retry_call(
    attempt: Callable[[], Answer], *, what: str, policy: RetryPolicy, gained: Callable[[], int] = lambda: 0
) -> Answer:
    """Call until it succeeds, raises anything but TransientError, or makes no more progress.

    Parameters
    ----------
    attempt : callable
    what : str
        The name of the work, for the error.
    policy : RetryPolicy
    gained : callable, optional
        Returns the number of bytes so far.

    Raises
    ------
    CurationError
        A round of attempts gained nothing, or the server requests too long a pause; with the last failure.
    """

    def is_worth_it(error: BaseException) -> bool:
        return isinstance(error, TransientError) and error.after <= policy.longest_wish

    backoff = tenacity.wait_exponential(multiplier=policy.first_pause, max=policy.longest_pause)
    jitter = tenacity.wait_random_exponential(multiplier=policy.first_pause, max=policy.longest_pause)

    def pause(state: tenacity.RetryCallState) -> float:
        return max(_wish(state), backoff(state) + jitter(state))

    while True:
        before = gained()
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_it),
            stop=tenacity.stop_after_attempt(policy.attempts),
            wait=pause,
            reraise=True,
        )
        try:
            return tries(attempt)
        except TransientError as error:
            if not is_worth_it(error) or gained() - before < _GAIN_BYTES:
                raise _give_up(what, error, tries.statistics["attempt_number"]) from error


def _wish(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.after if isinstance(error, TransientError) else 0.0


def _give_up(what: str, error: TransientError, attempts: int) -> CurationError:
    wish = f" and asks to wait {error.after:.0f} s" if error.after else ""
    return CurationError(
        ErrorCode.NETWORK_FAILED,
        f"{what}: it cannot be downloaded: {error}{wish} (tried {attempts} times without getting further)",
        hint="Run it again later: what arrived is kept and resumed; without internet use --mirror DIR.",
    )
