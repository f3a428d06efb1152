"""What the gateway offers, as OpenAPI and AsyncAPI documents made from the code."""
