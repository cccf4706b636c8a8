"""Review: what was ever ingested, in the FiftyOne App, with decisions that go straight to the ledger."""
