"""Recall: from a cue to hits with their reasons."""
