"""What a test asserts of an error: its code and the facts in its message, not the words between them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from curation.errors import CurationError, ErrorCode


@contextmanager
def fails_with(code: ErrorCode, *facts: object) -> Iterator[pytest.ExceptionInfo[CurationError]]:
    """Expect an error of this code whose message contains these facts."""
    with pytest.raises(CurationError) as caught:
        yield caught
    assert caught.value.code == code, caught.value
    for fact in facts:
        assert str(fact) in caught.value.message
