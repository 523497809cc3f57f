"""When jobs are due, and who sees to it: `cron` and `due` are pure, `service` runs what is due, `heartbeat` looks around from time to time.

Nothing here asks a model: that is done through the ports `Runner` and `HeartbeatRunner`.
"""
