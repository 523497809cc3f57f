"""What programs find of the values that a person put into the container."""

from __future__ import annotations

import pytest

from moltbot_gateway.agent_config import AgentConfig, EnvVar
from moltbot_gateway.person_environment import for_tools, take


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        pytest.param("key\n", "key", id="as echo and editors leave it"),
        pytest.param("key\r\n", "key", id="… on Windows"),
        pytest.param("key", "key", id="as it is"),
        pytest.param(" a b\t", " a b\t", id="white space may be meant"),
        pytest.param("line\nline\n\n", "line\nline\n", id="one line break alone"),
        pytest.param("key\r", "key\r", id="no line break"),
        pytest.param("\n", "", id="an empty line"),
    ],
)
def test_a_program_finds_a_value_without_the_line_break_of_its_file(kept: str, found: str) -> None:
    environ = {"PERSON_ENV_1": kept, "PATH": "/bin"}
    person = take(environ)
    assert environ == {"PATH": "/bin"}
    assert for_tools(AgentConfig(env=(EnvVar("TOKEN", "PERSON_ENV_1"),)), person) == {"TOKEN": found}
