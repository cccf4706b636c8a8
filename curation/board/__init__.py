"""The board on a serial port: its scores and frames, images sent to it, and collecting what its camera sees."""

from curation.board.bring_up import BringUp, Fact, list_facts, write_page
from curation.board.client import Board, open_board
from curation.board.collecting import Collected, collect
from curation.board.frames import Frame, encode_png, prepare_frame, read_frame
from curation.board.messages import BoardVersion, Golden, Scores, SelfTest, Timing
from curation.board.port import Port, PortFound, SerialPort, list_ports

__all__ = [
    "Board",
    "BoardVersion",
    "BringUp",
    "Collected",
    "Fact",
    "Frame",
    "Golden",
    "Port",
    "PortFound",
    "Scores",
    "SelfTest",
    "SerialPort",
    "Timing",
    "collect",
    "encode_png",
    "list_facts",
    "list_ports",
    "open_board",
    "prepare_frame",
    "read_frame",
    "write_page",
]
