"""From bytes to JSON values: no I/O, and nothing of HTTP or of Gemini.

=================  ==================================================================
``body``           the bytes of a body, out of its chunks and its compression
``framing``        server-sent events, JSON arrays and JSON lines; which one it is
``json_values``    JSON values out of text that arrives in pieces
=================  ==================================================================
"""
