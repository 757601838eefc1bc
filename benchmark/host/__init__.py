"""The process in which an entry's code runs, shut in: it holds images and opaque seeds, and nothing else.

``wire`` is how the harness and a host talk, ``sandbox`` and ``limits`` shut a host in, ``nursery`` and ``hatchery``
start one, ``serve`` and ``calls`` are the host's own side, ``client`` and ``remote`` the harness's. An evaluation never
imports an entry's code: its target is a :class:`~benchmark.host.remote.RemoteDefense`.
"""
