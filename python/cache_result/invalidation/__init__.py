"""The signal lane: from a model's change to new generations."""
