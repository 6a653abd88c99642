"""The agent of one database host: fences, promotes and watches its mysqld."""
