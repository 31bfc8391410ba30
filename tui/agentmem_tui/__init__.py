"""Floor 4: the terminal screens. None is here yet; this floor is the only one that may import textual."""
