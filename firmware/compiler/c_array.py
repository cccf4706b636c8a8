"""Writes a model as a C++ array, the form in which TFLite Micro takes it."""

from collections.abc import Sequence
from typing import Final

BYTES_A_LINE: Final = 16


def write_model_cc(content: bytes, *, classes: Sequence[str], source: str) -> str:
    """Return ``model.cc``: the int8 model as an aligned array, its length, and its labels.

    Parameters
    ----------
    content : bytes
        A ``.tflite`` file.
    classes : sequence of str
        In the order of the outputs.
    source : str
        The version and the run it comes from, for the comment at the top.
    """
    rows = [content[start : start + BYTES_A_LINE] for start in range(0, len(content), BYTES_A_LINE)]
    body = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    labels = ", ".join(f'"{_escape(name)}"' for name in classes)
    return (
        f"// {_escape(source)}\n// Generated. Not a medical device.\n"
        "// Aligned: an interpreter reads 32-bit values in place.\n"
        f"alignas(16) extern const unsigned char g_model[] = {{\n{body}\n}};\n"
        f"extern const int g_model_len = {len(content)};\n"
        f"extern const int g_label_count = {len(classes)};\n"
        f"extern const char *const g_labels[] = {{{labels}}};\n"
    )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
