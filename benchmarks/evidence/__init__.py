"""The evidence: trained runs and exact denoisers, a ledger of what was found, and tables made from its lines (PROTOCOL.md)."""
