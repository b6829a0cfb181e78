"""Samples in, numbers out, each with the card that says how it was made."""
