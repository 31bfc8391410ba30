"""Drawings for the screens: pure functions of data that give rich `Text`. Nothing here reads a memory.

What is told by colour is told by a letter, a pattern or an attribute too, and what others wrote is never obeyed.
"""
