"""The `kembar` command, a module per family of verbs."""
