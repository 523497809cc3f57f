"""State of one assistant (rules 3, 8 and 9): the snapshot format, what is chosen at a start, restore, snapshots, the state container.

`format` does no I/O and is all that the operator image may import; `choice` is the one pure decision; `bucket` is the one S3 adapter;
`snapshot` and `restore` are the two services, carried out by short-lived `worker` processes; `container` and `__main__` are what the pod
runs; `local_volume` is what the gateway calls where there is no bucket.
"""
