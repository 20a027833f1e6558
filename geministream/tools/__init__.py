"""Python callables and types as a model sees them.

=================  ==================================================================
``functions``      a callable's declaration, and the answer to a call
``annotations``    annotations to kinds
``schema``         kinds: to JSON Schema, and from JSON values to Python values
``values``         Python values to JSON
``models``         classes that describe themselves, such as Pydantic's
``docstrings``     what a docstring says about each argument
=================  ==================================================================
"""
