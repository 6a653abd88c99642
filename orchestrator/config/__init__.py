"""YAML files to validated models, with every mistake reported at once."""
