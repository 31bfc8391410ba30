"""What `ThoughtMemory` is made of: statements, what holds of them, reading turns, and writing down what was decided."""
