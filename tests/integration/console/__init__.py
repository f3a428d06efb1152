"""The console as people use it, and on a real bus."""
