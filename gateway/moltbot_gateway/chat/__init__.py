"""Turns: what happens between a message that was sent and its answer.

turns      the queue of each session, and one turn after the other
pace       how often a growing answer is told
context    what of a conversation the model gets
commands   what the gateway answers itself: stop words and slash commands
wire       shapes of messages and events on the wire
"""
