"""Review of all ingested files in the FiftyOne App; decisions are written to the ledger at once."""
