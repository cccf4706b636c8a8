"""A version leaves in the formats that other tools read, one module a format; and foreign sets come in.

What leaves is what was published: every picture byte for byte, checked against the manifest while it is copied. The
same version always gives the same bytes.
"""

from curation.exports.export import FORMATS, Exported, Format, export
from curation.exports.import_dataset import LAYOUTS, ImportedDataset, Layout, import_dataset

__all__ = ["FORMATS", "LAYOUTS", "Exported", "Format", "ImportedDataset", "Layout", "export", "import_dataset"]
