"""The language both sides share: values, arithmetic, rules. No clock, randomness or I/O."""
