"""The one error that is the user's to mend: what happened, where, and what to do next."""


class CurationError(Exception):
    """Raised where the input, the recipe or the machine is at fault, never for a bug.

    Parameters
    ----------
    message : str
        What happened and where; may hold several lines, one a problem.
    hint : str, optional
        What to do next. Shown on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the hint when the error crosses a process boundary."""
        return _rebuild, (self.message, self.hint)


def _rebuild(message: str, hint: str | None) -> CurationError:
    return CurationError(message, hint=hint)
