"""Floor 2: the ledger and the vector indexes, registered by entry point."""
