"""The kubelet of the miniature Kubernetes: runs the containers of pods as processes of this machine.

Pure: `podspec` (what a pod asks for), `backoff`, `decide` (which process starts or stops now), `environment`, `status`.
Edges: `launcher` and `processes` (the processes themselves), `volumes`, `addresses`, `probes` and `prober`.
`pod` is one pod's life, `service` all of them.
"""
