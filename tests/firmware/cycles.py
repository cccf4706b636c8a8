"""Counts the cycles of the compiled loops that read a line of the sensor: a small Cortex-M4 with the sensor's signals.

``python -m tests.firmware.cycles`` prints how long the loops take, and up to which delay a line is right.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.firmware.builds import FIRMWARE

CYCLE_NS = 1000 / 64
BYTE, HIGH_FROM = 64, 32  # in cycles at 64 MHz: a byte takes a microsecond, and the clock is high in its second half
PORT_0, PORT_1, IN = 0x50000000, 0x50000300, 0x510
HREF, PCLK = 1 << 5, 1 << 4
SKIPPED, KEPT = 112, 1056
LOAD_PORT, LOAD, STORE, TAKEN = 5, 2, 2, 3
"""Cycles of a read of a port, of memory, of a write, and of a branch that is taken. The manual has 2, 2, 1 and 2 to 4.

The read of a port includes wait states of the bus.
"""
WAIT_STATES = 2
"""Of the flash for each word that is not in the cache."""
FLAGS = ("-std=gnu++14", "-fno-rtti", "-fno-exceptions", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16")
MORE_FLAGS = ("-mfloat-abi=softfp", "-Os", "-funsigned-char", "-ffunction-sections")


@dataclass(frozen=True)
class Instruction:
    """One line of the disassembly."""

    name: str
    operands: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Code:
    """A function: its instructions and its constants, by address."""

    instructions: dict[int, Instruction]
    words: dict[int, int]


def compile_capture(folder: Path) -> Code:
    """Compile the driver's file with Arduino's flags and disassemble the function that reads a line."""
    sketch = FIRMWARE / "arduino" / "detector"
    command = ["arm-none-eabi-g++", *FLAGS, *MORE_FLAGS, f"-I{FIRMWARE / 'arduino' / 'mocks'}"]
    subprocess.run([*command, "-c", sketch / "line_capture.cpp", "-o", folder / "capture.o"], check=True)
    dump = ["arm-none-eabi-objdump", "-d", folder / "capture.o"]
    text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    body = text.split("line_capture4readEPh>:\n", 1)[1].split("\n\nDisassembly", 1)[0]
    instructions, words = {}, {}
    for line in body.splitlines():
        found = re.match(r"\s*([0-9a-f]+):\t([0-9a-f ]+?)\s*\t(\S+)(?:\t([^@<;]*))?", line)
        if found is None:
            continue
        at, name = int(found[1], 16), found[3]
        if name == ".word":
            words[at] = int(found[4], 16)
        else:
            split = tuple(
                part.strip() for part in re.split(r",\s*(?![^\[]*\])", (found[4] or "").strip()) if part.strip()
            )
            instructions[at] = Instruction(name, split, len(found[2].replace(" ", "")) // 2)
    return Code(instructions, words)


@dataclass
class Core:
    """The state of a run.

    Parameters
    ----------
    code : Code
    cached : bool
        Whether the instruction cache is on.
    line_at : int
        The cycle at which HREF rises.
    late : int
        Cycles that pass between the poll that sees HREF and the next instruction.
    """

    code: Code
    cached: bool
    line_at: int
    late: int = 0
    cycle: int = 0
    polls: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=lambda: {"r0": 0x20000000, "sp": 0x20001000, "lr": 0, "r4": 0})
    negative: bool = False
    zero: bool = False
    fetched: set[int] = field(default_factory=set)
    last_word: int = -1

    def read_port(self, address: int) -> int:
        """Return what a port shows at the current cycle."""
        since = self.cycle - self.line_at
        place, phase = divmod(since, BYTE)
        in_line = 0 <= place < 1280
        if address == PORT_1 + IN:
            value = byte_at(place) if in_line else 0
            return (value & 0xFC) << 8 | (value & 3) << 2
        if in_line:
            self.polls.append(self.cycle)
        return (HREF if in_line else 0) | (PCLK if in_line and phase >= HIGH_FROM else 0)

    def fetch(self, at: int) -> None:
        """Wait for the flash where the next instruction begins in a word that has to be read."""
        for word in range(at // 4, (at + self.code.instructions[at].size - 1) // 4 + 1):
            known = word in self.fetched if self.cached else word == self.last_word
            self.cycle += 0 if known else WAIT_STATES
            self.fetched.add(word)
            self.last_word = word

    def value(self, operand: str) -> int:
        """Return a register or a constant."""
        return int(operand[1:], 0) if operand.startswith("#") else self.registers[operand]

    def set(self, register: str, value: int, *, flags: bool = False) -> None:
        """Write a register, and the flags where the instruction does."""
        value &= 0xFFFFFFFF
        if flags:
            self.negative, self.zero = bool(value >> 31), value == 0
        self.registers[register] = value


def byte_at(place: int) -> int:
    """Return the byte of a line that the sensor sends at a place."""
    return (place * 7 + place // 3) & 0xFF


def run(core: Core, *, stop_after: int = KEPT) -> Core:
    """Run until the function returns, or has stored so many bytes."""
    at, seen_line = 0, False
    while len(core.stored) < stop_after and core.cycle < 200_000:
        core.fetch(at)
        instruction = core.code.instructions[at]
        following = at + instruction.size
        target = step(core, instruction, at)
        if not seen_line and core.polls:
            seen_line = True
            core.cycle += core.late
        if target is None:
            return core
        at = following if target < 0 else target
    return core


_CONDITIONS: dict[str, Callable[[Core], bool]] = {
    "beq": lambda core: core.zero,
    "bne": lambda core: not core.zero,
    "bpl": lambda core: not core.negative,
    "bmi": lambda core: core.negative,
    "b": lambda core: True,
}


def step(core: Core, instruction: Instruction, at: int) -> int | None:
    """Run one instruction; return where to jump, -1 for the next one, or None at the return of the function."""
    name, operands = re.sub(r"\.[nw]$", "", instruction.name), instruction.operands
    if name in _CONDITIONS:
        taken = _CONDITIONS[name](core)
        core.cycle += TAKEN if taken else 1
        if taken:
            core.last_word = -1
        return int(operands[0].split()[0], 16) if taken else -1
    if name == "bx":
        return None
    if name in ("push", "pop"):
        core.cycle += 2
    elif name == "ldr":
        load(core, operands, at)
    elif name in ("strb",):
        core.stored.append(core.registers[operands[0]] & 0xFF)
        core.cycle += STORE
        if len(operands) == 3:
            core.set(operands[1].strip("[]"), core.registers[operands[1].strip("[]")] + core.value(operands[2]))
    else:
        core.cycle += 1
        compute(core, name, operands)
    return -1


def load(core: Core, operands: tuple[str, ...], at: int) -> None:
    """Read a port, a constant behind the function, or the stack."""
    inside = operands[1].strip("[]").split(",")
    if inside[0] == "pc":
        core.set(operands[0], core.code.words[(at + 4) // 4 * 4 + core.value(inside[1].strip())])
        core.cycle += LOAD + (0 if core.cached else WAIT_STATES)
    elif inside[0] == "sp":
        core.cycle += LOAD
    else:
        core.cycle += LOAD_PORT - 1
        core.set(operands[0], core.read_port(core.registers[inside[0]] + core.value(inside[1].strip())))
        core.cycle += 1


def compute(core: Core, name: str, operands: tuple[str, ...]) -> None:
    """Run an instruction between registers."""
    flags, plain = name.endswith("s") or name in ("cmp", "tst"), name.removesuffix("s") if name != "cmp" else name
    values = [core.value(operand) for operand in operands[1:]]
    first = core.registers.get(operands[0], 0)
    both = values if len(values) > 1 else [first, *values]
    results: dict[str, Callable[[], int]] = {
        "mov": lambda: values[0],
        "add": lambda: both[0] + both[1],
        "sub": lambda: both[0] - both[1],
        "cmp": lambda: first - values[0],
        "tst": lambda: first & values[0],
        "and": lambda: both[0] & both[1],
        "orr": lambda: both[0] | both[1],
        "bic": lambda: both[0] & ~both[1],
        "lsl": lambda: both[0] << both[1],
        "lsr": lambda: both[0] >> both[1],
        "ubfx": lambda: values[0] >> values[1] & ((1 << values[2]) - 1),
    }
    if plain not in results:
        raise NotImplementedError(f"{name} {', '.join(operands)}: teach this instruction to tests/firmware/cycles.py")
    scratch = "nothing" if plain in ("cmp", "tst") else operands[0]
    core.set(scratch, results[plain](), flags=flags)


@dataclass(frozen=True)
class Timing:
    """The loops' times in nanoseconds, the worst of all phases.

    Parameters
    ----------
    exit_ns : float
        From the rise of HREF to the first poll of the clock.
    poll_ns : float
        The longest time between two polls.
    wrong : int
        Lines with a wrong byte.
    holds_ns : float
        The longest time from the rise of HREF to the first poll of the clock with which every line is still right.
    """

    exit_ns: float
    poll_ns: float
    wrong: int
    holds_ns: float


def is_right(core: Core) -> bool:
    """Return whether the bytes stored so far are those of the center of the line."""
    return core.stored == [byte_at(SKIPPED + place) for place in range(len(core.stored))] and bool(core.stored)


def measure(code: Code, *, cached: bool, phases: int = 32, delay_step: int = 1, stop_after: int = 24) -> Timing:
    """Run with HREF at different phases of the loop that waits for it, and with longer and longer delays after it."""
    runs = [run(Core(code, cached, 400 + phase), stop_after=stop_after) for phase in range(phases)]
    exits = [core.polls[1] - core.line_at for core in runs]
    gaps = [later - sooner for core in runs for sooner, later in zip(core.polls[1:], core.polls[2:], strict=False)]
    holds = max(exits)
    for late in range(1, BYTE, delay_step):
        delayed = [run(Core(code, cached, 400 + phase, late), stop_after=stop_after) for phase in range(0, phases, 4)]
        if not all(map(is_right, delayed)):
            break
        holds = max(holds, *(core.polls[1] - core.line_at for core in delayed))
    wrong = sum(not is_right(core) for core in runs)
    return Timing(max(exits) * CYCLE_NS, max(gaps) * CYCLE_NS, wrong, holds * CYCLE_NS)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        code = compile_capture(Path(folder))
    print(
        f"{'cache':<6} {'HREF to first poll':>18} {'between polls':>14} {'wrong lines of 32':>18} {'right up to':>12}"
    )
    for cached in (True, False):
        timing = measure(code, cached=cached)
        print(
            f"{'on' if cached else 'off':<6} {timing.exit_ns:>15,.0f} ns {timing.poll_ns:>11,.0f} ns "
            f"{timing.wrong:>18} {timing.holds_ns:>9,.0f} ns"
        )


if __name__ == "__main__":
    main()
