"""Serial ports: the one module that uses pyserial, and explains what can go wrong with a port."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from typing import Protocol

from curation.errors import CurationError, ErrorCode

BAUD = 115_200
"""USB ignores the baud rate; a serial adapter does not."""

_WAIT_SECONDS = 0.1
_WRITE_SECONDS = 5.0


class Port(Protocol):
    """A connection to a board: bytes in both directions."""

    @property
    def name(self) -> str:
        """The name that users know it by."""

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes that have arrived, waiting for the first one up to the timeout; empty where none came."""

    def write(self, content: bytes) -> None:
        """Send all bytes."""

    def close(self) -> None:
        """Close the port."""


@dataclass(frozen=True)
class PortFound:
    """A serial port of this machine.

    Parameters
    ----------
    name : str
        The name to open: "/dev/ttyACM0", "COM3".
    description : str
        The device, as the operating system describes it.
    likely : bool
        Whether it is probably a board: Arduino's USB vendor, or any USB device on Linux's ttyACM.
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
    """A serial port of the operating system: a board on USB, an adapter, or a pseudo-terminal."""

    def __init__(self, name: str) -> None:
        from serial import Serial

        self._name = name
        try:
            self._serial = Serial(name, BAUD, timeout=_WAIT_SECONDS, write_timeout=_WRITE_SECONDS, exclusive=True)
        except (OSError, ValueError) as fault:
            raise _explain_opening(name, fault) from fault

    @property
    def name(self) -> str:
        """The name that users know it by."""
        return self._name

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes that have arrived, waiting for the first one up to the timeout.

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
        """Send all bytes.

        Raises
        ------
        CurationError
            The board was unplugged, or accepts nothing for five seconds.
        """
        from serial import SerialTimeoutException

        try:
            self._serial.write(content)
        except SerialTimeoutException as fault:
            raise CurationError(
                ErrorCode.BOARD_SILENT,
                f"{self._name}: the board accepts no data",
                hint="Press its reset button, or plug it in again.",
            ) from fault
        except OSError as fault:
            raise _unplugged(self._name) from fault

    def close(self) -> None:
        """Close the port; that of an unplugged board is closed already."""
        try:
            self._serial.close()
        except OSError:
            return


def _unplugged(name: str) -> CurationError:
    return CurationError(
        ErrorCode.BOARD_GONE,
        f"{name}: the board was unplugged, or is restarting",
        hint="Plug it in again with a USB data cable, then repeat the command. Charge-only cables do not work.",
    )


def _explain_opening(name: str, fault: OSError | ValueError) -> CurationError:
    number = getattr(fault, "errno", None)
    text = str(fault).lower()
    if number == errno.EACCES or "permission denied" in text or "access is denied" in text:
        return CurationError(
            ErrorCode.PERMISSION_DENIED,
            f"{name}: permission denied",
            hint="On Linux, add yourself to the group that may use serial ports (`sudo usermod -aG dialout $USER`) and "
            "log in again. On Windows, close the program that uses the port.",
        )
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        return CurationError(
            ErrorCode.PORT_BUSY,
            f"{name}: another program uses the port",
            hint="Close the serial monitor of the Arduino IDE, or the other window.",
        )
    known = ", ".join(port.name for port in list_ports()) or "none"
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "filenotfound" in text:
        return CurationError(ErrorCode.PORT_MISSING, f"{name}: no such port", hint=f"Ports of this machine: {known}.")
    return CurationError(
        ErrorCode.PORT_MISSING, f"{name}: cannot be opened as a serial port", hint=f"Ports of this machine: {known}."
    )
