"""Pixels: sniffing file types, decoding to upright sRGB, quality measures, rendering, and the camera's view."""

from curation.images.area import area_average
from curation.images.camera import (
    FRAME_SIDE,
    INPUT_SCALE,
    INPUT_ZERO_POINT,
    area_average_144,
    box_3_2,
    box_3_3,
    camera_view,
    center_square,
    from_rgb565,
    to_rgb565,
    to_tensor,
)
from curation.images.decoding import ImageReader, decode, read_header
from curation.images.dicom import read_dicom_tags
from curation.images.jpeg_segments import hash_coded_image
from curation.images.quality import Quality, gray32, gray32_batch, gray64_batch, measure, measure_batch
from curation.images.rendering import RenderSettings, Step, encode, render
from curation.images.sniffing import SNIFF_BYTES, sniff
from curation.images.transforms import apply_color_constancy, crop_border, soften
from curation.images.types import DecodedImage, DecodeFailure, Header, Tone, Window

__all__ = [
    "FRAME_SIDE",
    "INPUT_SCALE",
    "INPUT_ZERO_POINT",
    "SNIFF_BYTES",
    "DecodeFailure",
    "DecodedImage",
    "Header",
    "ImageReader",
    "Quality",
    "RenderSettings",
    "Step",
    "Tone",
    "Window",
    "apply_color_constancy",
    "area_average",
    "area_average_144",
    "box_3_2",
    "box_3_3",
    "camera_view",
    "center_square",
    "crop_border",
    "decode",
    "encode",
    "from_rgb565",
    "gray32",
    "gray32_batch",
    "gray64_batch",
    "hash_coded_image",
    "measure",
    "measure_batch",
    "read_dicom_tags",
    "read_header",
    "render",
    "sniff",
    "soften",
    "to_rgb565",
    "to_tensor",
]
