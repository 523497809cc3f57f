"""Sleep and wake: the decisions (pure) and the services that carry them out over ports (architecture, rules 1, 2, 3, 5, 12).

Nothing here knows Kopf, the Kubernetes client or a connection: `ports` names what is needed of the world, `observed` what is seen of it,
`reports` what a pod says of itself, `status` what is told to people.
"""
