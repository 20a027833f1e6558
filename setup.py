import re

from setuptools import setup

# Everything else is in setup.cfg. The version is read as text: setup.cfg's own "attr:" imports the
# package on the setuptools of Python 3.8, and the package needs requests, which a build has not got.
with open("geministream/_version.py", encoding="utf-8") as file:
    version = re.search(r'__version__ = "([^"]+)"', file.read()).group(1)

setup(version=version)
