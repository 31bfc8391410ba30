"""The parts that screens are made of. None of them knows a ledger: each is given what it shows, or how to read it."""
