"""Parsing of bytes into JSON values, without I/O and independent of Gemini.

=================  ==================================================================
``body``           chunked transfer coding and compression
``framing``        server-sent events, JSON arrays and JSON lines, and their detection
``json_values``    JSON values in text that arrives in pieces
=================  ==================================================================
"""
