"""What is wrong with a memory, in a user's words, and how to put it right. Checks that a screen or a command shows."""
