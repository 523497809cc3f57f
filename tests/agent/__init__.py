"""The assistant through its public edge: a sealed WebSocket, the strict fake of the Messages API, real files, real processes."""
