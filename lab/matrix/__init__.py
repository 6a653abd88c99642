"""The fault matrix on a real lab: one row a fault, each with what must come of it."""
