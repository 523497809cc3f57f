"""What a program that a tool started tries, and what comes of it."""
