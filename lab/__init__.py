"""A whole Kembar cluster on one machine, from real servers in network namespaces."""
