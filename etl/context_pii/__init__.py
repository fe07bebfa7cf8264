"""Names and credentials that no pattern has: a token classifier over the few lines that may hold one."""
