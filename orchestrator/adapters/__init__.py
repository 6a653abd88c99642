"""What is reached through libraries that no daemon needs."""
