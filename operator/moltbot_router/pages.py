"""The router's own pages: no token, waiting, forbidden, missing, unavailable, not built. Plain HTML that is whole without a script;
nothing inline.

Styles and the little script (`/assets/pages.css`, `pages.js`, `theme.js`) come from `operator/ui`. Everything put into a page is escaped.
"""

from __future__ import annotations

from html import escape

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# How a person calls the command line: without a cluster `kubectl moltbot` would ask the one that `kubectl` is set to.
ON_CLUSTER, WITHOUT_A_CLUSTER = "kubectl moltbot", "moltbot"
# On every page of the router.
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: the form of the token page would then be posted with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _page(kind: str, title: str, body: str, *, head: str = "") -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/pages.css">
<script src="/assets/theme.js"></script>
<script type="module" src="/assets/pages.js"></script>{head}
</head>
<body data-page="{kind}">
<main class="card">
{body}
</main>
</body>
</html>
"""


def token_page(*, reason: str = "", next_path: str = "/", insecure: bool = False, command: str = ON_CLUSTER) -> str:
    """401: the same for every host, existing or not. `insecure`: plain http that leaves this machine."""
    warning = (
        '<p class="reason warning" role="note">This connection is not encrypted: everybody on the way can read the token. Use https.</p>'
        if insecure
        else ""
    )
    return _page(
        "token",
        "Gateway token",
        f"""<h1>Gateway token</h1>
<p>This assistant answers only to who has its gateway token. Open the link that came with it, or paste the token here.</p>
{warning}<p class="reason" role="status"{"" if reason else " hidden"}>{escape(reason)}</p>
<form method="post" action="/api/login">
<input type="hidden" name="next" value="{escape(next_path)}">
<label for="token">Gateway token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required>
<button>Continue</button>
</form>
<p>Where it is:</p>
<pre><code>{command} token NAME</code></pre>""",
    )


def waiting_page(name: str, phase: str, message: str, estimate: float | None) -> str:
    """A navigation that is woken for; pages.js follows /api/events, and without a script the page comes again by itself."""
    seconds = f' data-estimate-seconds="{estimate:.1f}"' if estimate is not None else ""
    return _page(
        "waiting",
        f"Waking {name}",
        f"""<h1>Waking {escape(name)}</h1>
<p>It was asleep. This page goes on by itself when it is awake.</p>
<div class="progress" role="progressbar" aria-label="Waking"{seconds}></div>
<p class="reason" role="status" data-phase="{escape(phase)}">{escape(message)}</p>
<p class="actions"><a class="button" href="">Try again</a></p>""",
        head='\n<noscript><meta http-equiv="refresh" content="3"></noscript>',
    )


def pairing_page() -> str:
    """403: the cookie opens the router's pages, not the pod's."""
    return _page(
        "forbidden",
        "An approved device is needed",
        """<h1>An approved device is needed</h1>
<p>Pages that the assistant itself serves are only for approved devices. The chat page uses this device's approval by itself.</p>
<p class="actions"><a class="button" href="/">Open the chat</a></p>
<p>To open them to whoever has the gateway token, set <code>spec.gateway.http: token</code>.</p>""",
    )


def admin_page_elsewhere(command: str = ON_CLUSTER) -> str:
    """403 of the public `/_admin/`, alike on every host."""
    where = (
        "inside the cluster. Whoever may use the cluster" if command == ON_CLUSTER else "at a port of its own. Whoever runs this assistant"
    )
    return _page(
        "forbidden",
        "The administration is not here",
        f"""<h1>The administration is not here</h1>
<p>Without an identity provider it is served only {where} opens it with:</p>
<pre><code>{command} admin</code></pre>""",
    )


def unavailable_page(name: str, message: str, *, failed: bool) -> str:
    """503 with the reason."""
    title = f"{name} did not wake" if failed else f"{name} does not answer yet"
    return _page(
        "unavailable",
        title,
        f"""<h1>{escape(title)}</h1>
<p class="reason" role="status">{escape(message)}</p>
<p class="actions"><a class="button" href="">Try again</a></p>
<p>What its owner sees:</p>
<pre><code>kubectl moltbot status {escape(name)}</code></pre>""",
    )


def starting_page() -> str:
    """503 while the router has no keys or no view of the cluster."""
    return _page(
        "unavailable",
        "Starting",
        """<h1>Starting</h1>
<p class="reason" role="status">The router has just started and waits for its keys or for the cluster. Try again in a moment.</p>
<p class="actions"><a class="button" href="">Try again</a></p>""",
    )


def blocked_page(seconds: int) -> str:
    """429: too many wrong tokens from one address."""
    return _page(
        "forbidden",
        "Too many wrong tokens",
        f"""<h1>Too many wrong tokens</h1>
<p class="reason" role="status">Too many wrong tokens came from your address. Try again in {max(1, seconds // 60)} min.</p>""",
    )


def missing_page() -> str:
    """404 of the router's own paths."""
    return _page(
        "missing",
        "Not found",
        '<h1>Not found</h1>\n<p>There is nothing here.</p>\n<p class="actions"><a class="button" href="/">Home</a></p>',
    )


def not_built_page() -> str:
    """The Control UI was not built into this installation."""
    return _page(
        "unavailable",
        "The pages are not built",
        """<h1>The pages are not built</h1>
<p class="reason" role="status">This installation has no built pages. In the repository, run:</p>
<pre><code>make ui</code></pre>""",
    )
