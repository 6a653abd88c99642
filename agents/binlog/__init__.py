"""The binary log of a dead mysqld: read, kept as evidence, and cut where its unacknowledged tail begins."""
