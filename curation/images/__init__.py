"""Pixels: what a file really is, decoding to upright sRGB, raw quality values, rendering, and the camera's view."""

from curation.images.area import area_average
from curation.images.camera import (
    FRAME_SIDE,
    INPUT_SCALE,
    INPUT_ZERO_POINT,
    area_average_144,
    box_3_2,
    box_3_3,
    camera_view,
    centre_square,
    from_rgb565,
    to_rgb565,
    to_tensor,
)
from curation.images.decoding import decode, read_header
from curation.images.quality import Quality, grey32, grey32_together, measure, measure_together
from curation.images.rendering import RenderSettings, Step, encode, render
from curation.images.sniffing import SNIFF_BYTES, sniff
from curation.images.transforms import crop_border, even_colours, soften
from curation.images.types import DecodeFailure, Header, Picture, Tone, Window

__all__ = [
    "FRAME_SIDE",
    "INPUT_SCALE",
    "INPUT_ZERO_POINT",
    "SNIFF_BYTES",
    "DecodeFailure",
    "Header",
    "Picture",
    "Quality",
    "RenderSettings",
    "Step",
    "Tone",
    "Window",
    "area_average",
    "area_average_144",
    "box_3_2",
    "box_3_3",
    "camera_view",
    "centre_square",
    "crop_border",
    "decode",
    "encode",
    "even_colours",
    "from_rgb565",
    "grey32",
    "grey32_together",
    "measure",
    "measure_together",
    "read_header",
    "render",
    "sniff",
    "soften",
    "to_rgb565",
    "to_tensor",
]
