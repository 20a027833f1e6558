"""What the tests of the command line share."""

from support import program

here, server = program.here, program.server
