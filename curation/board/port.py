"""Serial ports: the one module that knows pyserial, and the faults of a plug, a right or a name in plain words."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from typing import Protocol

from curation.errors import CurationError

BAUD = 115_200
"""USB ignores it; a serial adapter does not."""

_WAIT_SECONDS = 0.1
_WRITE_SECONDS = 5.0


class Port(Protocol):
    """A way to a board: bytes there and back."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def read(self, timeout_s: float) -> bytes:
        """Return what has come, waiting for the first byte at most so long; empty where none came."""

    def write(self, content: bytes) -> None:
        """Send all of it."""

    def close(self) -> None:
        """Let the port go."""


@dataclass(frozen=True)
class PortFound:
    """A serial port of this machine.

    Parameters
    ----------
    name : str
        What to open: "/dev/ttyACM0", "COM3".
    description : str
        What the operating system says is plugged in there.
    likely : bool
        Whether it looks like a board: an Arduino's USB vendor, or any USB device on Linux's ttyACM.
    """

    name: str
    description: str
    likely: bool


_ARDUINO_VENDOR = 0x2341


def list_ports() -> tuple[PortFound, ...]:
    """Return the serial ports of this machine, likely boards first, then by name."""
    from serial.tools.list_ports import comports

    found = [
        PortFound(
            name=str(port.device),
            description=str(port.description or ""),
            likely=port.vid == _ARDUINO_VENDOR or "ttyACM" in str(port.device),
        )
        for port in comports()
    ]
    return tuple(sorted(found, key=lambda port: (not port.likely, port.name)))


class SerialPort:
    """A port of the operating system: a board on USB, an adapter, or a pseudo-terminal."""

    def __init__(self, name: str) -> None:
        from serial import Serial

        self._name = name
        try:
            self._serial = Serial(name, BAUD, timeout=_WAIT_SECONDS, write_timeout=_WRITE_SECONDS, exclusive=True)
        except (OSError, ValueError) as fault:
            raise _explain_opening(name, fault) from fault

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self._name

    def read(self, timeout_s: float) -> bytes:
        """Return what has come, waiting for the first byte at most so long.

        Raises
        ------
        CurationError
            The board was unplugged.
        """
        end = time.monotonic() + timeout_s
        try:
            while True:
                first = bytes(self._serial.read(1))
                if first:
                    return first + bytes(self._serial.read(self._serial.in_waiting))
                if time.monotonic() >= end:
                    return b""
        except (OSError, TypeError) as fault:  # pyserial's own errors are OSErrors; a port closed below it gives either
            raise _unplugged(self._name) from fault

    def write(self, content: bytes) -> None:
        """Send all of it.

        Raises
        ------
        CurationError
            The board was unplugged, or takes nothing for five seconds.
        """
        from serial import SerialTimeoutException

        try:
            self._serial.write(content)
        except SerialTimeoutException as fault:
            raise CurationError(
                f"{self._name}: the board takes nothing", hint="press its reset button, or plug it in again"
            ) from fault
        except OSError as fault:
            raise _unplugged(self._name) from fault

    def close(self) -> None:
        """Let the port go; one whose plug is out is gone already."""
        try:
            self._serial.close()
        except OSError:
            return


def _unplugged(name: str) -> CurationError:
    return CurationError(
        f"{name}: the board is gone: unplugged, or restarting",
        hint="plug it in again (a cable that only charges carries no words), then run this again",
    )


def _explain_opening(name: str, fault: OSError | ValueError) -> CurationError:
    number = getattr(fault, "errno", None)
    text = str(fault).lower()
    if number == errno.EACCES or "permission denied" in text or "access is denied" in text:
        return CurationError(
            f"{name}: permission denied",
            hint="on Linux the group `dialout` may use serial ports: `sudo usermod -aG dialout $USER`, then log in "
            "again; on Windows another program holds the port",
        )
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        return CurationError(
            f"{name}: another program holds the port",
            hint="close the Arduino IDE's serial monitor, or the other window",
        )
    known = ", ".join(port.name for port in list_ports()) or "none is plugged in"
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "filenotfound" in text:
        return CurationError(f"{name}: there is no such port", hint=f"ports of this machine: {known}")
    return CurationError(f"{name}: cannot be opened as a serial port", hint=f"ports of this machine: {known}")
