"""Retrieval benchmarks without a language model."""
