"""The only wing that knows requests: it sends a request and returns a reply whose body is still to come.

==============  =====================================================================
``patience``    deadline, cancel and timeouts; the socket that waits for them
``secrets``     the credentials that went out, and how they stay out of errors
``sending``     one request on its way, and how its connection learns of it
``response``    http.client's response, made strict
``connection``  urllib3's connections, which know their call
``sessions``    requests' sessions and pools that make these connections
``origin``      where requests and credentials may go
``failures``    which error it is if there was no answer
``reply``       a response: headers first, then the body as it arrives
``call``        puts these together and sends
``retry``       whether to send again, and when
==============  =====================================================================
"""

from .call import Call
from .reply import Reply
from .retry import Attempts, is_retryable
from .secrets import error_chain
from .sessions import new_session

__all__ = ["Attempts", "Call", "Reply", "error_chain", "is_retryable", "new_session"]
