"""Measures the mesh on this machine, each figure beside the floor that the same run measured."""
