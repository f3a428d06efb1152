"""The pictures of the documentation: the console's screens under a real incident."""
