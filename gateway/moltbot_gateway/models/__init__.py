"""Models: what a turn asks for and gets, whoever answers. The adapters stand beside this; nothing else imports a provider's client.

base               request, events, the Protocol that adapters keep to
failure            everything that can go wrong with an answer, in words for a person
provider_failures  what providers say when they fail, translated for every adapter
connection         how a provider is reached, and how long it is waited for
retrying           when a request that failed is sent again
facts              windows, prices and abilities by name
claude             Claude, by the Anthropic SDK (imported late); `claude_body` the request, `claude_answer` the stream
openai             what speaks chat completions, over aiohttp; `openai_body` the request, `openai_answer` the stream
fallback           which model answers while another cannot
building           the one model of a process, made of its settings
demo               the offline model
unset              no model: says what is missing
"""
