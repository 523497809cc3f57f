"""The assistant's own files: the workspace, its memory, its skills, and the prompt that is made of them.

What stands in the workspace was written by the assistant's tools, so it is hostile input: every file is opened through `beneath`.
"""
