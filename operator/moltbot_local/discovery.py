"""What there is: groups, versions and kinds, in the old form and in the aggregated one that kubectl prefers."""

from __future__ import annotations

from aiohttp import web

from . import answers
from .resources import Object, Registry, Resource

# The version whose answers these are (tests/contract/ run against it); kinds that are not here are not in discovery either.
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+moltbot.local",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "local/python",
}
_ACCESS = "authorization.k8s.io"
_ACCESS_KINDS = ("SelfSubjectAccessReview", "SelfSubjectRulesReview")


def groups(registry: Registry) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for resource in registry:
        found.setdefault(resource.group, []).append(resource)
    return found


def api_versions() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def api_groups(registry: Registry) -> Object:
    listed = [_group(name, resources[0].version) for name, resources in sorted(groups(registry).items()) if name]
    listed += [_group(_ACCESS, "v1"), _group("authentication.k8s.io", "v1")]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def _group(name: str, version: str) -> Object:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def api_group(registry: Registry, name: str) -> Object | None:
    if name in (_ACCESS, "authentication.k8s.io"):
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, "v1")}
    resources = groups(registry).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, resources[0].version)} if resources and name else None


def resource_list(registry: Registry, group: str, version: str) -> Object | None:
    listed: list[Object] = []
    if group == _ACCESS and version == "v1":
        listed = [_review(kind) for kind in _ACCESS_KINDS]
    elif group == "authentication.k8s.io" and version == "v1":
        listed = [_review("SelfSubjectReview")]
    for resource in groups(registry).get(group, []):
        if resource.version == version:
            listed += _old_form(resource)
    if not listed:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }


def _review(kind: str) -> Object:
    return {"name": kind.lower() + "s", "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}


def _old_form(resource: Resource) -> list[Object]:
    main: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        main["shortNames"] = list(resource.short_names)
    if resource.categories:
        main["categories"] = list(resource.categories)
    listed = [main]
    for name, kind, verbs in subresources(resource):
        item: Object = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": verbs,
        }
        if kind == "Scale":
            item |= {"group": "autoscaling", "version": "v1"}
        listed.append(item)
    return listed


def subresources(resource: Resource) -> list[tuple[str, str, list[str]]]:
    """(name, kind, verbs)"""
    found: list[tuple[str, str, list[str]]] = []
    if resource.status:
        found.append(("status", resource.kind, ["get", "patch", "update"]))
    if resource.scale is not None:
        found.append(("scale", "Scale", ["get", "patch", "update"]))
    if resource.key == "pods":
        found.append(("log", "Pod", ["get"]))
    if resource.key == "namespaces":
        found.append(("finalize", "Namespace", ["update"]))
    return found


def aggregated(registry: Registry, *, core: bool) -> Object:
    """`apidiscovery.k8s.io/v2` of /api or /apis."""
    listed = []
    for name, resources in sorted(groups(registry).items()):
        if bool(name) is core:
            continue
        versions: dict[str, list[Object]] = {}
        for resource in resources:
            versions.setdefault(resource.version, []).append(_new_form(resource))
        listed.append(
            {
                "metadata": {"name": name} if name else {},
                "versions": [{"version": version, "resources": items, "freshness": "Current"} for version, items in versions.items()],
            }
        )
    if not core:
        for name, kinds in ((_ACCESS, _ACCESS_KINDS), ("authentication.k8s.io", ("SelfSubjectReview",))):
            items = [
                {
                    "resource": kind.lower() + "s",
                    "responseKind": {"group": name, "version": "v1", "kind": kind},
                    "scope": "Cluster",
                    "singularResource": kind.lower(),
                    "verbs": ["create"],
                }
                for kind in kinds
            ]
            listed.append({"metadata": {"name": name}, "versions": [{"version": "v1", "resources": items, "freshness": "Current"}]})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": listed}


def _new_form(resource: Resource) -> Object:
    item: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        item["shortNames"] = list(resource.short_names)
    if resource.categories:
        item["categories"] = list(resource.categories)
    inner = []
    for name, kind, verbs in subresources(resource):
        group, version = ("autoscaling", "v1") if kind == "Scale" else (resource.group, resource.version)
        inner.append({"subresource": name, "responseKind": {"group": group, "version": version, "kind": kind}, "verbs": verbs})
    if inner:
        item["subresources"] = inner
    return item


def root(request: web.Request, registry: Registry, path: str) -> web.Response | None:
    """The answer to a discovery path, None when it is none."""
    parts = [part for part in path.split("/") if part]
    body: Object | None = None
    match parts:
        case ["api"] | ["apis"]:
            if _wants_aggregated(request):
                response = answers.respond(aggregated(registry, core=parts == ["api"]))
                response.headers["Content-Type"] = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                return response
            body = api_versions() if parts == ["api"] else api_groups(registry)
        case ["api", version]:
            body = resource_list(registry, "", version)
        case ["apis", group]:
            body = api_group(registry, group)
        case ["apis", group, version]:
            body = resource_list(registry, group, version)
    return None if body is None else answers.respond(body)


def _wants_aggregated(request: web.Request) -> bool:
    first = request.headers.get("Accept", "").split(",")[0]
    return "g=apidiscovery.k8s.io" in first and "v=v2" in first and "v2beta1" not in first
