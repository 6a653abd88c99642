"""What people and machines see of a pair: page, API, metrics."""
