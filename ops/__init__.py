"""How services run: the tocsin command, the service runtime, the embedded stack, the sandbox, the bench."""
