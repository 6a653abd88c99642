"""What every daemon needs of its host: clocks, logging, threads that may not die unseen."""
