"""What the services agree on: channels, lifecycle, messages, subjects, topology, tables, problems, settings."""
