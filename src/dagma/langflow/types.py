"""Values that Langflow's API names."""

from typing import Literal

InputType = Literal["chat", "text", "any"]
OutputType = Literal["chat", "text", "any", "debug"]
