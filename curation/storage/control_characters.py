r"""Shows text from outside (file names, archives, a board) so that a terminal does not interpret it."""


def show_lines(text: str) -> str:
    r"""Return text with its control characters spelled out as Python escapes; line ends stay.

    >>> show_lines("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\nc'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


def strip_line(text: str) -> str:
    r"""Return text as one line of printable characters, with single spaces for all others.

    >>> strip_line(" a\x1b\n  b")
    'a b'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def show_line(text: str) -> str:
    r"""Return text as one line, with all of its control characters spelled out, line ends included.

    >>> show_line("a\nb")
    'a\\nb'
    """
    return show_lines(text).replace("\n", r"\n")
