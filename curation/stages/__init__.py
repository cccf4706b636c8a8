"""The steps from raw files to chosen samples: each from manifest to manifest, none importing another."""
