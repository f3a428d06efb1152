"""The console, without a mesh."""
