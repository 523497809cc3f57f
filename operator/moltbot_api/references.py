"""Parts of a spec that several places use: references to Secrets and ConfigMaps, variables, addresses, names of models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from moltbot_api.model import KeyName, ObjectName, SpecModel, rule, schema_extra

Url = Annotated[str, Field(min_length=8, max_length=512, pattern=r"^https?://[^\s?#]+$")]
ModelName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9@][a-zA-Z0-9@._:/-]*$")]

# What a variable may not be called: ours, and those by which a program's start can be changed before it confines itself (glibc's ld.so(8),
# Python's, bash's).
_RESERVED_NAMES = ("PATH", "HOME", "TMPDIR", "ENV", "BASH_ENV", "GCONV_PATH", "GLIBC_TUNABLES")
_RESERVED_PREFIXES = ("MOLTBOT_", "PERSON_ENV_", "LD_", "PYTHON")
_HEADERS_OF_OTHERS = ("host", "content-length", "transfer-encoding", "connection", "mcp-session-id")


class SecretKeyReference(SpecModel):
    """One key of a Secret in the Moltbot's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: KeyName = Field(description="Key in the Secret.")


class ConfigMapKeyReference(SpecModel):
    """One key of a ConfigMap in the Moltbot's namespace."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    key: KeyName = Field(description="Key in the ConfigMap.")


class ValueSource(SpecModel):
    """Where a value comes from."""

    secret_key_ref: SecretKeyReference = Field(description="A key of a Secret in the Moltbot's namespace, as it stands there.")


_ONE_SOURCE = rule("has(self.value) != has(self.valueFrom)", "name either a value or valueFrom")


class EnvVar(SpecModel):
    """A variable that programs see."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            _ONE_SOURCE,
            rule(
                f"!(self.name in [{', '.join(repr(name) for name in _RESERVED_NAMES)}])"
                + "".join(f" && !self.name.startsWith('{prefix}')" for prefix in _RESERVED_PREFIXES),
                f"{', '.join(_RESERVED_NAMES)} and names that begin with {', '.join(_RESERVED_PREFIXES)} are not yours to set",
                path=".name",
            ),
        )
    }

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the variable."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(default=None, description="Its value, written here for everybody to read.")
    value_from: ValueSource | None = Field(default=None, description="Its value from a Secret.")


class Header(SpecModel):
    """An HTTP header."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            _ONE_SOURCE,
            rule(
                f"!(self.name.lowerAscii() in [{', '.join(repr(name) for name in _HEADERS_OF_OTHERS)}])",
                "this header belongs to the connection and cannot be set",
                path=".name",
            ),
        )
    }

    # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")] = Field(
        description="Name of the header, such as Authorization."
    )
    value: Annotated[str, Field(max_length=4096, pattern=r"^[^\r\n]*$")] | None = Field(
        default=None, description="Its value, written here for everybody to read."
    )
    value_from: ValueSource | None = Field(
        default=None, description="Its whole value from a Secret; for Authorization with the word before the key, such as `Bearer …`."
    )
