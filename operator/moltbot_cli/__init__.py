"""`moltbot`, and the same as `kubectl moltbot`: a person's command line. It speaks to a Kubernetes API alone, so it works against a
cluster and against `moltbot up` alike.
"""
