"""What a file is, by its first bytes: the word of whoever sent it is often wrong, and a picture under a wrong name is refused by the model
and then stands in the conversation for good.
"""

from __future__ import annotations

PDF = "application/pdf"
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", PDF),
)


def media_type_of(body: bytes) -> str | None:
    """One of the types that `models.base.Media` takes; `None` for anything else."""
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if body.startswith(start)), None)
