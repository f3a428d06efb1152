"""What is served: one module for each kind of resource."""
