"""Which license governs each file, and what says so."""
