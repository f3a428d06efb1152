"""The services that carry notifications out of the mesh, one module each."""
