"""What `make packages` does: the wheel, and Debian packages made of it. In no package itself."""
