"""Exports a version in the formats of other tools, one module per format, and imports the datasets of other tools.

An export contains what was published: every image byte for byte, checked against the manifest while it is copied. The
same version always gives the same bytes.
"""

from curation.exports.export import FORMATS, Exported, Format, export
from curation.exports.import_dataset import LAYOUTS, ImportedDataset, Layout, import_dataset

__all__ = ["FORMATS", "LAYOUTS", "Exported", "Format", "ImportedDataset", "Layout", "export", "import_dataset"]
