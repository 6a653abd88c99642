"""What two agents do about a return: the returning node is repaired, and what only it had is judged on the primary."""
