"""Status changes as they happen, over WebSocket and as server-sent events."""
