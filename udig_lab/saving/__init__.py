"""Results as text, and back: strict JSON, and what may stand in it."""
