"""Sessions and connection pools that create the connections of `connection`.

requests still opens the connections, with its usual behaviour (proxies, certificates, sessions,
adapters).  Pools of our sessions and of the user's own sessions get our connection classes.
Other pools (recorders, mocks, Unix sockets, other HTTP libraries) are not changed.
"""

import os
from functools import lru_cache
from typing import Any
from urllib.request import getproxies_environment

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from .._version import __version__
from .connection import sends_as_urllib3_does, watched
from .sending import current


def new_session(connections: int = 10) -> requests.Session:
    """Return a requests session with our adapter and User-Agent; the caller must close it.

    :param connections: the number of connections that it keeps open; default 10, as in requests.
    """
    session: requests.Session = _quick(requests.Session)()
    session.headers["User-Agent"] = f"geministream/{__version__} {requests.utils.default_user_agent()}"
    adapter = _Adapter(pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


@lru_cache(maxsize=16)
def _quick(base: Any) -> Any:
    """Return a session class that looks for the proxies of the environment only if it may have some.

    requests reads the entire environment twice for each request, a sixth of the request's time.
    ``base`` is looked up at each call: some packages replace ``requests.Session``.
    """

    class Quick(base):  # type: ignore[misc]
        def merge_environment_settings(self, url: str, *args: Any, **kwargs: Any) -> Any:
            # requests looks for the proxies of a host; an empty URL has none.
            return super().merge_environment_settings(url if _may_have_proxies() else "", *args, **kwargs)

    return Quick


def _may_have_proxies() -> bool:
    """Whether requests would find proxies; Windows and macOS have some outside the environment."""
    if getattr(requests.utils, "getproxies", None) is not getproxies_environment:
        return True
    return b"_proxy" in b"\n".join(os.environb).lower()


class _Adapter(HTTPAdapter):
    """requests' adapter with pools that create our connections."""

    def close(self) -> None:
        # urllib3 closes connections when their pools are garbage collected, which never happens
        # while a program keeps an exception that refers to them.
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            pools = manager.pools
            for key in pools.keys() if hasattr(pools, "keys") else ():
                pool = pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        return _watch(super().get_connection_with_tls_context(*args, **kwargs))

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        return _watch(super().get_connection(*args, **kwargs))

    def request_url(self, request: Any, proxies: Any) -> str:
        url: str = super().request_url(request, proxies)
        sending = current()
        if sending is None or not (sending.hides_query and sending.watched):
            return url
        url, mark, query = url.partition("?")
        sending.query = mark + query
        return url


def watch_adapter(adapter: Any, prepared: Any, session: Any) -> None:
    """Make the pool for this request create our connections."""
    if not isinstance(adapter, HTTPAdapter) or isinstance(adapter, _Adapter):
        return  # our own adapter does this itself
    settings = session.merge_environment_settings(prepared.url, {}, True, None, None)
    pool: Any
    try:
        if hasattr(adapter, "get_connection_with_tls_context"):  # requests 2.32
            pool = adapter.get_connection_with_tls_context(
                prepared, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
            )
        else:
            pool = adapter.get_connection(prepared.url, settings["proxies"])
    except (requests.RequestException, HTTPError, OSError, ValueError):
        return  # send() raises the same error, which is handled there
    _watch(pool)


def _watch(pool: Any) -> Any:
    kind: Any = type(pool)
    plain = getattr(pool, "ConnectionCls", None)
    sending = current()
    if sending is not None and _makes_what_it_says(pool) and sends_as_urllib3_does(plain):
        sending.watched = True
        pool.__class__ = _watching(kind)
        watched_class = watched(plain)
        for idle in list(getattr(pool.pool, "queue", ())):
            if type(idle) is plain:  # from an earlier request of the session
                idle.__class__ = watched_class
    return pool


def _makes_what_it_says(pool: Any) -> bool:
    """Whether the pool creates connections of its ``ConnectionCls``; pools for Unix sockets do not."""
    makes = getattr(pool, "_new_conn", None)
    return hasattr(pool, "is_watching") or getattr(makes, "__module__", "") == "urllib3.connectionpool"


@lru_cache(maxsize=16)
def _watching(base: Any) -> Any:
    """Return a pool class that creates watched connections.

    Its ``ConnectionCls`` is not changed, because recorders replace and restore it.
    """
    if hasattr(base, "is_watching"):
        return base

    class Watching(base):  # type: ignore[misc]
        is_watching = True

        def _new_conn(self) -> Any:
            connection = super()._new_conn()
            made: Any = type(connection)
            if sends_as_urllib3_does(made):
                connection.__class__ = watched(made)
            return connection

    return Watching
