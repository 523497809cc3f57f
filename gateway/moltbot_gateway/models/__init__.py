"""Models: what a turn asks for and gets, whoever answers. The adapters stand beside this; nothing else imports a provider's client.

base       request, events, the Protocol that adapters keep to
failure    everything that can go wrong with an answer, in words for a person
claude     Claude, by the Anthropic SDK (imported late), with `claude_failures` for its errors
demo       the offline model
unset      no model: says what is missing
"""
