"""What the assistant can do. `base` says what a tool is; each other module makes some; `toolbox` has them all."""
