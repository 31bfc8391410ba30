"""The screens in a browser on this machine, by textual-serve.

It has no password, so it listens on this machine alone, and answers no page but its own: a page from elsewhere that is
open in the same browser could else speak to it, by its own name or by another that leads here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from agentmem.errors import PluginError

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["HOST", "serve"]

HOST: Final = "127.0.0.1"


def serve(command: str, port: int) -> None:
    """Until it is interrupted: a process of `command` for each visitor. PluginError when textual-serve is missing."""
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise PluginError(
            f"the screens cannot be served: {error}", way_out="Install the extra `web`: agentmem-framework[web]."
        ) from error

    names = {f"{host}:{port}" for host in (HOST, "localhost")}

    @web.middleware
    async def only_here(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origin = request.headers.get("Origin", f"http://{request.host}")
        if request.host not in names or origin.removeprefix("http://") not in names:
            raise web.HTTPForbidden(text="This memory answers its own page on this machine, and nobody else.")
        return await handler(request)

    class Here(Server):
        async def _make_app(self) -> web.Application:
            app: web.Application = await super()._make_app()
            app.middlewares.append(only_here)
            return app

    Here(command, host=HOST, port=port, title="agentmem").serve()
