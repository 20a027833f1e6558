"""Python callables and types as a model sees them.

=================  ==================================================================
``functions``      a callable's declaration, and how a call of it is answered
``schema``         Python types to JSON Schema, and JSON values to these types
``docstrings``     what a docstring says about each argument
=================  ==================================================================
"""
