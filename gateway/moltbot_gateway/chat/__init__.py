"""Turns: what happens between a message that was sent and its answer.

turns        the queue of each session, and one turn after the other
queueing     what becomes of messages that come meanwhile
turn         one turn: step after step, until it has an answer
requests     what the model is asked at a step; context what of the conversation it gets
asking       one step: what comes is told and kept
rounds       the calls of one step; calls how one is carried out
ending       how a turn ends
compaction   a summary for what no longer fits
ledger       what it costs, and the day's limits
pace         how often a growing answer is told
commands     what the gateway answers itself: stop words and slash commands
wire         shapes of messages and events on the wire; blocks those of what was said
"""
