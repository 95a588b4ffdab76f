"""What scores are worth: erasure and its metrics, bounds, sanity checks, and the statistics that decide."""
