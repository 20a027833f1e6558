"""A long answer of the test server, for the first command that a newcomer tries."""

from typing import Any, Dict, Optional

STORY = """\
Once there was a lighthouse at the end of a long, flat spit of sand, and in it lived a keeper who had
never seen the sea by day. She slept while the gulls were loud, and woke when the first star was out.

Every night she climbed the hundred and twelve steps, wound the clock that turned the lens, and lit the
lamp. Every night the ships out there, which she knew by their bells alone, rang twice to thank her.

One evening the fog came in so thick that the light ended at the railing. She could not show the ships
the way, so she did the next best thing: she opened all the windows, sat down on the top step, and sang.

In the morning there were nine ships in the bay, and nine captains on the beach with bread and coffee.
"We followed the song," they said. She looked past them at the water, all blue, and laughed out loud.

(This is LocalServer, a test server with one story. It knows no other.)"""


def reply(request: Dict[str, Any]) -> Optional[str]:
    """The story, if the last content asks for it; otherwise None, and the test server's rules apply."""
    parts = request["contents"][-1].get("parts") or []
    asked = " ".join(str(part.get("text", "")) for part in parts).lower()
    return STORY if "story" in asked and "lighthouse" in asked else None
