"""Trained states in, numbers out, each with the card that says how it was measured. One file a metric."""
