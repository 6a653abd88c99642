"""ZooKeeper for both sides. No kazoo type leaves this folder."""
